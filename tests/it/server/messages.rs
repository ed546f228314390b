//! The messages that a test reads from a server: which of them, when, and their contents.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Barrier;
use std::time::Duration;

use regex::Regex;
use smtpmock::smtp::rules::Environment;
use smtpmock::smtp::{self, AddressRules, RecordMode, ReplyKind};
use smtpmock::{Config, Server};

use crate::support::client::{Client, MESSAGE};
use crate::support::server::{ruled, start};
use crate::support::waiting::{PATIENCE, now};

/// Sends one message with this text over its own connection.
fn send(server: &Server, text: &str) {
    let mut client = Client::with_envelope(server.local_addr());
    client.message(text);
    client.quit();
}

fn texts(messages: &[smtpmock::Message]) -> Vec<String> {
    messages.iter().map(|message| message.msg_request().into_owned()).collect()
}

#[test]
fn a_message_is_visible_as_soon_as_its_250_is_read() {
    for shards in [1, 2] {
        let server = start(Config::default().shards(shards));
        for number in 1..=50 {
            let text = format!("message {number}\r\n");
            let mut client = Client::with_envelope(server.local_addr());
            client.message(&text);
            let messages = server.messages();
            assert_eq!(messages.len(), number);
            assert_eq!(messages[number - 1].msg_request(), text);
            assert!(messages[number - 1].is_consistent());
            client.quit();
        }
    }
}

#[test]
fn a_record_of_a_session_is_complete_as_soon_as_the_221_is_read() {
    let server = start(Config::default().records(RecordMode::Session));
    for number in 1..=50 {
        let mut client = Client::with_envelope(server.local_addr());
        client.message("x\r\n");
        client.expect("NOOP", "250 Ok");
        assert!(server.messages()[number - 1].noop(), "a later command updates the record");
        client.expect("QUIT", "221 Closing connection");
        assert!(server.messages()[number - 1].quit_sent());
    }
}

#[test]
fn a_wait_is_woken_by_an_arrival() {
    let server = start(Config::default());
    let (waiting, start) = (Barrier::new(2), now());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            waiting.wait();
            server.wait_for_messages(2, PATIENCE)
        });
        waiting.wait();
        send(&server, "one\r\n");
        assert!(!waiter.is_finished(), "one message is not two");
        send(&server, "two\r\n");
        assert_eq!(texts(&waiter.join().unwrap().unwrap()), ["one\r\n", "two\r\n"]);
        assert!(start.elapsed() < PATIENCE, "nobody woke the waiter");
    });
}

#[test]
fn a_wait_for_present_messages_returns_at_once_even_with_a_timeout_of_zero() {
    let server = start(Config::default());
    send(&server, "one\r\n");
    assert_eq!(server.wait_for_messages(1, Duration::ZERO).unwrap().len(), 1);
    assert_eq!(server.wait_for_messages(0, Duration::ZERO).unwrap().len(), 1);
    assert_eq!(server.wait_for_messages_and_purge(1, Duration::ZERO).unwrap().len(), 1);
    assert!(server.messages().is_empty());
}

#[test]
fn a_failed_wait_reports_what_arrived_and_does_not_take_it() {
    let server = start(Config::default());
    send(&server, "one\r\n");
    let timeout = Duration::from_millis(50);
    for wait in [Server::wait_for_messages, Server::wait_for_messages_and_purge] {
        let start = now();
        let error = wait(&server, 3, timeout).unwrap_err();
        assert!(start.elapsed() >= timeout, "gave up early");
        assert_eq!((error.expected, error.timeout), (3, timeout));
        assert_eq!(texts(&error.arrived), ["one\r\n"]);
        assert_eq!(error.to_string(), "timeout waiting for 3 messages: got 1 within 50ms");
    }
    assert_eq!(server.messages().len(), 1);
}

