//! `--auth`: sessions authenticate before their first message (RFC 4954).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::program::plain;
use crate::support::{Act, Load, Sink, Verb};

#[test]
fn every_session_authenticates_once_and_before_its_messages() {
    let sink = Sink::offering("250-sink\r\n250-AUTH LOGIN PLAIN\r\n250 PIPELINING\r\n", |_| Act::Usual);
    let outcome = Load::on(&sink)
        .with("-c 1 --count 12 --messages-per-session 3 --auth ann:s@cret --pipelining")
        .run()
        .expect(0);
    assert_eq!((outcome.count("accepted"), outcome.number("/sessions/established")), (12, 4));
    assert_eq!(outcome.number("/sessions/authenticated/PLAIN"), 4);
    assert_eq!(outcome.number("/latency/auth/ok/count"), 4);
    let command = format!("AUTH PLAIN {}", STANDARD.encode("\0ann\0s@cret"));
    let lines = &sink.seen().lines;
    assert_eq!(lines.iter().filter(|line| **line == command).count(), 4);
    assert!(!outcome.stdout.contains("s@cret"), "a report has no password");
    assert_eq!(outcome.report["settings"]["shape"]["auth"], "strongest");
}

#[test]
fn the_exchange_is_one_phase_whatever_its_round_trips() {
    let sink = Sink::offering("250-sink\r\n250 AUTH LOGIN PLAIN\r\n", |turn| match turn.verb {
        Verb::Auth => Act::Say("334 VXNlcm5hbWU6\r\n"),
        Verb::Response if turn.nth % 2 == 0 => Act::Say("334 UGFzc3dvcmQ6\r\n"),
        _ => Act::Usual,
    });
    let outcome =
        Load::on(&sink).with("-c 1 --count 4 --messages-per-session 2 --auth ann:x@y@login").run().expect(0);
    assert_eq!(outcome.number("/latency/auth/ok/count"), 2);
    assert_eq!(outcome.number("/sessions/authenticated/LOGIN"), 2);
    let lines = &sink.seen().lines;
    let at = lines.iter().position(|line| line == "AUTH LOGIN").expect("a command");
    assert_eq!(lines[at + 1..at + 3], [STANDARD.encode("ann"), STANDARD.encode("x@y")]);
}

#[test]
fn a_refused_password_is_the_refusal_of_the_message_that_waits_for_it() {
    let sink = Sink::offering("250-sink\r\n250 AUTH PLAIN\r\n", |turn| match turn.verb {
        Verb::Auth if turn.nth < 3 => Act::Say("535 5.7.8 wrong\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 5 --auth ann:secret").run().expect(0);
    assert_eq!((outcome.count("accepted"), outcome.count("refused_5xx")), (2, 3));
    let row = &outcome.report["accounting"]["measured"]["refused_by_enhanced"][0];
    assert_eq!((row["phase"].as_str(), row["enhanced"].as_str()), (Some("auth"), Some("5.7.8")));
    assert_eq!((outcome.number("/latency/auth/failed/count"), sink.sessions()), (3, 4));
    assert_eq!(sink.seen().verbs[&Verb::Quit], 4);
}

#[test]
fn without_a_mechanism_for_the_credentials_no_message_is_sent() {
    for (offer, login) in [
        ("250 sink\r\n", "ann:secret"),
        ("250-sink\r\n250 AUTH XOAUTH2 GSSAPI\r\n", "ann:secret"),
        ("250-sink\r\n250 AUTH PLAIN\r\n", "ann:secret@CRAM-MD5"),
        // HELO would offer none either.
        ("502 what\r\n", "ann:secret"),
    ] {
        let sink = Sink::offering(offer, |_| Act::Usual);
        let outcome = Load::on(&sink).with("-c 1 --count 2 --auth").arg(login).run().expect(1);
        if offer.starts_with("250") {
            let row = &outcome.report["accounting"]["measured"]["aborted_by"][0];
            assert_eq!((row["phase"].as_str(), row["reason"].as_str()), (Some("ehlo"), Some("no-mechanism")));
            assert_eq!(row["count"].as_u64(), Some(2));
        }
        let verbs = &sink.seen().verbs;
        assert!(
            [Verb::Auth, Verb::Helo, Verb::Mail].iter().all(|verb| !verbs.contains_key(verb)),
            "{verbs:?}"
        );
    }
}

#[test]
fn a_challenge_that_is_none_of_the_mechanism_is_a_protocol_error() {
    for challenge in ["334 \r\n", "334 not base64\r\n", "354 go on\r\n"] {
        let sink = Sink::offering("250-sink\r\n250 AUTH PLAIN\r\n", move |turn| match turn.verb {
            Verb::Auth => Act::Say(challenge),
            _ => Act::Usual,
        });
        let outcome = Load::on(&sink).with("-c 1 --count 1 --auth ann:secret").run().expect(1);
        let row = &outcome.report["accounting"]["measured"]["aborted_by"][0];
        assert_eq!(
            (row["phase"].as_str(), row["reason"].as_str()),
            (Some("auth"), Some("protocol")),
            "{challenge}"
        );
    }
}

#[test]
fn a_server_that_does_not_prove_the_password_is_not_believed() {
    let sink = Sink::offering("250-sink\r\n250 AUTH SCRAM-SHA-256 PLAIN\r\n", |_| Act::Usual);
    let outcome = Load::on(&sink).with("-c 1 --count 1 --auth ann:secret").run().expect(1);
    assert_eq!(outcome.report["accounting"]["measured"]["aborted_by"][0]["reason"], "protocol");
    assert!(sink.seen().lines.iter().any(|line| line.starts_with("AUTH SCRAM-SHA-256 ")));
}

#[test]
fn credentials_that_are_none_are_an_error_without_the_secret() {
    for (value, why) in [("secret", "no colon"), (":secret", "no user"), ("ann:", "no password")] {
        let outcome = plain(&["127.0.0.1:1", "--auth", value]);
        outcome.code_is(2);
        assert!(outcome.stderr.contains("--auth: ") && outcome.stderr.contains(why), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("USER:PASSWORD@MECHANISM") && !outcome.stderr.contains("secret"));
    }
}
