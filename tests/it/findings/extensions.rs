//! Findings on the use of extensions, and the figures of it.

use smtpmock::smtp::rules::{Extension, Offer};
use smtpmock::stats::ExtensionStats;
use smtpmock::{Config, Server};

use super::found::{client, names, only, send};
use crate::support::client::Client;
use crate::support::figures::after_sessions;
use crate::support::server::{start, with_rules};

fn extended() -> Server {
    start(Config::default().esmtp())
}

fn without(extensions: &[Extension]) -> Server {
    start(Config::default().extensions(Offer::without(extensions.iter().copied())))
}

/// Sends a message after a MAIL with these parameters, each command behind the reply to the one before, in a session of its
/// own.
fn deliver(server: &Server, parameters: &str, text: &str) {
    let mut client = Client::extended(server.local_addr());
    transaction(&mut client, parameters, text);
    client.quit_extended();
}

fn transaction(client: &mut Client, parameters: &str, text: &str) {
    for line in [&format!("MAIL FROM:<ann@example.com>{parameters}"), "RCPT TO:<bob@example.com>"] {
        assert!(client.command(line).starts_with("250 "), "{line}");
    }
    client.data();
    assert!(client.command(&format!("{text}.")).starts_with("250 "));
}

/// Sends all of it at once, and reads so many replies.
fn at_once(client: &mut Client, lines: &str, replies: usize) {
    client.send(lines);
    (0..replies).for_each(|_| drop(client.reply()));
}

#[test]
fn parameters_that_were_not_offered_are_found() {
    let server = without(&[Extension::Dsn]);
    let mut client = Client::extended(server.local_addr());
    for line in ["MAIL FROM:<ann@example.com> RET=HDRS", "MAIL FROM:<ann@example.com> FOO"] {
        assert!(client.command(line).starts_with("555 "), "{line}");
    }
    transaction(&mut client, "", "hi\r\n");
    client.quit_extended();
    let text = only(&server, 1, "parameters-not-offered");
    assert_eq!(text, "sent parameters of MAIL or RCPT that were not offered in 1 session");
}

#[test]
fn parameters_that_were_offered_are_not() {
    let server = extended();
    deliver(&server, " SIZE=4 BODY=8BITMIME RET=HDRS", "hi\r\n");
    let mut client = Client::extended(server.local_addr());
    assert!(client.command("MAIL FROM:<ann@example.com> SIZE=x").starts_with("501 "), "malformed");
    client.quit_extended();
    assert_eq!(names(&server, 2), [""; 0]);
}

#[test]
fn octets_beyond_ascii_without_a_declaration_are_found() {
    let server = extended();
    deliver(&server, "", "hi\r\n");
    deliver(&server, " BODY=7BIT", "Gr\u{fc}\u{df}e\r\n");
    let text = only(&server, 2, "8bit-undeclared");
    let expected =
        "sent octets beyond US-ASCII in 1 of 2 inspected messages without BODY=8BITMIME, which was offered";
    assert_eq!(text, expected);
}

#[test]
fn octets_beyond_ascii_that_were_declared_or_could_not_be_are_not() {
    let server = extended();
    for parameters in [" BODY=8BITMIME", " SMTPUTF8", " BODY=8BITMIME SMTPUTF8"] {
        deliver(&server, parameters, "Gr\u{fc}\u{df}e\r\n");
    }
    assert_eq!(names(&server, 3), [""; 0]);
    let plain = with_rules(&[]);
    let mut client = client(&plain);
    send(&mut client, "Gr\u{fc}\u{df}e\r\n");
    client.quit();
    assert_eq!(names(&plain, 1), [""; 0]);
    let server = without(&[Extension::EightBitMime]);
    deliver(&server, "", "Gr\u{fc}\u{df}e\r\n");
    assert_eq!(names(&server, 1), [""; 0]);
}

/// RFC 1870 section 5: stuffed dots do not count.
#[test]
fn a_message_larger_than_its_size_is_found() {
    let server = extended();
    for size in [4, 3, 2000, 0] {
        deliver(&server, &format!(" SIZE={size}"), "hi\r\n");
    }
    deliver(&server, "", "hi\r\n");
    let text = only(&server, 5, "larger-than-declared");
    let expected = "declared a SIZE smaller than the message in 2 of 4 messages: \
                    that MAIL was accepted then promises nothing";
    assert_eq!(text, expected);
    let messages = server.stats().messages;
    assert_eq!((messages.declared, messages.declared_difference.count()), (4, 4));
}

#[test]
fn a_message_of_its_size_or_smaller_is_not() {
    let server = extended();
    deliver(&server, " SIZE=8", "..a\r\n..b\r\n");
    deliver(&server, " SIZE=10000", "hi\r\n");
    assert_eq!(server.stats().messages.declared_difference.min(), 0);
    assert_eq!(names(&server, 2), [""; 0]);
}

const ENVELOPE: &str = "MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n";

#[test]
fn pipelining_that_was_not_offered_is_found() {
    let server = without(&[Extension::Pipelining]);
    let mut client = Client::extended(server.local_addr());
    for _ in 0..2 {
        at_once(&mut client, ENVELOPE, 3);
        at_once(&mut client, "hi\r\n.\r\n", 1);
    }
    client.quit_extended();
    let text = only(&server, 1, "pipelining-not-offered");
    assert_eq!(text, "pipelined, although the reply to EHLO did not offer it, in 1 session");
}

