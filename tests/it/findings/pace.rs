//! Findings on clients that are slower than necessary.

use std::thread::sleep;
use std::time::Duration;

use smtpmock::smtp::ReplyKind;
use smtpmock::{Config, Server};

use super::found::{client, findings, names, only, send};
use crate::support::client::Client;
use crate::support::server::{start, with_rules};

/// Number of messages, with and without a pause.
const MESSAGES: usize = 10;

#[test]
fn a_connection_for_each_message_is_found() {
    let server = with_rules(&[]);
    for number in 1..=50 {
        let mut client = client(&server);
        send(&mut client, "hi\r\n");
        client.quit();
        assert_eq!(findings(&server, number).len(), usize::from(number == 50), "{number} connections");
    }
    let text = only(&server, 50, "connections-not-reused");
    assert_eq!(text, "opened 50 connections for a message each and reused none");
}

#[test]
fn a_connection_that_is_reused_is_not() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    for _ in 0..60 {
        send(&mut client, "hi\r\n");
    }
    client.quit();
    assert_eq!(names(&server, 1), [""; 0]);
}

#[test]
fn a_connection_is_reused_by_a_mail_that_is_refused() {
    let server = with_rules(&[r#"mail nth=2 per=session reply="451 4.3.0 Later""#]);
    for _ in 0..60 {
        let mut client = client(&server);
        send(&mut client, "hi\r\n");
        assert_eq!(client.command("MAIL FROM:<ann@example.com>"), "451 4.3.0 Later");
        client.quit();
    }
    assert_eq!(names(&server, 60), [""; 0]);
    let sessions = server.stats().sessions;
    assert_eq!((sessions.messages.max(), sessions.reused, sessions.not_reused), (1, 60, 0));
}

#[test]
fn connections_that_the_server_ends_are_not() {
    let server = with_rules(&[r#"message reply="250 That is all" close"#]);
    for _ in 0..60 {
        let mut client = client(&server);
        let reply = client.transaction("ann@example.com", "bob@example.com", "hi\r\n");
        assert_eq!(reply, "250 That is all");
    }
    assert_eq!(names(&server, 60), [""; 0]);
}

#[test]
fn connections_that_are_not_reused_are_found_beside_those_that_the_server_ends() {
    let server = with_rules(&[r#"mail from=gone@example.com reply="550 5.1.0 Gone" close"#]);
    for _ in 0..60 {
        client(&server).command("MAIL FROM:<gone@example.com>");
    }
    for _ in 0..50 {
        let mut client = client(&server);
        send(&mut client, "hi\r\n");
        client.quit();
    }
    let text = only(&server, 110, "connections-not-reused");
    assert_eq!(text, "opened 50 connections for a message each and reused none");
}

fn offering_pipelining() -> Server {
    start(Config::default().reply(ReplyKind::HeloReceived, "250-mx.example\r\n250 PIPELINING"))
}

/// A client that has received that reply.
fn offered(server: &Server) -> Client {
    let mut client = Client::greeted(server.local_addr());
    assert_eq!(client.command("EHLO client.example"), "250-mx.example");
    assert_eq!(client.reply(), "250 PIPELINING");
    client
}

#[test]
fn pipelining_offered_and_never_used_is_found() {
    let server = offering_pipelining();
    let mut client = offered(&server);
    for _ in 0..MESSAGES {
        send(&mut client, "hi\r\n");
    }
    client.quit();
    let text = only(&server, 1, "never-pipelined");
    assert_eq!(text, "never pipelined in 10 messages, although it was offered");
}

#[test]
fn pipelining_that_is_used_is_not() {
    let server = offering_pipelining();
    let mut client = offered(&server);
    for _ in 0..MESSAGES {
        client.send(b"MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n");
        (0..3).for_each(|_| drop(client.reply()));
        client.command("hi\r\n.");
    }
    client.quit();
    assert_eq!(names(&server, 1), [""; 0]);
}

/// Sends messages in pieces with this pause between them.
fn in_pieces(server: &Server, gap: Duration) {
    let mut client = client(server);
    for _ in 0..MESSAGES {
        client.envelope("ann@example.com", "bob@example.com");
        client.data();
        client.send(b"Subject: hi\r\n\r\n");
        sleep(gap);
        client.command("Hello\r\n.");
    }
    client.quit();
}

#[test]
fn pieces_40_ms_apart_are_found() {
    let server = with_rules(&[]);
    // A busy machine pauses longer, and its measurement proves nothing.
    let found = (0..10).any(|_| {
        let before = server.stats();
        in_pieces(&server, Duration::from_millis(40));
        server.stats().since(&before).findings().iter().any(|finding| finding.name == "nagle-delay")
    });
    assert!(found, "{:?}", server.stats().messages.longest_gap);
}

#[test]
fn pieces_that_the_server_reads_slowly_are_not() {
    let server = start(Config::default().read_rate("40KiB/s".parse().expect("a rate")));
    let mut client = client(&server);
    for _ in 0..6 {
        send(&mut client, &"0123456789\r\n".repeat(400));
    }
    client.quit();
    assert_eq!(names(&server, 1), [""; 0]);
    let messages = server.stats().messages;
    assert!(messages.data_time.min() > Duration::from_millis(50), "in several reads: {messages:?}");
}

#[test]
fn pieces_further_apart_are_not() {
    let server = with_rules(&[]);
    in_pieces(&server, Duration::from_millis(65));
    assert_eq!(names(&server, 1), [""; 0]);
}
