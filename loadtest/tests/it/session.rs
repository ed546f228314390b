//! The SMTP of the client.

use crate::support::{Act, Load, Sink, Verb};

#[test]
fn replies_of_many_lines_in_many_packets_are_one_reply() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Banner => Act::Pieces(&["22", "0-hello", "\r\n220-still\r", "\n220 there\r\n"]),
        Verb::Ehlo => Act::Pieces(&["250-sink\r\n2", "50-SIZE 1000000\r\n250", " HELP\r\n"]),
        Verb::Rcpt => Act::Say("250-2.1.5 fine\r\n250 2.1.5 indeed\r\n"),
        Verb::Dot => Act::Say("250\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 2 --count 20 --messages-per-session 5").run().expect(0);
    assert_eq!(outcome.count("accepted"), 20);
}

#[test]
fn a_pipelined_group_is_answered_one_by_one() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Rcpt if turn.nth % 3 == 1 => Act::Say("550 no\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 20 --rcpts 3 --pipelining").run().expect(0);
    assert_eq!(outcome.count("accepted"), 20);
    assert_eq!(outcome.count("recipients_accepted"), 40);
    assert_eq!(outcome.number("/accounting/measured/recipients_refused/0/count"), 20);
    assert_eq!(outcome.number("/latency/rcpt/ok/count"), 40);
    assert_eq!(outcome.number("/latency/mail/ok/count"), 20);
}

#[test]
fn a_group_without_a_recipient_is_ended_by_a_lone_dot_when_data_was_taken() {
    // RFC 2920 section 3.1: a 354 although no recipient was accepted.
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Rcpt => Act::Say("550 no\r\n"),
        Verb::Dot => Act::Say("554 no valid recipients\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 5 --pipelining").run().expect(1);
    assert_eq!(outcome.count("refused_5xx"), 5);
    let row = &outcome.report["accounting"]["measured"]["refused_by"][0];
    assert_eq!((row["phase"].as_str(), row["code"].as_u64()), (Some("rcpt"), Some(550)));
    assert_eq!(sink.sessions(), 1, "the session stays in step");
}

#[test]
fn a_group_refused_at_data_is_reset_and_the_session_goes_on() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Data if turn.nth % 2 == 0 => Act::Say("452 later\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 10 --pipelining").run().expect(0);
    assert_eq!((outcome.count("accepted"), outcome.count("refused_4xx")), (5, 5));
    assert_eq!(sink.seen().verbs[&Verb::Rset], 5);
    assert_eq!(sink.sessions(), 1);
}

#[test]
fn pipelining_is_left_when_the_server_does_not_offer_it() {
    let sink = Sink::answering(Verb::Ehlo, Act::Say("250 plain\r\n"));
    let outcome = Load::on(&sink).with("-c 2 --count 10 --pipelining").run().expect(0);
    assert_eq!(outcome.count("accepted"), 10);
    assert_eq!(outcome.number("/sessions/without_pipelining"), 2);
}

#[test]
fn what_is_no_reply_aborts_the_message_and_nothing_else() {
    let sink = Sink::start(|turn| match (turn.verb, turn.nth % 8) {
        (Verb::Mail, 1) => Act::Say("hello there\r\n"),
        (Verb::Rcpt, 2) => Act::Say("250-one\r\n251 two\r\n"),
        (Verb::Data, 3) => Act::Say("250 not what DATA wants\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 2 --count 80").run().expect(0);
    let rows = outcome.report["accounting"]["measured"]["aborted_by"].as_array().cloned().expect("a list");
    assert!(rows.iter().all(|row| row["reason"] == "protocol"), "{rows:?}");
    assert_eq!(rows.len(), 3, "mail, rcpt, data: {rows:?}");
    assert_eq!(outcome.count("accepted"), sink.seen().messages.len() as u64);
}

#[test]
fn an_endless_reply_is_cut_off() {
    let sink = Sink::answering(
        Verb::Banner,
        Act::Say(Box::leak(format!("220-{}", "x".repeat(1 << 20)).into_boxed_str())),
    );
    let outcome = Load::on(&sink).with("-c 1 --count 1").run().expect(1);
    assert_eq!(outcome.report["accounting"]["measured"]["aborted_by"][0]["reason"], "protocol");
}

#[test]
fn addresses_come_from_their_templates() {
    let sink = Sink::usual();
    Load::on(&sink)
        .with("-c 1 --count 2 --rcpts 2 --helo load.example.net")
        .with("--from bounce-{{seq}}@example.net --to user{{seq}}.{{rcpt}}@example.com")
        .run()
        .expect(0);
    let seen = sink.seen();
    assert_eq!(seen.lines[0], "EHLO load.example.net");
    assert_eq!(seen.messages[1].from, "MAIL FROM:<bounce-1@example.net>");
    assert_eq!(seen.messages[1].to, ["RCPT TO:<user1.0@example.com>", "RCPT TO:<user1.1@example.com>"]);
}

#[test]
fn a_message_from_a_file_arrives_with_dots_and_line_ends_put_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("message.eml");
    std::fs::write(&file, "Subject: dots\n\n.\n..two\r\nend").expect("a file");
    let sink = Sink::usual();
    Load::on(&sink).with("--count 1 -c 1 --message").arg(file.to_str().expect("a path")).run().expect(0);
    let seen = sink.seen();
    let (token, rest) = seen.messages[0].text.split_once("\r\n").expect("a line");
    assert!(token.starts_with("X-Smtpload-Token: "), "{token}");
    assert_eq!(rest, "Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n");
}

#[test]
fn sizes_are_of_the_body_and_a_range_is_drawn_from() {
    let sink = Sink::usual();
    Load::on(&sink).with("--count 60 -c 2 --size 1KiB..200KiB --seed 5").run().expect(0);
    let seen = sink.seen();
    let sizes: Vec<usize> = seen
        .messages
        .iter()
        .filter_map(|message| Some(message.text.split_once("\r\n\r\n")?.1.len()))
        .collect();
    assert_eq!(sizes.len(), 60);
    assert!(sizes.iter().all(|size| (1024..=200 * 1024 + 1).contains(size)), "{sizes:?}");
    assert!(sizes.iter().max() > sizes.iter().min().map(|min| min * 3).as_ref());
}

#[test]
fn a_source_address_is_bound_and_ipv6_is_spoken() {
    let sink = Sink::usual();
    let outcome = Load::on(&sink).with("--count 4 -c 2 --bind 127.0.0.2,127.0.0.3").run().expect(0);
    assert_eq!(outcome.count("accepted"), 4);
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let sink = Sink::listen("[::1]:0", |_| Act::Usual);
    assert_eq!(Load::on(&sink).with("--count 4 -c 2").run().expect(0).count("accepted"), 4);
}

#[test]
fn a_close_that_comes_with_the_last_reply_costs_no_message() {
    // The reply and the end of the connection arrive together, as one event.
    let sink = Sink::answering(Verb::Dot, Act::SayAndClose("250 taken, and good bye\r\n"));
    let outcome = Load::on(&sink).with("--rate 50/s --count 50 -c 4 --late-after 10s").run().expect(0);
    assert_eq!(outcome.count("accepted"), 50);
    assert_eq!(outcome.count("aborted"), 0);
    assert!(outcome.number("/sessions/ended_idle") >= 40);
}
