//! The counts always add up, and agree with the server's.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::program::plain;
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Verb};

#[test]
fn a_closed_loop_sends_exactly_what_was_asked_for() {
    let sink = Sink::usual();
    let outcome = Load::on(&sink).with("-c 7 --count 1000 --threads 2").run().expect(0);
    assert_eq!(outcome.count("accepted"), 1000);
    assert_eq!(sink.seen().messages.len(), 1000);
    assert_eq!(sink.sessions(), 7, "sessions are reused");
    assert_eq!(outcome.number("/sessions/established"), 7);
    assert_eq!(outcome.number("/sessions/ended_idle"), 0);
    assert_eq!(sink.seen().verbs[&Verb::Quit], 7, "sessions end with QUIT");
}

#[test]
fn an_open_loop_sends_what_the_schedule_says_whatever_the_threads() {
    for threads in ["1", "3"] {
        let sink = Sink::usual();
        let outcome = Load::on(&sink)
            .with("--rate 500/s --duration 1s --late-after 5s --threads")
            .arg(threads)
            .run()
            .expect(0);
        assert_eq!(outcome.count("started"), 500);
        assert_eq!(sink.seen().messages.len(), 500);
    }
}

#[test]
fn a_session_ends_after_its_messages() {
    let sink = Sink::usual();
    let outcome = Load::on(&sink).with("-c 1 --count 30 --messages-per-session 3").run().expect(0);
    assert_eq!(outcome.count("accepted"), 30);
    assert_eq!(sink.sessions(), 10);
    assert_eq!(outcome.number("/latency/connect/ok/count"), 10);
}

#[test]
fn refusals_are_counted_by_code_and_phase() {
    let sink = Sink::start(|turn| match (turn.verb, turn.nth % 10) {
        (Verb::Mail, 1) => Act::Say("451 greylisted\r\n"),
        (Verb::Rcpt, 2) => Act::Say("550-no such\r\n550 user\r\n"),
        (Verb::Data, 3) => Act::Say("554 no\r\n"),
        (Verb::Dot, 4) => Act::Say("552 too much\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 3 --count 500").run().expect(0);
    let refused =
        outcome.report.pointer("/accounting/measured/refused_by").and_then(|rows| rows.as_array()).cloned();
    let refused = refused.expect("a list");
    let total: u64 = refused.iter().filter_map(|row| row["count"].as_u64()).sum();
    assert_eq!(total + outcome.count("accepted"), 500);
    for (phase, code) in [("mail", 451), ("rcpt", 550), ("data", 554), ("dot", 552)] {
        let row = refused.iter().find(|row| row["phase"] == phase && row["code"] == code);
        let count = row.and_then(|row| row["count"].as_u64()).unwrap_or(0);
        assert!(count > 20, "{phase} {code}: {count}");
    }
    assert_eq!(outcome.count("accepted"), sink.seen().messages.len() as u64);
    assert_eq!(sink.sessions(), 3, "a refusal does not cost the session");
}

#[test]
fn dropped_connections_are_aborted_messages_and_new_sessions() {
    let sink = Sink::start(|turn| match (turn.verb, turn.nth % 10) {
        (Verb::Mail, 3) => Act::SayAndClose("421 going down\r\n"),
        (Verb::Rcpt, 4) => Act::Close,
        (Verb::Dot, 5) => Act::Close,
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 4 --count 400").run().expect(0);
    assert_eq!(outcome.count("started"), 400);
    assert!(outcome.count("refused_4xx") > 20, "421 is a 4xx reply");
    assert!(outcome.count("aborted") > 40);
    assert_eq!(outcome.number("/sessions/ended_idle"), 0, "a message was in flight");
    assert_eq!(outcome.count("accepted"), sink.seen().messages.len() as u64);
    assert!(sink.sessions() > 60, "each loss is followed by a reconnection: {}", sink.sessions());
}

#[test]
fn a_server_that_does_not_answer_is_timed_out_by_phase() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Data if turn.session % 2 == 0 => Act::Silence,
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink)
        .with("-c 4 --count 20 --messages-per-session 2 --timeout 30s --timeout data=200ms")
        .run()
        .expect(0);
    let rows = &outcome.report["accounting"]["measured"]["timed_out_by"];
    assert_eq!(rows[0]["phase"], "data");
    assert_eq!(rows[0]["count"].as_u64(), Some(outcome.count("timed_out")));
    assert!(outcome.count("timed_out") >= 2);
    // The timeout begins with the turn of the event loop in which DATA is sent, which is later by as much as that turn takes.
    assert!(outcome.millis("data", "failed", "min") >= 150.0);
    assert_eq!(outcome.number("/sessions/ended_idle"), 0, "the generator ended them");
}

#[test]
fn recipients_are_counted_one_by_one_and_one_is_enough() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Rcpt if turn.line.contains("user1@") => Act::Say("550 unknown\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 2 --count 50 --rcpts 3").run().expect(0);
    assert_eq!(outcome.count("accepted"), 50);
    assert_eq!(outcome.count("recipients_accepted"), 100);
    assert_eq!(outcome.number("/accounting/measured/recipients_refused/0/count"), 50);
}

#[test]
fn an_interrupted_run_reports_what_it_has_and_what_is_in_flight() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Dot if turn.nth >= 100 => Act::Silence,
        _ => Act::Usual,
    });
    let child = Load::on(&sink).with("-c 5 --duration 60s --grace 100ms").spawn();
    eventually("the messages", || sink.seen().verbs.get(&Verb::Dot).is_some_and(|count| *count >= 105));
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal is sent");
    let outcome = Outcome::after(child);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    outcome.check_sum();
    assert_eq!(outcome.count("accepted"), 100);
    assert_eq!(outcome.count("in_flight"), 5);
    assert_eq!(outcome.report["interrupted"], true);
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let sink = Sink::answering(Verb::Dot, Act::Silence);
    let mut child = Load::on(&sink).with("-c 1 --duration 60s --grace 60s").spawn();
    eventually("the messages", || sink.seen().verbs.contains_key(&Verb::Dot));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("a signal is sent");
    // Two signals sent at once may arrive as one: the second is repeated until it takes effect.
    eventually("the end", || {
        let _ = kill_process(pid, Signal::INT);
        child.try_wait().expect("a child").is_some()
    });
    assert_eq!(Outcome::after(child).code, 130);
}

