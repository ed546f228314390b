//! Captures read by mail programs: mbox, maildir and files of one mail.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use smtpmock::CaptureFormat;
use smtpmock::Config;

use super::clients::run_or_skip;
use crate::support::client::{Client, MESSAGE};
use crate::support::process::{Process, Signal};
use crate::support::program;
use crate::support::server;
use crate::support::waiting::eventually;

const FORMATS: [&str; 3] = ["mbox", "maildir", "eml"];

/// Messages that are difficult to separate again, without transparency dots.
const TEXTS: [&str; 5] = [
    "Subject: separators\r\n\r\nFrom ann\r\n>From bob\r\n>>>From carol\r\n\r\nFrom: dora\r\n\r\n",
    "Subject: =?utf-8?Q?Gr=C3=B6=C3=9Fe?=\r\n\r\nGr\u{f6}\u{df}e\r\n",
    "Subject: odd ends\r\n\r\nbare\nlf, bare\rcr, two\r\r\n.dot\r\n",
    "\r\nno header\r\n",
    "Subject: no body\r\n",
];

/// Reads a capture with Python's `mailbox` and `email`: header fields and the unchanged body.
const READER: &str = r#"
import email, glob, json, mailbox, sys
form, path = sys.argv[1:]
if form == "mbox":
    mails = [box.get_bytes(key) for box in [mailbox.mbox(path, create=False)] for key in box.keys()]
elif form == "maildir":
    box = mailbox.Maildir(path, create=False)
    mails = [box.get_bytes(key) for key in box.keys()]
else:
    mails = [open(name, "rb").read() for name in glob.glob(path + "/*.eml")]
def told(octets):
    mail = email.message_from_bytes(octets)
    end = "\r\n" if form == "eml" else "\n"
    return {
        "mail_args": mail.get_all("X-Mail-Args"), "rcpt_args": mail.get_all("X-Rcpt-Args"),
        "helo_args": mail["X-Helo-Args"], "client": mail["X-Client-Addr"], "proto": mail["X-Client-Proto"],
        "return_path": mail["Return-Path"], "subject": mail["Subject"],
        "text": octets.decode().partition("\tby smtpmock")[2].partition(" +0000" + end)[2],
    }
print(json.dumps([told(mail) for mail in mails]))
"#;

struct Capture {
    folder: tempfile::TempDir,
    format: &'static str,
}

impl Capture {
    fn new(format: &'static str) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), format }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("capture")
    }

    fn program(&self) -> Process {
        let path = self.path().display().to_string();
        let flags = ["--session-timeout=10m", "--not-registered-emails=gone@example.com", "--capture", &path];
        // The time of the machine is not compared.
        let mut command = program::command([&flags[..], &["--capture-format", self.format]].concat());
        program::start_command(command.env("TZ", "UTC"))
    }

    /// The mails that Python reads, in the order of their envelopes; `None` if Python is not installed.
    fn read(&self) -> Option<Vec<Value>> {
        let path = self.path().display().to_string();
        let output = run_or_skip("python3", &["-c", READER, self.format, &path], "")?;
        let mut mails: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        mails.sort_by_key(|mail| mail["mail_args"].to_string());
        Some(mails)
    }

    fn files(&self, below: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join(below)).expect("a folder");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}

/// The mail of this number, with two accepted recipients of three.
fn deliver(client: &mut Client, number: usize, text: &str) {
    client.mail(&format!("{number}@example.com"));
    client.rcpt("bob@example.com");
    client.expect("RCPT TO:<gone@example.com>", "550 User not found");
    client.expect("RCPT TO: <carol@example.com>", "250 Received");
    client.message(&text.replace("\r\n.", "\r\n.."));
}

#[test]
fn mail_programs_read_what_was_sent_and_to_whom() {
    for format in FORMATS {
        let capture = Capture::new(format);
        let program = capture.program();
        let mut client = Client::greeted(program.address());
        client.ehlo();
        // They contain no record without a mail: nothing accepted, or only a recipient.
        client.mail("refused@example.com");
        client.expect("RCPT TO:<gone@example.com>", "550 User not found");
        client.command("RSET");
        for (number, text) in TEXTS.iter().enumerate() {
            deliver(&mut client, number, text);
        }
        client.quit();
        assert_eq!(program.stopped().code(), Some(0));
        let Some(mails) = capture.read() else { return };
        assert_eq!(mails.len(), TEXTS.len(), "{format}: {mails:#?}");
        for (number, (mail, text)) in mails.iter().zip(TEXTS).enumerate() {
            let text = match format {
                "mbox" => as_mbox(text),
                "maildir" => text.replace("\r\n", "\n"),
                _ => text.to_owned(),
            };
            let subject = text.lines().next().and_then(|line| line.strip_prefix("Subject: "));
            let expected = json!({
                "mail_args": [format!("<{number}@example.com>")],
                "rcpt_args": ["<bob@example.com>", "<carol@example.com>"],
                "helo_args": "client.example", "client": "127.0.0.1", "proto": "ESMTP",
                "return_path": format!("<{number}@example.com>"), "subject": subject, "text": text,
            });
            assert_eq!(*mail, expected, "{format}");
        }
    }
}

