//! Findings on clients that give up waiting for replies.

use std::time::Duration;

use smtpmock::{Config, Stats};

use super::found::{client, names, only};
use crate::support::client::Client;
use crate::support::figures::once;
use crate::support::server::{ruled, start, with_rules};

/// How long a client waits before it gives up.
const WAIT: Duration = Duration::from_millis(30);

/// Each stage with the line whose reply is awaited, the lines before it, and the finding.
const STAGES: &[(&str, &str, &[&str], &str)] = &[
    ("helo", "EHLO client.example", &[], "the reply to EHLO or HELO"),
    ("mail", "MAIL FROM:<a@example.com>", &["HELO c.example"], "the reply to MAIL"),
    (
        "rcpt",
        "RCPT TO:<b@example.com>",
        &["HELO c.example", "MAIL FROM:<a@example.com>"],
        "the reply to RCPT",
    ),
    ("data", "DATA", ENVELOPE, "the reply to DATA"),
    ("message", "text\r\n.", WITH_DATA, "the reply to the message"),
    ("rset", "RSET", &["HELO c.example"], "the reply to RSET"),
    ("noop", "NOOP", &[], "the reply to NOOP"),
];
const ENVELOPE: &[&str] = &["HELO c.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>"];
const WITH_DATA: &[&str] =
    &["HELO c.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA"];

/// How often the stage of this name was reached.
fn asked(stats: &Stats, name: &str) -> u64 {
    stats.stages.iter().filter(|(stage, _)| stage.name() == name).map(|(_, stage)| stage.count).sum()
}

#[test]
fn a_client_that_leaves_before_the_reply_has_given_up() {
    for (stage, line, before, awaited) in STAGES {
        let server = with_rules(&[&format!("{stage} silent")]);
        let mut client = Client::greeted(server.local_addr());
        before.iter().for_each(|line| drop(client.command(line)));
        client.send(format!("{line}\r\n").as_bytes());
        once(&server, |stats| asked(stats, stage) == 1);
        client.silence(WAIT).expect("no reply");
        client.leave();
        let text = only(&server, 1, "gave-up-early");
        assert!(text.starts_with(&format!("gave up on {awaited} after ")), "{text}");
        assert!(text.contains(" in 1 session; RFC 5321 section 4.5.3.2"), "{text}");
        let waited = server.stats().stages.iter().map(|(_, stage)| stage.gave_up.max()).max();
        assert!(waited >= Some(WAIT), "{waited:?}");
    }
}

#[test]
fn a_client_that_waits_for_a_late_reply_has_not() {
    for (stage, line, before, _) in STAGES {
        let server = with_rules(&[&format!("{stage} delay=30ms")]);
        let mut client = Client::greeted(server.local_addr());
        before.iter().for_each(|line| drop(client.command(line)));
        if client.command(line).starts_with("354") {
            client.command(".");
        }
        client.quit();
        assert_eq!(names(&server, 1), [""; 0]);
    }
}

#[test]
fn only_clients_that_waited_give_up_on_the_greeting() {
    let server = with_rules(&["connect silent"]);
    // A probe only checks whether the port is open.
    Client::connect(server.local_addr()).leave();
    assert_eq!(names(&server, 1), [""; 0]);
    let mut client = Client::connect(server.local_addr());
    client.silence(Duration::from_millis(700)).expect("no greeting");
    client.leave();
    let text = only(&server, 2, "gave-up-early");
    assert!(text.starts_with("gave up on the greeting after "), "{text}");
    assert!(text.ends_with(" in 1 session; RFC 5321 section 4.5.3.2.1 asks for 5 minutes"), "{text}");
}

#[test]
fn a_client_that_has_received_its_replies_does_not_give_up() {
    let server = with_rules(&[]);
    client(&server).leave();
    assert_eq!(names(&server, 1), [""; 0]);
}

#[test]
fn a_client_that_leaves_before_the_reply_to_a_chunk_has_given_up() {
    let config = Config::default().esmtp();
    let server = start(ruled(config, &["bdat silent"]));
    let mut client = Client::extended(server.local_addr());
    ENVELOPE[1..].iter().for_each(|line| drop(client.command(line)));
    client.send("BDAT 4\r\nhi\r\n");
    once(&server, |stats| asked(stats, "bdat") == 1);
    client.silence(WAIT).expect("no reply");
    client.leave();
    let text = only(&server, 1, "gave-up-early");
    assert!(text.starts_with("gave up on the reply to BDAT after "), "{text}");
    let asks = " in 1 session; RFC 5321 section 4.5.3.2.5 asks for 3 minutes for a block of data, and RFC 3030 names no other";
    assert!(text.contains(asks), "{text}");
    let server = start(ruled(Config::default().esmtp(), &["bdat delay=30ms"]));
    let mut client = Client::extended(server.local_addr());
    ENVELOPE[1..].iter().for_each(|line| drop(client.command(line)));
    client.send("BDAT 4\r\nhi\r\n");
    assert!(client.reply().starts_with("250 "));
    client.command("RSET");
    client.quit_extended();
    assert_eq!(names(&server, 1), [""; 0]);
}