/// Nobody was offered anything, and nobody has asked: clients of go-smtp-mock, and those of HELO.
#[test]
fn pipelining_is_not_where_nothing_says_whether_it_is_offered() {
    for (server, hello) in [(with_rules(&[]), "EHLO a.example"), (extended(), "HELO a.example")] {
        let mut client = Client::greeted(server.local_addr());
        client.expect(hello, "250 Received");
        at_once(&mut client, ENVELOPE, 3);
        at_once(&mut client, "hi\r\n.\r\n", 1);
        at_once(&mut client, "NOOP\r\nNOOP\r\n", 2);
        client.quit();
        assert_eq!(names(&server, 1), [""; 0]);
        assert_eq!(server.stats().extensions.pipelining, 1);
    }
}

fn with_auth() -> Config {
    Config::default().auth(("ann", "secret"))
}

/// RFC 2920 section 3.1, and RFC 4954 section 4 for AUTH.
#[test]
fn more_behind_a_command_that_must_end_its_group_is_found() {
    for (lines, replies) in [
        ("NOOP\r\nMAIL FROM:<ann@example.com>\r\n", 2),
        ("VRFY bob\r\nRSET\r\n", 2),
        ("EHLO b.example\r\nRSET\r\n", 0),
        ("AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\nRSET\r\n", 3),
        ("AUTH LOGIN YW5u\r\nc2VjcmV0\r\nRSET\r\n", 3),
        (&format!("{ENVELOPE}hi\r\n.\r\n"), 4),
    ] {
        let server = start(with_auth());
        let mut client = Client::extended(server.local_addr());
        at_once(&mut client, lines, replies);
        client.send("QUIT\r\n");
        client.rest();
        let text = only(&server, 1, "group-not-ended");
        let expected =
            "did not wait for the reply to a command that must end a group, like DATA, in 1 session";
        assert_eq!(text, expected, "{lines}");
    }
}

/// RFC 4954 section 4: it is known to take no response but the initial one.
#[test]
fn more_behind_auth_with_its_only_response_is_not() {
    let server = start(with_auth());
    for (response, code) in [("AGFubgBzZWNyZXQ=", "235 "), ("AGFubgB3cm9uZw==", "535 ")] {
        let mut client = Client::extended(server.local_addr());
        client.send(format!("AUTH PLAIN {response}\r\nRSET\r\n"));
        assert!(client.reply().starts_with(code), "{response}");
        assert_eq!(client.reply(), "250 2.0.0 Ok");
        client.quit_extended();
    }
    assert_eq!(names(&server, 2), [""; 0]);
    assert_eq!(server.stats().extensions.pipelining, 2);
}

/// The content of a message may begin a group, and BDAT stand anywhere in it (RFC 3030 section 4.2).
#[test]
fn groups_that_end_where_they_must_are_not() {
    let server = extended();
    let mut client = Client::extended(server.local_addr());
    at_once(&mut client, ENVELOPE, 3);
    at_once(&mut client, &format!("hi\r\n.\r\n{ENVELOPE}"), 4);
    let chunks = "BDAT 2\r\nhiBDAT 2 LAST\r\n\r\nRSET\r\n";
    at_once(&mut client, &format!("hi\r\n.\r\nRSET\r\n{}{chunks}", &ENVELOPE[..ENVELOPE.len() - 6]), 7);
    at_once(&mut client, "RSET\r\nNOOP\r\n", 2);
    client.quit_extended();
    assert_eq!(names(&server, 1), [""; 0]);
    let stats = server.stats();
    assert_eq!((stats.extensions.pipelining, stats.extensions.chunking), (1, 1));
    // EHLO, four groups and QUIT.
    assert_eq!((stats.pipelining.round_trips, stats.pipelining.commands), (6, 1 + 3 + 4 + 7 + 2 + 1));
    assert_eq!((stats.pipelining.groups.count(), stats.pipelining.groups.max()), (4, 7));
}

#[test]
fn repeated_vrfy_and_expn_are_found() {
    let server = extended();
    let mut client = Client::extended(server.local_addr());
    for line in ["VRFY ann", "EXPN list", "VRFY bob", "VRFY carol"] {
        client.command(line);
    }
    client.quit_extended();
    let text = only(&server, 1, "probed-addresses");
    assert_eq!(text, "sent VRFY or EXPN three times or more in 1 session");
}

#[test]
fn single_ones_are_not() {
    let server = extended();
    for _ in 0..3 {
        let mut client = Client::extended(server.local_addr());
        client.command("VRFY ann");
        client.command("EXPN list");
        client.quit_extended();
    }
    assert_eq!(names(&server, 3), [""; 0]);
}

#[test]
fn sessions_are_counted_once_for_each_extension_that_they_use() {
    let server = extended();
    let mut client = Client::extended(server.local_addr());
    for _ in 0..2 {
        transaction(&mut client, " SMTPUTF8 ENVID=x", "hi\r\n");
        for line in ["MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com> NOTIFY=NEVER"] {
            assert!(client.command(line).starts_with("250 "), "{line}");
        }
        assert!(client.bdat("hi\r\n", " LAST").starts_with("250 "));
    }
    client.quit_extended();
    deliver(&server, "", "hi\r\n");
    let ExtensionStats { pipelining, chunking, smtputf8, dsn, .. } = after_sessions(&server, 2).extensions;
    assert_eq!((pipelining, chunking, smtputf8, dsn), (0, 1, 1, 1));
}
