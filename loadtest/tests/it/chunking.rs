//! `--chunking`: messages in chunks (RFC 3030).

use crate::support::files::path;
use crate::support::{Act, Load, Sink, Verb};

const CHUNKING: &str = "250-sink\r\n250-CHUNKING\r\n250 8BITMIME\r\n";
const BOTH: &str = "250-sink\r\n250-CHUNKING\r\n250-PIPELINING\r\n250 8BITMIME\r\n";

#[test]
fn messages_go_in_chunks_of_the_size_that_was_asked_for() {
    for (offer, flags) in [(CHUNKING, ""), (CHUNKING, "--pipelining"), (BOTH, "--pipelining")] {
        let sink = Sink::offering(offer, |_| Act::Usual);
        let outcome = Load::on(&sink)
            .with("-c 2 --count 20 --chunking --size 1000..3000 --chunk-size 500 --rcpts 2")
            .with(flags)
            .run()
            .expect(0);
        assert_eq!(outcome.count("accepted"), 20);
        let seen = sink.seen();
        let chunks: Vec<usize> = seen
            .lines
            .iter()
            .filter_map(|line| line.strip_prefix("BDAT ")?.split(' ').next()?.parse().ok())
            .collect();
        let sizes: Vec<usize> = seen.messages.iter().map(|message| message.text.len()).collect();
        assert_eq!(chunks.iter().sum::<usize>(), sizes.iter().sum::<usize>());
        assert_eq!(chunks.len(), sizes.iter().map(|size| size.div_ceil(500)).sum::<usize>());
        assert!(chunks.iter().all(|chunk| (1..=500).contains(chunk)), "{chunks:?}");
        let [chunks, sizes] = [chunks.len(), sizes.len()].map(|count| count as u64);
        let counts = ["bdat", "dot", "data"].map(|of| outcome.number(&format!("/latency/{of}/ok/count")));
        assert_eq!(counts, [chunks - sizes, sizes, 0]);
        assert_eq!(outcome.number("/sessions/without_chunking"), 0);
    }
}

#[test]
fn a_message_is_one_chunk_by_default_and_no_dot_is_stuffed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "message.eml");
    std::fs::write(&file, "Subject: dots\n\n.\n..two\r\nend").expect("a file");
    let sink = Sink::offering(CHUNKING, |_| Act::Usual);
    Load::on(&sink).with("--count 3 -c 1 --chunking --message").arg(&file).run().expect(0);
    let seen = sink.seen();
    assert_eq!((seen.verbs.get(&Verb::Bdat), seen.verbs[&Verb::Dot]), (None, 3));
    let (_, rest) = seen.messages[2].text.split_once("\r\n").expect("a line");
    assert_eq!(rest, "Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n");
}

#[test]
fn data_is_used_where_chunks_are_not_offered() {
    let sink = Sink::usual();
    let outcome = Load::on(&sink).with("-c 3 --count 12 --chunking --pipelining").run().expect(0);
    assert_eq!(outcome.count("accepted"), 12);
    assert_eq!(outcome.number("/sessions/without_chunking"), 3);
    assert_eq!(sink.seen().verbs[&Verb::Data], 12);
}

#[test]
fn a_refused_chunk_is_the_refusal_of_its_message_and_the_session_goes_on() {
    for (offer, pipelined) in [(CHUNKING, false), (BOTH, true)] {
        let sink = Sink::offering(offer, |turn| match turn.verb {
            Verb::Bdat if turn.nth % 5 == 1 => Act::Say("452 4.3.1 no room\r\n"),
            _ => Act::Usual,
        });
        let outcome = Load::on(&sink)
            .with("-c 1 --count 20 --chunking --chunk-size 400 --size 1KiB --pipelining")
            .run()
            .expect(0);
        assert_eq!(outcome.count("accepted") + outcome.count("refused_4xx"), 20);
        let row = &outcome.report["accounting"]["measured"]["refused_by_enhanced"][0];
        assert_eq!((row["phase"].as_str(), row["enhanced"].as_str()), (Some("bdat"), Some("4.3.1")));
        assert!(outcome.count("refused_4xx") >= 4);
        let seen = sink.seen();
        assert_eq!((sink.sessions(), seen.verbs[&Verb::Rset] as u64), (1, outcome.count("refused_4xx")));
        // Without pipelining nothing is sent behind the refusal; in a group, what was on its way.
        assert!(pipelined || seen.messages.len() as u64 == outcome.count("accepted"));
    }
}

#[test]
fn a_group_is_accounted_for_whatever_is_refused_in_it() {
    let sink = Sink::offering(BOTH, |turn| match (turn.verb, turn.nth % 6) {
        (Verb::Mail, 1) => Act::Say("451 later\r\n"),
        (Verb::Rcpt, 4) => Act::Say("550 nobody\r\n"),
        // The server has taken the octets in all the same (RFC 3030 section 2).
        (Verb::Dot, 1 | 4) => Act::Say("503 no transaction\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 24 --chunking --pipelining").run().expect(0);
    assert_eq!(["accepted", "refused_4xx", "refused_5xx"].map(|of| outcome.count(of)), [16, 4, 4]);
    let rows = outcome.report["accounting"]["measured"]["refused_by"].as_array().cloned().expect("a list");
    let rows: Vec<_> = rows.iter().map(|row| (row["phase"].as_str(), row["code"].as_u64())).collect();
    assert_eq!(rows, [(Some("mail"), Some(451)), (Some("rcpt"), Some(550))]);
    assert_eq!((outcome.count("recipients_accepted"), sink.sessions()), (16, 1));
}

#[test]
fn a_large_message_that_is_refused_before_its_end_ends_the_session() {
    // The refusal comes while the chunk is on its way: what would follow is out of step.
    let sink = Sink::offering(CHUNKING, |turn| match turn.verb {
        Verb::Rcpt if turn.nth == 0 => Act::SayAndClose("250 ok\r\n552 too much\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 2 --chunking --size 20MiB").run().expect(0);
    assert_eq!((outcome.count("accepted"), outcome.count("started")), (1, 2));
    assert_eq!(sink.sessions(), 2);
}

#[test]
fn a_large_group_goes_out_while_its_first_replies_come_in() {
    let sink = Sink::offering(BOTH, |_| Act::Usual);
    let outcome = Load::on(&sink)
        .with("-c 2 --count 6 --chunking --pipelining --size 9MiB --chunk-size 1MiB --rcpts 3")
        .run()
        .expect(0);
    assert_eq!((outcome.count("accepted"), sink.sessions()), (6, 2));
    assert!(sink.seen().messages.iter().all(|message| message.text.len() > 9 << 20));
}

#[test]
fn a_second_reply_to_the_last_chunk_is_an_error_of_the_server() {
    let sink = Sink::offering(BOTH, |turn| match turn.verb {
        Verb::Dot => Act::Say("250 one\r\n250 two\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 3 --chunking --pipelining").run().expect(0);
    let counts = (outcome.count("accepted"), outcome.number("/sessions/protocol_errors"));
    assert_eq!(counts, (3, 3), "no message is accepted by it, and the session ends");
}