#[test]
fn what_was_due_and_never_started_is_not_forgotten() {
    let sink = Sink::answering(Verb::Dot, Act::Silence);
    let outcome =
        Load::on(&sink).with("--rate 100/s --duration 1s -c 2 --grace 0s --late-after 5s").run().expect(1);
    assert_eq!(outcome.count("started"), 2);
    assert_eq!(outcome.count("in_flight"), 2);
    assert_eq!(outcome.count("unsent"), 98);
    assert_eq!(outcome.number("/latency/message/failed/count"), 100, "all have waited");
    assert_eq!(outcome.number("/latency/message/censored"), 100);
    assert_eq!(outcome.number("/latency/uncorrected/failed/count"), 2, "two were started");
}

#[test]
fn hundreds_of_sessions_are_held_at_once() {
    let sink = Sink::answering(Verb::Dot, Act::After(Duration::from_millis(800)));
    let outcome = Load::on(&sink).with("-c 400 --count 800").run().expect(0);
    assert_eq!(outcome.count("accepted"), 800);
    assert_eq!(outcome.number("/sessions/most_open"), 400);
    assert_eq!(sink.sessions(), 400);
}

#[test]
fn a_message_without_a_reply_is_in_doubt_if_all_of_it_was_sent_whatever_reply_it_waits_for() {
    const ALL: &str = "250-sink\r\n250-CHUNKING\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
    let from = |verbs: &'static [Verb], act: Act| (verbs, act);
    let behind_mail = || from(&[Verb::Mail, Verb::Rcpt, Verb::Data, Verb::Bdat, Verb::Dot], Act::Silence);
    let at_dot = || from(&[Verb::Dot], Act::Silence);
    for (flags, (verbs, act), phase, doubts) in [
        ("--pipelining --chunking", behind_mail(), "mail", 4),
        // Its second chunk follows without a reply too.
        ("--pipelining --chunking --chunk-size 600", behind_mail(), "mail", 4),
        ("--chunking", behind_mail(), "mail", 0),
        ("--pipelining", behind_mail(), "mail", 0),
        ("--pipelining", from(&[Verb::Data, Verb::Dot], Act::Silence), "data", 0),
        ("--chunking --chunk-size 600", from(&[Verb::Bdat, Verb::Dot], Act::Silence), "bdat", 0),
        ("--pipelining", at_dot(), "dot", 4),
        ("", at_dot(), "dot", 4),
        ("", from(&[Verb::Dot], Act::Close), "dot", 4),
        ("--pipelining --chunking", from(&[Verb::Mail], Act::Close), "mail", 4),
        ("--lmtp", at_dot(), "dot", 4),
    ] {
        let sink = Sink::offering(
            ALL,
            move |turn| {
                if verbs.contains(&turn.verb) { act.clone() } else { Act::Usual }
            },
        );
        let limit = format!("-c 4 --count 4 --timeout {phase}=1s {flags}");
        let outcome = Load::on(&sink).with(&limit).run().expect(1);
        let ended = outcome.count("timed_out") + outcome.count("aborted");
        assert_eq!((ended, outcome.count("in_doubt")), (4, doubts), "{flags}: {}", outcome.stdout);
    }
    let sink = Sink::answering(Verb::Dot, Act::Close);
    let table = plain(&[&sink.address(), "-c", "1", "--count", "3"]);
    table.code_is(1);
    let line = "  in doubt    3   (sent to the end, without a reply: maybe accepted)";
    assert!(table.stdout.contains(line), "{}", table.stdout);
}