#[test]
fn purging_loses_nothing_and_repeats_nothing() {
    const SENDERS: usize = 6;
    const MESSAGES: usize = 40;
    for mode in [RecordMode::Session, RecordMode::Message] {
        let server = start(Config::default().shards(2).records(mode));
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|sender| {
                    let server = &server;
                    scope.spawn(move || {
                        for number in 0..MESSAGES {
                            send(server, &format!("{sender}-{number}\r\n"));
                        }
                    })
                })
                .collect();
            while senders.iter().any(|sender| !sender.is_finished()) {
                seen.extend(texts(&server.messages_and_purge()));
            }
        });
        seen.extend(texts(&server.messages_and_purge()));
        assert_eq!(seen.len(), SENDERS * MESSAGES, "{mode:?}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), SENDERS * MESSAGES, "{mode:?}");
        assert!(server.messages().is_empty());
    }
}

#[test]
fn two_purges_at_once_share_the_messages() {
    let server = start(Config::default());
    for number in 0..20 {
        send(&server, &format!("{number}\r\n"));
    }
    let (left, right) = std::thread::scope(|scope| {
        let left = scope.spawn(|| server.messages_and_purge().len());
        let right = scope.spawn(|| server.messages_and_purge().len());
        (left.join().unwrap(), right.join().unwrap())
    });
    assert_eq!(left + right, 20);
}

#[test]
fn two_mails_of_one_session_are_two_records_with_every_recipient() {
    let server = start(Config::default());
    let mut client = Client::with_envelope(server.local_addr());
    client.rcpt("carol@example.com");
    client.rcpt("dave@example.com");
    client.message("one\r\n");
    client.transaction("eve@example.com", "frank@example.com", "two\r\n");
    let messages = server.wait_for_messages(2, PATIENCE).unwrap();
    assert_eq!(texts(&messages), ["one\r\n", "two\r\n"]);
    assert_eq!(messages[0].forward_paths(), ["bob@example.com", "carol@example.com", "dave@example.com"]);
    assert_eq!(messages[1].forward_paths(), ["frank@example.com"]);
    assert!(messages.iter().all(|message| message.is_consistent() && !message.quit_sent()));
}

/// go-smtp-mock considers only the last RCPT; so do records per session, unless they retain every RCPT.
#[test]
fn a_refused_recipient_after_an_accepted_one_does_not_refuse_the_mail() {
    const READY: &str = ReplyKind::DataReceived.default_text();
    const NO_RECIPIENT: &str = ReplyKind::InvalidDataSequence.default_text();
    let session = || Config::default().records(RecordMode::Session);
    for (config, reply) in [
        (Config::default(), READY),
        (Config::default().multiple_rcptto(true), READY),
        (session(), NO_RECIPIENT),
        (session().multiple_rcptto(true), READY),
    ] {
        let server = start(config.not_registered_emails(["gone@example.com"]));
        let mut client = Client::with_envelope(server.local_addr());
        client.expect("RCPT TO:<gone@example.com>", "550 User not found");
        assert_eq!(client.command("DATA"), reply);
    }
    // Whatever the text of the reply that accepted the first.
    let config = Config::default().not_registered_emails(["away@example.com"]);
    let server = start(ruled(config, &["rcpt to=bob@* reply=\"251 2.1.5 Forwarded\""]));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("ann@example.com");
    client.expect("RCPT TO:<bob@example.com>", "251 2.1.5 Forwarded");
    client.expect("RCPT TO:<away@example.com>", "550 User not found");
    client.message("x\r\n");
    assert_eq!(server.messages()[0].forward_paths(), ["bob@example.com"]);
}

