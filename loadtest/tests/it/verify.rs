//! `--verify`: lost, duplicated and altered messages are named.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::files::path;
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// Captures what `sink` accepted, as `smtpmock --capture` would, changed by `edit`, while
/// the program waits for the capture to become complete.
fn verify(sink: &Sink, args: &str, edit: impl FnOnce(&mut Vec<Value>)) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "capture.jsonl");
    std::fs::write(&file, "").expect("a file");
    let child = Load::on(sink).with(args).arg("--verify").arg(&file).spawn();
    // QUIT is the last that is sent: everything has been accepted by then.
    eventually("QUIT", || sink.seen().verbs.contains_key(&Verb::Quit));
    let mut records: Vec<Value> = sink
        .seen()
        .messages
        .iter()
        .map(|message| json!({ "msg": true, "msg_request": message.text, "mailfrom": true }))
        .collect();
    records.push(json!({ "msg": false, "mailfrom_request": "MAIL FROM:<>" }));
    edit(&mut records);
    let mut out = std::fs::OpenOptions::new().append(true).open(&file).expect("a file");
    for record in records {
        writeln!(out, "{record}").expect("a line");
    }
    Outcome::after(child)
}

/// The message of a record.
fn message(record: &Value) -> &str {
    record["msg_request"].as_str().expect("text")
}

fn named(outcome: &Outcome, list: &str) -> (u64, Vec<u64>) {
    let found = &outcome.report["verification"][list];
    let seqs = found["tokens"].as_array().into_iter().flatten();
    let seqs = seqs.filter_map(|token| token.as_str()?.split_once('-')?.1.parse().ok());
    (found["count"].as_u64().expect("a count"), seqs.collect())
}

#[test]
fn a_whole_capture_is_clean() {
    let sink = Sink::usual();
    let outcome = verify(&sink, "-c 1 --count 50 --size 100..5000", |_| {}).expect(0);
    assert_eq!(outcome.number("/verification/captured"), 50);
    assert_eq!(outcome.number("/verification/intact"), 50);
    assert_eq!(outcome.number("/verification/foreign"), 0);
}

#[test]
fn a_record_may_leave_out_the_last_line_end_and_relays_may_add_trace_fields() {
    let sink = Sink::usual();
    let outcome = verify(&sink, "-c 1 --count 5", |records| {
        records[0]["msg_request"] = message(&records[0]).strip_suffix("\r\n").expect("a line end").into();
        let text = message(&records[1]);
        records[1]["msg_request"] = format!("Received: from a\r\n\tby b; today\r\n{text}").into();
    });
    outcome.expect(0);
}

#[test]
fn lost_duplicated_and_altered_messages_are_named() {
    let sink = Sink::usual();
    let outcome = verify(&sink, "-c 1 --count 50", |records| {
        let text = message(&records[7]);
        records[7]["msg_request"] = text.replacen("fox", "cow", 1).into();
        let text = message(&records[8]);
        records[8]["msg_request"] = format!("X-Added: 1\r\n{text}").into();
        let twice = records[20].clone();
        records.push(twice);
        records.push(json!({ "msg": true, "msg_request": "Subject: from elsewhere\r\n\r\nhello\r\n" }));
        records.remove(33);
    })
    .expect(10);
    assert_eq!(named(&outcome, "altered"), (2, vec![7, 8]));
    assert_eq!(named(&outcome, "duplicated"), (1, vec![20]));
    assert_eq!(named(&outcome, "lost"), (1, vec![33]));
    assert_eq!(outcome.number("/verification/foreign"), 1);
    assert!(outcome.stderr.contains("capture does not agree"), "{}", outcome.stderr);
}

#[test]
fn a_token_exchanged_between_messages_is_an_alteration() {
    let sink = Sink::usual();
    let outcome = verify(&sink, "-c 1 --count 5 --size 100..5000 --seed 3", |records| {
        let text = message(&records[2]);
        let other = text.replacen("-000000000002-", "-000000000004-", 1);
        records[2]["msg_request"] = other.into();
    })
    .expect(10);
    assert_eq!(named(&outcome, "lost").1, [2]);
    assert_eq!(named(&outcome, "altered").1, [4]);
}

#[test]
fn text_that_is_not_utf8_comes_as_base64() {
    use base64::Engine as _;
    let sink = Sink::usual();
    let outcome = verify(&sink, "-c 1 --count 3", |records| {
        let text = message(&records[1]).to_owned();
        let coded = base64::engine::general_purpose::STANDARD.encode(text);
        records[1] = json!({ "msg": true, "msg_request_base64": coded });
    });
    outcome.expect(0);
}

#[test]
fn what_was_refused_must_not_be_there_and_what_is_in_doubt_may() {
    let refused = Arc::new(Mutex::new(String::new()));
    let sink = Sink::start(|turn| match (turn.verb, turn.nth) {
        (Verb::Mail, 2) => Act::Say("450 no\r\n"),
        // The message is whole at the server, and nobody was told.
        (Verb::Dot, 5) => Act::Close,
        _ => Act::Usual,
    });
    let note = Arc::clone(&refused);
    let outcome = verify(&sink, "-c 1 --count 10", move |records| {
        let text = message(&records[0]).to_owned();
        *note.lock().expect("a lock") = text.clone();
        // A record under the refused message's name: its digest cannot be right either.
        let forged = text.replacen("-000000000000-", "-000000000002-", 1);
        records.push(json!({ "msg": true, "msg_request": forged }));
    })
    .expect(10);
    assert_eq!(named(&outcome, "unexpected").1, [2]);
    assert_eq!(named(&outcome, "lost").0, 0);
    assert_eq!(outcome.number("/verification/in_doubt"), 1);
}

#[test]
fn a_capture_that_is_not_there_is_named() {
    let sink = Sink::usual();
    let outcome = Load::on(&sink).with("-c 1 --count 1 --verify /nonexistent/capture.jsonl").run();
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("--verify /nonexistent/capture.jsonl"), "{}", outcome.stderr);
}
