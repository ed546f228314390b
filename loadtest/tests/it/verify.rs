//! `--verify`: lost, duplicated and altered messages are named.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::files::path;
use crate::support::sink::Message;
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// Writes the capture of what `sink` accepted, as `smtpmock --capture` would, changed by `edit`, while the program
/// waits for it to be complete.
fn verify(sink: &Sink, args: &str, edit: impl FnOnce(&mut Vec<Value>)) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "capture.jsonl");
    std::fs::write(&file, "").expect("a file");
    let child = Load::on(sink).with(args).arg("--verify").arg(&file).spawn();
    // QUIT is sent last: everything has been accepted by then.
    eventually("QUIT", || sink.seen().verbs.contains_key(&Verb::Quit));
    let mut records: Vec<Value> = sink.seen().messages.iter().map(record).collect();
    records.push(json!({ "msg": false, "mailfrom_request": "MAIL FROM:<>" }));
    edit(&mut records);
    let mut out = std::fs::OpenOptions::new().append(true).open(&file).expect("a file");
    for record in records {
        writeln!(out, "{record}").expect("a line");
    }
    Outcome::after(child)
}

/// The record of an accepted message.
fn record(of: &Message) -> Value {
    let rcpts: Vec<Value> = of.to.iter().map(|rcpt| json!([rcpt, "250 ok"])).collect();
    json!({
        "msg": true, "msg_request": of.text, "mailfrom": true, "mailfrom_request": of.from,
        "rcptto_request_response": rcpts,
    })
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
fn relays_may_add_trace_fields() {
    let sink = Sink::usual();
    let outcome = verify(&sink, "-c 1 --count 5", |records| {
        let text = message(&records[1]);
        records[1]["msg_request"] = format!("Received: from a\r\n\tby b; today\r\n{text}").into();
    });
    outcome.expect(0);
}

/// The parts that differ after an edit of message 3, as they are named.
fn parts_of(edit: impl FnOnce(&mut Value)) -> Vec<String> {
    let sink = Sink::usual();
    let args = "-c 1 --count 5 --rcpts 2 --from sender{{seq}}@example.com --to {{rcpt}}.{{seq}}@example.com";
    let outcome = verify(&sink, args, |records| edit(&mut records[3])).expect(10);
    assert_eq!(named(&outcome, "altered"), (1, vec![3]));
    assert_eq!(outcome.number("/verification/intact"), 4);
    let alterations = outcome.report["verification"]["alterations"].as_array().cloned().expect("a list");
    let part = |of: &Value| {
        assert_eq!((of["count"].as_u64(), of["tokens"].as_array().map(Vec::len)), (Some(1), Some(1)));
        of["part"].as_str().expect("a name").to_owned()
    };
    let parts: Vec<String> = alterations.iter().map(part).collect();
    let complaint = format!("1 altered ({})", parts.join(", ")).replace("token-line", "token line");
    assert!(outcome.stderr.contains(&complaint), "{}", outcome.stderr);
    parts
}

#[test]
fn whatever_was_altered_is_named() {
    let text = |change: fn(&str) -> String| {
        move |record: &mut Value| record["msg_request"] = change(message(record)).into()
    };
    assert_eq!(parts_of(text(|text| text.replacen("\r\n", "  \r\n", 1))), ["token-line"]);
    assert_eq!(parts_of(text(|text| text.replacen("\r\n", "\n", 1))), ["token-line"]);
    assert_eq!(parts_of(text(|text| text.replace("\r\n", "\n"))), ["token-line", "content"]);
    assert_eq!(parts_of(text(|text| text.strip_suffix("\r\n").expect("a line end").to_owned())), ["content"]);
    assert_eq!(parts_of(text(|text| format!("{text}\r\n"))), ["content"]);
    let mail = |to: &'static str| move |record: &mut Value| record["mailfrom_request"] = to.into();
    assert_eq!(parts_of(mail("MAIL FROM:<evil@example.com>")), ["reverse-path"]);
    assert_eq!(parts_of(mail("MAIL FROM:<>")), ["reverse-path"]);
    assert_eq!(parts_of(mail("")), ["reverse-path"]);
    let rcpts = |change: fn(&mut Vec<Value>)| {
        move |record: &mut Value| change(record["rcptto_request_response"].as_array_mut().expect("a list"))
    };
    assert_eq!(parts_of(rcpts(Vec::clear)), ["forward-paths"]);
    assert_eq!(parts_of(rcpts(|rcpts| drop(rcpts.pop()))), ["forward-paths"]);
    assert_eq!(parts_of(rcpts(|rcpts| rcpts.push(rcpts[1].clone()))), ["forward-paths"]);
    assert_eq!(parts_of(rcpts(|rcpts| rcpts[0][0] = "RCPT TO:<evil@example.com>".into())), ["forward-paths"]);
}

#[test]
fn a_capture_without_envelopes_proves_none() {
    let sink = Sink::usual();
    let outcome = verify(&sink, "-c 1 --count 2", |records| {
        records[0] = json!({ "msg": true, "msg_request": message(&records[0]) });
    });
    let complaint = "1 altered (reverse-path, forward-paths)";
    assert!(outcome.expect(10).stderr.contains(complaint));
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
    let complaint =
        "the capture differs from what was sent: 1 lost, 1 duplicated, 2 altered (in front, content)";
    assert!(outcome.stderr.contains(complaint), "{}", outcome.stderr);
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
        let record = records[1].as_object_mut().expect("a record");
        record.remove("msg_request");
        record.insert("msg_request_base64".into(), coded.into());
    });
    outcome.expect(0);
}

