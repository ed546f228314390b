//! Texts of replies from any source, and the octets that are sent.

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
fn octets_of_a_reply_text_other_than_line_ends_are_sent_unchanged() {
    let program = start(["-msgGreeting".as_ref(), OsStr::from_bytes(b"220 two \\r\\n \xff\t")]);
    let mut client = Client::connect(program.address());
    assert_eq!(client.exactly(17), Ok(b"220 two \\r\\n \xff\t\r\n"[..].to_vec()));
}

/// Whatever the source of a text and its line ends.
#[test]
fn each_line_of_a_reply_ends_with_one_crlf() {
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
    // The printed settings parse to the same settings.
    let printed = run(["--config", &path, "--print-config"]).stdout;
    std::fs::write(file.path(), printed).expect("a writable file");
    reads(&start(["--config", &path]), "printed");
}

/// Each setting of the offered extensions turns Extended SMTP on, whatever its source.
#[test]
fn flags_set_what_ehlo_is_offered() {
    const ALL: &str = "250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 BINARYMIME\r\n";
    let reads = |program: &Process, offered: &str, what: &str| {
        let mut client = Client::greeted(program.address());
        client.send("EHLO vm\r\n");
        let expected = format!("250-smtpmock greets you\r\n{offered}");
        assert_eq!(client.exactly(expected.len()), Ok(expected.into_bytes()), "{what}");
    };
    reads(&start(["--esmtp"]), ALL, "--esmtp");
    reads(
        &start(["--extensions", "-DSN, -SMTPUTF8,-SIZE,-enhancedstatuscodes,-Chunking"]),
        "250-PIPELINING\r\n250 8BITMIME\r\n",
        "without",
    );
    reads(&start(["--extensions=size", "--msg-size-limit", "1KiB"]), "250 SIZE 1024\r\n", "one");
    let lines = ["--extensions=none", "--ehlo-line", "X-ONE a", "--ehlo-line", "X-TWO"];
    reads(&start(lines), "250-X-ONE a\r\n250 X-TWO\r\n", "lines");
    let rule = ["--esmtp", "--rule", "helo ehlo=LIMITS", "--max-rcpts", "5"];
    reads(&start(rule), "250 LIMITS RCPTMAX=5\r\n", "a rule");
    let variables = |name, value| start_command(command::<&str>([]).env(name, value));
    reads(&variables("SMTPMOCK_ESMTP", "true"), ALL, "a variable");
    reads(
        &variables("SMTPMOCK_EHLO_LINE", "A\nB\n"),
        &ALL.replace("250 BINARYMIME\r\n", "250-BINARYMIME\r\n250-A\r\n250 B\r\n"),
        "both",
    );
    let file = NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    let toml = "extensions = [\"DSN\", \"SIZE\"]\nehlo-line = [\"A\", \"B\"]\n";
    std::fs::write(file.path(), toml).expect("a writable file");
    let expected = "250-SIZE 10485760\r\n250-DSN\r\n250-A\r\n250 B\r\n";
    reads(&start(["--config", &path]), expected, toml);
    let printed = run(["--config", &path, "--print-config"]).stdout;
    std::fs::write(file.path(), printed).expect("a writable file");
    reads(&start(["--config", &path]), expected, "printed");
    for (arguments, complaint) in [
        (
            ["--extensions", "DNS"],
            "invalid value \"DNS\" for --extensions: unknown extension \"DNS\": did you mean DSN?",
        ),
        (
            ["--ehlo-line", "250-X"],
            "invalid value \"250-X\" for --ehlo-line: expected one line of text, without code",
        ),
        (["--ehlo-line", "X-A\r\nX-B"], "for --ehlo-line: expected one line of text"),
        (["--ehlo-line", "\t"], "invalid value \"\\t\" for --ehlo-line: expected one line of text"),
        (
            ["--rule", "helo ehlo=DSN"],
            "for --rule: expected ehlo= where extensions are offered: under --esmtp",
        ),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.contains(complaint), "{ended:?}");
    }
}

/// They may fire later: a library can change the settings of a running server.
#[test]
fn rules_that_the_other_settings_never_let_fire_are_warned_of() {
    let warned = |arguments: &[&str]| start(arguments.iter().copied()).stopped().stderr;
    for (arguments, warning) in [
        (&["--rule", "auth silent"][..], "--rule \"auth silent\" can never fire: expected somebody who may"),
        (&["--rule=vrfy silent"], "expected --esmtp or a listener of LMTP"),
        (&["--rule=bdat silent"], "or a text for EHLO that offers CHUNKING"),
        (&["--esmtp", "--rule=xclient silent"], "and a peer of --trust"),
        (&["--esmtp", "--rule=rcpt user=ann silent"], "no session has a user"),
        (&["--auth=any", "--rule=auth mechanism=FOO silent"], "expected a mechanism that is offered"),
    ] {
        let stderr = warned(arguments);
        assert!(stderr.starts_with("smtpmock: warning: ") && stderr.contains(warning), "{stderr}");
    }
    for arguments in [
        &["--esmtp", "--rule=vrfy silent", "--rule=bdat silent"][..],
        &["--listen=lmtp://127.0.0.1", "--rule=vrfy silent", "--rule=bdat silent"],
        &["--listen=lmtp://127.0.0.1", "--trust=10.0.0.0/8", "--rule=xclient user=ann silent"],
        &["--msg-ehlo-received=250-a\n250 CHUNKING", "--rule=bdat silent"],
        &["--auth=any", "--rule=auth user=ann mechanism=login silent"],
    ] {
        assert_eq!(warned(arguments), "", "{arguments:?}");
    }
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
