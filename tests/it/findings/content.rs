//! Findings on the contents of messages.

use smtpmock::{Config, Server};

use super::found::{client, names, only, send};
use crate::support::client::Client;
use crate::support::server::{start, with_rules};

#[test]
fn a_bare_lf_is_found() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    send(&mut client, "Subject: hi\r\n\r\nOne\nTwo\r\n");
    client.quit();
    assert_eq!(only(&server, 1, "bare-lf"), "sent LF without CR in 1 of 1 inspected message");
}

#[test]
fn a_bare_lf_is_found_where_the_octets_come_one_by_one() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    client.envelope("ann@example.com", "bob@example.com");
    client.data();
    for octet in b"a\r\nb\r\n\n.\r\n\r\n." {
        client.send([*octet]);
    }
    client.command("");
    client.quit();
    only(&server, 1, "bare-lf");
}

#[test]
fn a_long_line_is_found() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    send(&mut client, &format!("Subject: hi\r\n\r\n{}\r\n", "x".repeat(999)));
    client.quit();
    let text = only(&server, 1, "long-lines");
    let expected = "sent lines of more than 998 octets (RFC 5322 section 2.1.1) in 1 of 1 inspected message";
    assert_eq!(text, expected);
}

#[test]
fn valid_lines_are_not() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    // The dot added for transparency does not count.
    send(&mut client, &format!("Subject: hi\r\n\r\n{}\r\n..{}\r\n", "x".repeat(998), "x".repeat(997)));
    client.quit();
    assert_eq!(names(&server, 1), [""; 0]);
    assert_eq!(server.stats().messages.inspected, 1);
}

#[test]
fn the_lines_of_the_first_16_messages_of_a_session_are_inspected_and_of_every_16th_behind_them() {
    for (faulty, found) in [(0, true), (1, true), (15, true), (16, true), (17, false), (32, true)] {
        let server = with_rules(&[]);
        let mut client = client(&server);
        for number in 0..33 {
            send(&mut client, if number == faulty { "bare\nLF\r\n" } else { "hi\r\n" });
        }
        client.quit();
        match found {
            true => {
                let text = only(&server, 1, "bare-lf");
                assert_eq!(text, "sent LF without CR in 1 of 18 inspected messages");
            }
            false => assert_eq!(names(&server, 1), [""; 0]),
        }
    }
}

/// Sends a message in two chunks after a MAIL with these parameters, in a session of its own.
fn send_in_chunks(server: &Server, parameters: &str, [first, last]: [&str; 2]) {
    let mut client = Client::extended(server.local_addr());
    for line in [&format!("MAIL FROM:<ann@example.com>{parameters}"), "RCPT TO:<bob@example.com>"] {
        assert!(client.command(line).starts_with("250 "), "{line}");
    }
    assert!(client.bdat(first, "").starts_with("250 "));
    assert!(client.bdat(last, " LAST").starts_with("250 "));
    client.quit_extended();
}

#[test]
fn a_bare_cr_or_lf_in_chunks_is_found() {
    for chunks in
        [["a\nb\r\n", "c\r\n"], ["a\r", "b\r\n"], ["a\r\n", "\nb\r\n"], ["a\r\n", "b\r"], ["a\r\r", "\n"]]
    {
        let server = start(Config::default().esmtp());
        send_in_chunks(&server, "", ["a line\r\n", "end\r\n"]);
        send_in_chunks(&server, "", chunks);
        let text = only(&server, 2, "bare-cr-or-lf-in-chunks");
        assert_eq!(
            text, "sent CR or LF without the other in 1 of 2 inspected messages in chunks",
            "{chunks:?}"
        );
    }
}

#[test]
fn whole_line_ends_in_chunks_and_any_octets_of_a_binary_message_are_not() {
    let server = start(Config::default().esmtp());
    send_in_chunks(&server, "", ["a\r\n\r", "\nb\r\nno end"]);
    send_in_chunks(&server, "", ["a\r", "\n"]);
    send_in_chunks(&server, " BODY=BINARYMIME", ["a\rb\nc\r", "\r\n\n"]);
    assert_eq!(names(&server, 3), [""; 0]);
    let messages = server.stats().messages;
    assert_eq!((messages.accepted, messages.inspected_in_chunks), (3, 2));
}

/// Sends a message to this many recipients.
fn to_many(recipients: usize) -> Vec<&'static str> {
    let server = with_rules(&[]);
    let mut client = client(&server);
    client.mail("ann@example.com");
    for number in 0..recipients {
        client.rcpt(&format!("bob{number}@example.com"));
    }
    client.message("hi\r\n");
    client.quit();
    names(&server, 1)
}

#[test]
fn more_than_100_recipients_are_found() {
    assert_eq!(to_many(101), ["many-recipients"]);
    assert_eq!(to_many(100), [""; 0]);
}