#[test]
fn records_per_message_retain_what_was_accepted() {
    let server = start(Config::default());
    let mut client = Client::with_envelope(server.local_addr());
    client.message("one\r\n");
    client.expect("RSET", "250 Ok");
    client.envelope("ann@example.com", "bob@example.com");
    client.message("two\r\n");
    client.expect("EHLO again.example", "250 Received");
    client.envelope("ann@example.com", "bob@example.com");
    client.message("three\r\n");
    client.envelope("ann@example.com", "bob@example.com");
    client.mail("abandons@example.com");
    client.quit();
    let messages = server.messages();
    assert_eq!(texts(&messages), ["one\r\n", "two\r\n", "three\r\n", "", ""]);
    assert!(messages[..3].iter().all(smtpmock::Message::is_consistent));
    assert_eq!(messages[1].helo_name().unwrap(), "client.example");
    assert_eq!(messages[2].helo_name().unwrap(), "again.example");
    assert_eq!(messages[4].reverse_path().unwrap(), "abandons@example.com");
}

#[test]
fn records_per_session_are_overwritten_by_the_next_mail() {
    let server = start(Config::default().records(RecordMode::Session));
    let mut client = Client::with_envelope(server.local_addr());
    client.message("one\r\n");
    client.envelope("second@example.com", "bob@example.com");
    client.message("two\r\n");
    client.quit();
    let messages = server.messages();
    assert_eq!(texts(&messages), ["two\r\n"]);
    assert_eq!(messages[0].reverse_path().unwrap(), "second@example.com");
}

#[test]
fn a_readiness_probe_leaves_no_record() {
    let server = start(Config::default());
    drop(Client::connect(server.local_addr()));
    drop(Client::greeted(server.local_addr()));
    let mut half_closed = Client::greeted(server.local_addr());
    half_closed.half_close();
    assert_eq!(half_closed.rest(), "");
    send(&server, "one\r\n");
    server.stop();
    assert_eq!(texts(&server.messages()), ["one\r\n"]);
}

#[test]
fn a_large_message_arrives_unchanged() {
    let line = "..a line that starts with a dot, and \0 and \u{7f} and ü in it\r\n";
    let sent = line.repeat(50_000) + "\n\r\rno line ends, these\r\n";
    let server = start(Config::default());
    let mut client = Client::with_envelope(server.local_addr());
    client.message(&sent);
    client.quit();
    let expected = sent.replace("\r\n..", "\r\n.");
    assert!(server.messages()[0].body() == &expected.as_bytes()[1..], "the body differs");
}

#[test]
fn content_has_a_return_path_and_a_received_header() {
    let server = start(Config::default());
    let mut client = Client::with_envelope(server.local_addr());
    client.message(MESSAGE);
    let peer = client.local_addr();
    client.quit();
    let message = &server.messages()[0];
    assert_eq!(message.peer_addr().inet(), Some(peer));
    assert!(message.accepted_at().unwrap() >= message.connected_at());
    let content = String::from_utf8(message.content()).unwrap();
    let pattern = r"(?x)\A Return-Path:\ <ann@example\.com>\r\n
        Received:\ from\ client\.example\ \(\[127\.0\.0\.1\]\)\r\n
        \tby\ smtpmock\ \(\[127\.0\.0\.1\]\)\ with\ ESMTP\ id\ [0-9a-z]{8}-1-1\r\n
        \tfor\ <bob@example\.com>;\r\n
        \t(\w{3},\ \d{1,2}\ \w{3}\ \d{4}\ \d\d:\d\d:\d\d\ [+-]\d{4})\r\n
        Subject:\ hi\r\n\r\nHello\r\n\z";
    let captures = Regex::new(pattern).unwrap().captures(&content).unwrap_or_else(|| panic!("{content}"));
    assert!(chrono::DateTime::parse_from_rfc2822(&captures[1]).is_ok(), "{}", &captures[1]);
}

#[test]
fn content_names_no_recipient_if_there_are_several_and_shows_an_empty_sender() {
    let server = start(Config::default());
    let mut client = Client::greeted(server.local_addr());
    client.expect("HELO vm", "250 Received");
    client.mail("");
    client.rcpt("bob@example.com");
    client.rcpt("postmaster");
    client.message("x\r\n");
    let message = &server.messages()[0];
    assert_eq!(message.reverse_path().unwrap(), "");
    assert_eq!(message.forward_paths(), ["bob@example.com", "postmaster"]);
    let content = String::from_utf8(message.content()).unwrap();
    assert!(content.starts_with("Return-Path: <>\r\nReceived: from vm ("), "{content}");
    assert!(content.contains(" with SMTP id ") && !content.contains("for <"), "{content}");
}

