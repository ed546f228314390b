//! `--lmtp`: a reply to the message for each recipient (RFC 2033).

use crate::support::program::plain;
use crate::support::{Act, Load, Sink, Verb};

const OFFER: &str = "250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n";

const WAYS: [&str; 4] = ["", "--pipelining", "--chunking", "--chunking --pipelining --chunk-size 300"];

#[test]
fn a_message_is_accepted_if_one_recipient_is_and_each_is_counted_by_its_last_reply() {
    for way in WAYS {
        let sink = Sink::offering(OFFER, |turn| match turn.verb {
            Verb::Rcpt if turn.line.contains("user3@") => Act::Say("550 5.1.1 nobody\r\n"),
            Verb::Dot if turn.line.contains("user1@") => Act::Say("452 4.2.2 full\r\n"),
            _ => Act::Usual,
        });
        let outcome = Load::on(&sink).with("-c 2 --count 20 --lmtp --rcpts 4").with(way).run().expect(0);
        assert_eq!((outcome.count("accepted"), outcome.count("recipients_accepted")), (20, 40), "{way}");
        let rows = &outcome.report["accounting"]["measured"]["recipients_refused_by_enhanced"];
        let row = |place: usize| (rows[place]["enhanced"].as_str(), rows[place]["count"].as_u64());
        assert_eq!([row(0), row(1)], [(Some("4.2.2"), Some(20)), (Some("5.1.1"), Some(20))], "{way}");
        let ends = ["ok", "failed"].map(|end| outcome.number(&format!("/latency/dot/{end}/count")));
        assert_eq!(ends, [40, 20], "each reply is measured");
        let seen = sink.seen();
        assert!(seen.lines[0].starts_with("LHLO "), "{}", seen.lines[0]);
        assert_eq!((seen.messages.len(), sink.sessions()), (20, 2));
    }
}

#[test]
fn a_message_that_no_recipient_gets_is_refused() {
    for way in WAYS {
        let sink = Sink::offering(OFFER, |turn| match turn.verb {
            Verb::Dot if turn.line.contains("user0@") => Act::Say("450 4.2.1 busy\r\n"),
            Verb::Dot => Act::Say("550 5.2.1 gone\r\n"),
            _ => Act::Usual,
        });
        let outcome = Load::on(&sink).with("-c 1 --count 6 --lmtp --rcpts 2").with(way).run().expect(1);
        assert_eq!((outcome.count("refused_4xx"), outcome.count("recipients_accepted")), (6, 0), "{way}");
        let row = &outcome.report["accounting"]["measured"]["refused_by"][0];
        assert_eq!(
            (row["phase"].as_str(), row["code"].as_u64()),
            (Some("dot"), Some(450)),
            "the first refusal"
        );
        assert_eq!(sink.sessions(), 1);
    }
}

#[test]
fn a_connection_lost_between_the_replies_aborts_the_message() {
    let sink = Sink::offering(OFFER, |turn| match turn.verb {
        Verb::Dot if turn.nth == 1 => Act::Close,
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 3 --lmtp --rcpts 2").run().expect(0);
    assert_eq!((outcome.count("accepted"), outcome.count("aborted")), (2, 1));
}

#[test]
fn lhlo_has_no_fallback_and_lmtp_no_default_port() {
    let sink = Sink::answering(Verb::Ehlo, Act::Say("500 what\r\n"));
    Load::on(&sink).with("-c 1 --count 1 --lmtp").run().expect(1);
    assert!(!sink.seen().verbs.contains_key(&Verb::Helo));
    let outcome = plain(&["127.0.0.1", "--lmtp"]);
    outcome.code_is(2);
    assert!(
        outcome.stderr.contains("LMTP is not spoken on port 25 (RFC 2033 section 5)"),
        "{}",
        outcome.stderr
    );
}
