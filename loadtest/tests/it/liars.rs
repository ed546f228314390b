//! Servers that reply without a command, or too early: no message counts as accepted.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::support::{Act, Load, Outcome, Sink, Verb};

/// Aborted messages, by phase and reason.
fn aborted(outcome: &Outcome) -> Vec<(&str, &str, u64)> {
    let rows = outcome.report["accounting"]["measured"]["aborted_by"].as_array().into_iter().flatten();
    rows.map(|row| {
        let text = |name: &str| row[name].as_str().expect("text");
        (text("phase"), text("reason"), row["count"].as_u64().expect("a count"))
    })
    .collect()
}

/// What a server does after an early reply.
#[derive(Clone, Copy)]
enum Then {
    /// Reads to the end.
    Reads,
    /// Closes with the message unread: the connection is reset.
    Closes,
}

/// A server that replies to the message with `reply` after its first bytes.
fn answering_early(reply: &'static str, then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no error of the server.
            std::thread::spawn(move || drop(answer_early(stream, reply, then)));
        }
    });
    address
}

fn answer_early(mut stream: TcpStream, reply: &str, then: Then) -> std::io::Result<()> {
    let mut buffer = [0; 1000];
    for reply in ["220 sink\r\n", "250 sink\r\n", "250 ok\r\n", "250 ok\r\n", "354 go on\r\n"] {
        stream.write_all(reply.as_bytes())?;
        if stream.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
    stream.write_all(reply.as_bytes())?;
    match then {
        Then::Reads => std::io::copy(&mut stream, &mut std::io::sink()).map(drop),
        Then::Closes => Ok(()),
    }
}

#[test]
fn a_reply_that_comes_with_the_one_before_it_answers_nothing() {
    let cases = [
        (Verb::Banner, "220 sink\r\n250 sink\r\n", "ehlo"),
        (Verb::Banner, "220 sink\r\n250-sink", "ehlo"),
        (Verb::Ehlo, "250-sink\r\n250 PIPELINING\r\n250 ok\r\n", "mail"),
        (Verb::Mail, "250 ok\r\n250 ok\r\n", "rcpt"),
        (Verb::Rcpt, "250 ok\r\n354 go on\r\n250 ok\r\n", "data"),
        (Verb::Data, "354 go on\r\n250 ok\r\n", "dot"),
        (Verb::Data, "354 go on\r\n250-o", "dot"),
        (Verb::Data, "354 go on\r\n552 too much\r\n", "dot"),
    ];
    for (verb, say, phase) in cases {
        let sink = Sink::answering(verb, Act::Say(say));
        let outcome = Load::on(&sink).with("-c 2 --count 4").run().expect(1);
        assert_eq!(aborted(&outcome), [(phase, "early-reply", 4)], "{say:?}");
        let grouped = Load::on(&sink).with("-c 2 --count 4 --pipelining").run().expect(1);
        assert_eq!(grouped.count("aborted"), 4, "{say:?}: {}", grouped.report["accounting"]);
    }
}

#[test]
fn a_message_is_not_accepted_before_its_end_was_sent() {
    let target = answering_early("250 taken already\r\n", Then::Reads);
    for pipelining in ["", "--pipelining"] {
        let load = Load::at(&target).with("-c 2 --count 4 --size 16MiB").with(pipelining);
        assert_eq!(aborted(&load.run().expect(1)), [("dot", "early-reply", 4)]);
    }
}

#[test]
fn a_message_may_be_refused_before_its_end_was_sent() {
    for (reply, refused) in [("552 too much\r\n", "refused_5xx"), ("421 going down\r\n", "refused_4xx")] {
        for then in [Then::Reads, Then::Closes] {
            let target = answering_early(reply, then);
            let outcome = Load::at(&target).with("-c 2 --count 4 --size 16MiB").run().expect(1);
            assert_eq!(outcome.count(refused), 4, "{}", outcome.report["accounting"]);
            assert_eq!(outcome.number("/sessions/protocol_errors"), 0);
        }
    }
}

#[test]
fn a_reply_to_nothing_costs_the_session_and_no_message() {
    let sink = Sink::answering(Verb::Dot, Act::Say("250 ok\r\n250 ok\r\n"));
    let outcome = Load::on(&sink).with("-c 1 --count 5").run().expect(0);
    assert_eq!(outcome.count("accepted"), 5);
    assert_eq!(outcome.number("/sessions/protocol_errors"), 5);
    assert_eq!(outcome.number("/sessions/ended_idle"), 0, "the server did not end them");
}

#[test]
fn a_reply_too_many_that_comes_late_is_taken_for_no_acceptance() {
    for pipelining in ["", "--pipelining"] {
        let sink = Sink::answering(Verb::Dot, Act::Pieces(&["250 ok\r\n", "250 once more\r\n"]));
        let outcome = Load::on(&sink).with("-c 2 --count 20").with(pipelining).run().expect(0);
        assert_eq!(outcome.count("accepted"), sink.seen().messages.len() as u64);
        assert_eq!(outcome.count("accepted") + outcome.count("aborted"), 20);
    }
}

#[test]
fn replies_without_an_end_and_of_two_codes_are_protocol_errors() {
    let endless = Box::leak("250-more\r\n".repeat(10_000).into_boxed_str());
    for say in [endless, "250-one\r\n550 two\r\n", "\0\x1b[31m\r\n", "25\r\n"] {
        let sink = Sink::answering(Verb::Ehlo, Act::Say(say));
        let outcome = Load::on(&sink).with("-c 2 --count 4").run().expect(1);
        assert_eq!(aborted(&outcome), [("ehlo", "protocol", 4)]);
    }
}

#[test]
fn the_text_behind_the_code_may_be_anything_and_is_not_shown() {
    let sink = Sink::answering(Verb::Mail, Act::Say("250 \0\x1b[31m\u{9b}\r\n"));
    let outcome = Load::on(&sink).with("-c 2 --count 4").run().expect(0);
    assert_eq!(outcome.count("accepted"), 4);
    let shown = [outcome.stdout, outcome.stderr].concat();
    assert!(shown.chars().all(|shown| shown == '\n' || !shown.is_control()), "{shown:?}");
}

#[test]
fn an_end_within_a_reply_is_the_end_of_the_connection() {
    let sink = Sink::answering(Verb::Dot, Act::SayAndClose("250 o"));
    let outcome = Load::on(&sink).with("-c 2 --count 4").run().expect(1);
    assert_eq!(aborted(&outcome), [("dot", "closed", 4)]);
}