#[test]
fn what_was_refused_must_not_be_there_and_what_is_in_doubt_may() {
    let refused = Arc::new(Mutex::new(String::new()));
    let sink = Sink::start(|turn| match (turn.verb, turn.nth) {
        (Verb::Mail, 2) => Act::Say("450 no\r\n"),
        // The server has the whole message, and sent no reply.
        (Verb::Dot, 5) => Act::Close,
        _ => Act::Usual,
    });
    let note = Arc::clone(&refused);
    let outcome = verify(&sink, "-c 1 --count 10", move |records| {
        let text = message(&records[0]).to_owned();
        *note.lock().expect("a lock") = text.clone();
        // A record with the token of the refused message: its digest is wrong as well.
        let forged = text.replacen("-000000000000-", "-000000000002-", 1);
        records.push(json!({ "msg": true, "msg_request": forged }));
    })
    .expect(10);
    assert_eq!(named(&outcome, "unexpected").1, [2]);
    assert_eq!(named(&outcome, "lost").0, 0);
    assert_eq!(outcome.number("/verification/in_doubt"), 1);
}

#[test]
fn a_capture_that_is_not_there_is_named_before_the_run() {
    let sink = Sink::usual();
    let folder = tempfile::tempdir().expect("a folder");
    let report = path(&folder, "run.json");
    std::fs::write(&report, "of an earlier run\n").expect("a file");
    let fifo = path(&folder, "fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    for capture in [&path(&folder, "capture.jsonl"), &path(&folder, ""), &fifo] {
        let outcome = Load::into_file(&sink, &report).with("-c 1 --count 1 --verify").arg(capture).run();
        outcome.code_is(1);
        assert!(outcome.stderr.contains(&format!("--verify {capture}: ")), "{}", outcome.stderr);
    }
    assert_eq!(sink.sessions(), 0, "it is named before the run");
    assert_eq!(std::fs::read_to_string(&report).expect("a file"), "of an earlier run\n");
}

/// A copy of message 0 with another token, in which `{run}` is the id of the run.
fn with_token(records: &[Value], token: &str) -> Value {
    let text = message(&records[0]);
    let (line, rest) = text.split_once("\r\n").expect("a token line");
    let (_, sent) = line.split_once(": ").expect("a token");
    let token = token.replace("{run}", &sent[..8]);
    let mut record = records[0].clone();
    record["msg_request"] = format!("X-Smtpload-Token: {token}\r\n{rest}").into();
    record
}

#[test]
fn a_message_of_this_run_that_was_never_sent_is_no_foreign_one() {
    for (token, named_as) in [
        ("{run}-000000000099-0123456789abcdef", "{run}-000000000099"),
        ("{run}-999999999999-0123456789abcdef", "{run}-999999999999"),
        ("{run}-000000000099-0123456789abcdeg", "{run}-000000000099-0123456789abcdeg"),
        ("{run}-99-0123456789abcdef", "{run}-99-0123456789abcdef"),
        ("{run}", "{run}"),
    ] {
        let outcome = verify(&Sink::usual(), "-c 1 --count 5", |records| {
            records.push(with_token(records, token));
        })
        .expect(10);
        let run = outcome.report["settings"]["runs"][0].as_str().expect("a name");
        let found = &outcome.report["verification"];
        assert_eq!(found["never_sent"]["count"], 1, "{token}: {found}");
        assert_eq!(found["never_sent"]["tokens"][0], named_as.replace("{run}", run));
        let others = ["lost", "duplicated", "altered", "unexpected"].map(|list| named(&outcome, list).0);
        assert_eq!((others, outcome.number("/verification/foreign")), ([0; 4], 0), "{token}");
        let complaint = "1 with this run's id and never sent";
        assert!(outcome.stderr.contains(complaint), "{}", outcome.stderr);
    }
}