/// Python does not remove the quoting.
fn as_mbox(text: &str) -> String {
    let is_separator = |line: &&str| line.trim_start_matches('>').starts_with("From ");
    let quoted = |line: &str| if is_separator(&line) { format!(">{line}") } else { line.to_owned() };
    text.replace("\r\n", "\n").split('\n').map(quoted).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_of_mails_have_unique_names_and_are_complete() {
    for format in ["maildir", "eml"] {
        let capture = Capture::new(format);
        for run in 1..=2 {
            let program = capture.program();
            let clients: Vec<_> = (0..4).map(|_| Client::greeted(program.address())).collect();
            for mut client in clients {
                client.ehlo();
                (0..5).for_each(|number| deliver(&mut client, number, MESSAGE));
                client.quit();
            }
            assert_eq!(program.stopped().code(), Some(0));
            let files = capture.files(if format == "maildir" { "new" } else { "" });
            // The files of the previous run are still there, and no incomplete file.
            assert_eq!(files.len(), run * 20, "{files:?}");
            for file in files {
                let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
                assert!(!name.starts_with('.') && (format == "maildir" || name.ends_with(".eml")), "{name}");
                let mail = fs::read_to_string(&file).expect("readable");
                let text = if format == "eml" { MESSAGE.to_owned() } else { MESSAGE.replace("\r\n", "\n") };
                assert!(mail.starts_with("X-Client-Addr: ") && mail.ends_with(&text), "{mail}");
            }
        }
        if format == "maildir" {
            assert_eq!(capture.files("tmp"), Vec::<PathBuf>::new());
        }
    }
}

/// A concurrent reader of the folder never sees a part of a mail.
#[test]
fn a_mail_is_written_whole_or_not_at_all() {
    for format in ["maildir", "eml"] {
        let capture = Capture::new(format);
        let program = capture.program();
        let address = program.address();
        let text = format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(100_000));
        let sender = std::thread::spawn(move || {
            let mut client = Client::greeted(address);
            client.ehlo();
            for number in 0..10 {
                client.envelope(&format!("{number}@example.com"), "bob@example.com");
                client.message(&text);
            }
        });
        let below = if format == "maildir" { "new" } else { "" };
        let is_hidden =
            |file: &Path| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        eventually("ten mails", || {
            let mut files = capture.files(below);
            files.retain(|file| !is_hidden(file));
            for file in &files {
                let mail = fs::read_to_string(file).expect("readable");
                assert_eq!(mail.matches("0123456789").count(), 100_000, "{}", file.display());
            }
            files.len() == 10
        });
        sender.join().expect("sent");
        assert_eq!(program.stopped().code(), Some(0));
    }
}

#[test]
fn a_capture_that_cannot_be_written_in_its_format_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "of an earlier run").expect("writable");
    for format in FORMATS {
        let ended =
            program::run(["--capture-format", format, "--capture", "x", "--capture-content", "envelope"]);
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(
            ended.complaint().contains("--capture-content") && ended.complaint().contains("has its text")
        );
        let ended = program::run(["--capture-format", format, "--capture", "x", "--records", "session"]);
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(ended.complaint().contains("\"session\" for --records: expected message"), "{ended:?}");
    }
    for format in ["maildir", "eml"] {
        let ended = program::run(["--capture-format", format, "--capture", "-"]);
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(ended.complaint().contains("a folder"), "{ended:?}");
        let ended = program::run(["--capture-format", format, "--capture", file.to_str().expect("text")]);
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        assert!(ended.complaint().contains("it is a file: expected a folder"), "{ended:?}");
    }
    assert_eq!(fs::read_to_string(&file).expect("readable"), "of an earlier run");
}

#[test]
fn a_removed_folder_ends_the_run_and_a_moved_one_is_created_again() {
    for format in ["maildir", "eml"] {
        let capture = Capture::new(format);
        let program = capture.program();
        let mut client = Client::greeted(program.address());
        client.deliver(MESSAGE);
        let below = if format == "maildir" { "new" } else { "" };
        eventually("the first mail", || capture.files(below).len() == 1);
        // Behind a mail the writer looks at the folder once more, and nothing tells when it has.
        std::thread::sleep(Duration::from_millis(200));
        fs::rename(capture.path(), capture.folder.path().join("moved")).expect("moved");
        program.signal(Signal::USR2);
        eventually("the folder", || capture.path().join(below).exists());
        client.deliver(MESSAGE);
        eventually("the second mail", || capture.files(below).len() == 1);
        fs::remove_dir_all(capture.path()).expect("removed");
        client.deliver(MESSAGE);
        let ended = program.ended();
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        let complaint = ended.complaint();
        let path = capture.path().display().to_string();
        assert!(complaint.contains("the capture is incomplete") && complaint.contains(&path), "{ended:?}");
    }
}

#[test]
fn a_server_of_the_library_captures_in_every_format() {
    for (format, file) in [
        (CaptureFormat::JsonLines, true),
        (CaptureFormat::Mbox, true),
        (CaptureFormat::Maildir, false),
        (CaptureFormat::Eml, false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below").join("capture");
        if file {
            fs::create_dir(folder.path().join("below")).expect("a folder");
        }
        let server =
            server::start(Config::default().keep_records(false).capture(&path).capture_format(format));
        let mut client = Client::greeted(server.local_addr());
        client.deliver(MESSAGE);
        client.quit();
        server.stop_within(Duration::ZERO);
        assert_eq!(server.failure(), None);
        assert_eq!(path.is_file(), file, "{format:?}");
        assert_eq!(path.is_dir(), format.is_folder());
    }
}