/// The output of a failed assertion.
#[test]
fn the_debug_output_of_records_is_text_of_bounded_length() {
    let server = start(Config::default().multiple_rcptto(true));
    let mut client = Client::with_envelope(server.local_addr());
    (0..30).for_each(|number| client.rcpt(&format!("{number}@example.com")));
    client.message(&format!("Subject: Gr\u{f6}\u{df}e\r\n\r\n{}", "Hello, Bob!\r\n".repeat(10_000)));
    client.quit();
    let error = server.wait_for_messages(2, Duration::ZERO).unwrap_err();
    let shown = format!("{error:?}");
    for text in [
        "WaitError { expected: 2, timeout: 0ns, arrived: [Message { id: ",
        "-1-1, peer_addr: 127.0.0.1:",
        r#", helo: "EHLO client.example" => "250 Received", mailfrom: "MAIL FROM:<ann@example.com>" => "#,
        r#""RCPT TO:<8@example.com>" => "250 Received", ... and 21 more], data: "#,
        r#", msg: "Subject: Größe\r\n\r\nHello, Bob!\r\nHello, "#,
        r#"... and 129508 more octets => "250 Received", msg_size: 130020, accepted: [helo, mailfrom, rcptto, data, msg] }] }"#,
    ] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    assert!(shown.len() < 4_000, "{} octets", shown.len());
    // No part of it is a list of numbers, as octets would be printed by default.
    assert!(!shown.contains(", 101, "), "{shown}");
}

#[test]
fn the_debug_output_of_other_types_shows_octets_as_text() {
    let lists = Config::default().not_registered_emails(["gone@example.com"]);
    let mut policy = smtp::Policy::default();
    policy.add_rule("rcpt delay=1ms".parse().unwrap());
    let mut session = smtp::Session::new();
    for input in [
        &b"EHLO a.example\r\n"[..],
        b"MAIL FROM:<ann@example.com>\r\n",
        b"RCPT TO:<bob@example.com>\r\n",
        b"DATA\r\n",
        b"Hello\r\n",
    ] {
        session.advance(&policy, &mut Environment::alone(), input);
    }
    let line = b"MAIL FROM:<ann@example.com>";
    let offered = smtp::Extensions::default();
    let grammar = smtp::Grammar { addresses: AddressRules::Any, offered: &offered };
    let shown = [
        format!("{lists:?}"),
        format!("{session:?}"),
        format!("{:?}", session.record().unwrap()),
        format!("{:?}", smtp::Request::parse(line, grammar)),
        format!("{:?}", smtp::Path::parse_reverse(line, AddressRules::Any).unwrap()),
        format!("{:?}", smtp::HeloName::parse(b"EHLO a.example", AddressRules::Any).unwrap()),
    ];
    let texts =
        ["gone@example.com", "Hello\\r\\n", "EHLO a.example", "MAIL FROM:", "ann@example.com", "a.example"];
    for (shown, text) in shown.iter().zip(texts) {
        assert!(shown.contains(text) && !shown.contains(", 101, "), "{shown}");
    }
}

#[test]
fn header_fields_are_parsed_from_the_received_message() {
    let server = start(Config::default());
    send(
        &server,
        "From: ann@example.com\r\nsubject: =?iso-8859-1?Q?Gr=F6=DFe?=\r\n =?utf-8?B?IDQy?=\r\n\r\nTo: nobody\r\n",
    );
    let message = &server.messages()[0];
    assert_eq!(message.subject().as_deref(), Some("Größe 42"));
    assert_eq!(message.header("FROM").as_deref(), Some("ann@example.com"));
    assert_eq!(message.header("To"), None);
}

