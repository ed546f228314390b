//! Texts of replies, from wherever they come, and what of them is sent.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use smtpmock::Config;
use smtpmock::smtp::ReplyKind;
use tempfile::NamedTempFile;

use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::program::{command, run, start, start_command};
use crate::support::server;

#[test]
fn octets_of_a_reply_text_that_are_no_line_ends_are_sent_unchanged() {
    let program = start(["-msgGreeting".as_ref(), OsStr::from_bytes(b"220 two \\r\\n \xff\t")]);
    let mut client = Client::connect(program.address());
    assert_eq!(client.exactly(17), Ok(b"220 two \\r\\n \xff\t\r\n"[..].to_vec()));
}

/// Wherever a text comes from, and whatever its lines end with.
#[test]
fn a_reply_of_several_lines_has_crlf_between_them_and_one_behind() {
    const SENT: &[u8] = b"250-mx.example\r\n250 PIPELINING\r\n";
    let reads = |program: &Process, what: &str| {
        let mut client = Client::greeted(program.address());
        client.send("EHLO vm\r\nNOOP\r\n");
        let expected = [SENT, b"250 Ok\r\n"].concat();
        assert_eq!(client.exactly(expected.len()), Ok(expected), "{what}");
    };
    for text in [
        "250-mx.example\n250 PIPELINING",
        "250-mx.example\r\n250 PIPELINING",
        "250-mx.example\n250 PIPELINING\n",
        "250-mx.example\r\n250 PIPELINING\r\n\r\n",
        "250-mx.example\r\r\n250 PIPELINING\r",
    ] {
        reads(&start(["-msgHeloReceived", text]), text);
        let escaped = text.replace('\r', "\\r").replace('\n', "\\n");
        reads(&start(["--rule", &format!("helo reply=\"{escaped}\"")]), text);
        reads(&start_command(command::<&str>([]).env("SMTPMOCK_MSG_HELO_RECEIVED", text)), text);
        let server = server::start(Config::default().reply(ReplyKind::HeloReceived, text));
        let mut client = Client::greeted(server.local_addr());
        client.send("EHLO vm\r\n");
        assert_eq!(client.exactly(SENT.len()), Ok(SENT.to_vec()), "{text}");
    }
    let file = NamedTempFile::new().expect("a file");
    let toml = "msg-helo-received = \"\"\"\n250-mx.example\n250 PIPELINING\n\"\"\"\n";
    std::fs::write(file.path(), toml).expect("a writable file");
    let path = file.path().display().to_string();
    reads(&start(["--config", &path]), toml);
    // What is printed as the settings in effect reads back as the same.
    let printed = run(["--config", &path, "--print-config"]).stdout;
    std::fs::write(file.path(), printed).expect("a writable file");
    reads(&start(["--config", &path]), "printed");
}

#[test]
fn a_raw_reply_is_sent_unchanged() {
    for (text, sent) in [
        ("raw:220-one\n550 two\r", &b"220-one\n550 two\r\r\n"[..]),
        ("raw:220-one\r\n220-two\n\n", b"220-one\r\n220-two\n\n"),
        ("raw:220 one\n", b"220 one\n"),
    ] {
        let program = start(["--msg-greeting", text]);
        assert_eq!(Client::connect(program.address()).exactly(sent.len()), Ok(sent.to_vec()), "{text:?}");
        let rule = format!("connect reply=\"{}\"", text.replace('\r', "\\r").replace('\n', "\\n"));
        let program = start(["--rule", &rule]);
        assert_eq!(Client::connect(program.address()).exactly(sent.len()), Ok(sent.to_vec()), "{rule}");
    }
}