#[test]
fn a_refused_message_has_no_content() {
    let server = start(Config::default().message_size_limit(5));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send(b"longer than five\r\n.\r\n");
    assert_eq!(client.reply(), "552 Message exceeded max size of 5 bytes");
    client.quit();
    let message = &server.messages()[0];
    assert!(message.content().is_empty() && message.body().is_empty() && message.accepted_at().is_none());
}

#[test]
fn memory_for_recipients_is_bounded_over_all_sessions() {
    let server = start(Config::default().max_message_memory(40_000));
    let rcpt = format!("RCPT TO: {}<bob@example.com>", "x".repeat(3_900));
    let replies = |client: &mut Client| -> Vec<String> { (0..20).map(|_| client.command(&rcpt)).collect() };

    let mut second = Client::with_envelope(server.local_addr());
    let mut first = Client::with_envelope(server.local_addr());
    let replies_of_first = replies(&mut first);
    let refusal = ReplyKind::InsufficientStorage.default_text();
    assert_eq!(replies_of_first[5], "250 Received");
    assert_eq!(replies_of_first[15], refusal);
    assert_eq!(second.command("RCPT TO:<bob@example.com>"), refusal);

    first.command("RSET");
    assert_eq!(second.command("RCPT TO:<bob@example.com>"), "250 Received");
}

#[test]
fn nothing_is_retained_when_records_are_off() {
    let server = start(Config::default().keep_records(false));
    send(&server, "one\r\n");
    assert!(server.messages().is_empty());
    let stats = server.stats();
    assert_eq!((stats.messages.accepted, stats.messages.bytes), (1, 5));
    assert!(server.wait_for_messages(1, Duration::from_millis(1)).is_err());
}

#[test]
fn stats_count_what_happened() {
    let server = start(Config::default().message_size_limit(10));
    send(&server, "short\r\n");
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send(b"this is too long\r\n.\r\n");
    assert!(client.reply().starts_with("552 "));
    client.quit();
    server.stop();
    let stats = server.stats();
    assert_eq!((stats.sessions.opened, stats.sessions.closed), (2, 2));
    assert_eq!((stats.messages.accepted, stats.messages.refused, stats.messages.bytes), (1, 1, 7));
    assert_eq!(stats.sessions_by_shard, [2]);
}

#[test]
fn a_wait_that_purges_never_returns_fewer_messages_than_it_waited_for() {
    for _ in 0..100 {
        let server = start(Config::default());
        let (sender, counts) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for sender in [sender.clone(), sender] {
                scope.spawn(|| {
                    let messages = server.wait_for_messages_and_purge(1, PATIENCE);
                    let sender = sender;
                    sender.send(messages.unwrap().len()).unwrap();
                });
            }
            // Both wait for one message, and only one of them may return it.
            for text in ["one\r\n", "two\r\n"] {
                send(&server, text);
                assert_eq!(counts.recv().unwrap(), 1);
            }
        });
    }
}

#[test]
fn commands_after_a_message_with_many_recipients_cost_no_more_than_before() {
    const RECIPIENTS: usize = 5_000;
    let server = start(Config::default());
    let mut client = Client::with_envelope(server.local_addr());
    let recipients = "RCPT TO:<carol@example.com>\r\n".repeat(RECIPIENTS);
    let mut time = |lines: &str, count: usize| {
        let start = now();
        let mut writer = client.writer();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(lines.as_bytes()));
            for _ in 0..count {
                client.reply();
            }
        });
        start.elapsed()
    };
    let before = time(&recipients, RECIPIENTS);
    time("DATA\r\nx\r\n.\r\n", 2);
    let after = time(&"NOOP\r\n".repeat(RECIPIENTS), RECIPIENTS);
    println!("{RECIPIENTS} RCPTs: {before:?}, then {RECIPIENTS} NOOPs: {after:?}");
    assert!(after < before * 20, "{after:?} after {before:?}");
}
