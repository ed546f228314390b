//! Delays of the generator are not attributed to the target.

use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::files::path;
use crate::support::program::plain;
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// Stops the generator for a time; the server would have answered.
fn hold(child: &Child, time: Duration) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).expect("a signal is sent");
    std::thread::sleep(time);
    kill_process(pid, Signal::CONT).expect("a signal is sent");
}

#[test]
fn messages_due_during_a_stall_are_late_because_of_the_generator_even_if_never_started() {
    let sink = Sink::answering(Verb::Dot, Act::After(Duration::from_millis(40)));
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "run.json");
    let child = Load::into_file(&sink, &file)
        .with("--rate 100/s --duration 1s --grace 0s -c 4 --late-after 10ms --fail-if")
        .arg("p99(message) > 60s")
        .spawn();
    eventually("ten messages", || sink.seen().messages.len() >= 10);
    // Until just after the end: four sessions accept a hundred messages per second.
    hold(&child, Duration::from_secs(1));
    let outcome = Outcome::after(child);
    outcome.code_is(12);
    assert!(outcome.stderr.contains("messages were late because of it"), "{}", outcome.stderr);
    let report = plain(&["merge", &file, "--json", "-"]);
    let (unsent, started) = (report.count("unsent"), report.count("started"));
    assert_eq!(unsent + started, 100);
    assert!(unsent > 0, "{started} started");
    assert_eq!(report.number("/generator/late_unsent"), unsent);
    assert!(report.number("/generator/late") >= unsent);
    assert_eq!(report.report["generator"]["saturated"], true);
    let text = plain(&["merge", &file]).stdout;
    assert!(text.contains("never started: the generator was late"), "{text}");
}

#[test]
fn the_grace_is_the_targets_however_long_the_loop_stalled_in_it() {
    let sink = Sink::usual();
    let child = Load::on(&sink).with("-c 3 --duration 1s --grace 200ms --late-after 10ms").spawn();
    eventually("twenty messages", || sink.seen().messages.len() >= 20);
    hold(&child, Duration::from_millis(1800));
    let outcome = Outcome::after(child).expect(12);
    assert_eq!(outcome.count("in_flight"), 0);
    assert_eq!(outcome.count("accepted"), outcome.count("started"));
}

#[test]
fn a_target_that_keeps_every_session_busy_is_blamed_for_what_was_never_started() {
    let sink = Sink::answering(Verb::Dot, Act::Silence);
    let outcome =
        Load::on(&sink).with("--rate 100/s --duration 1s -c 2 --grace 0s --late-after 5s").run().expect(1);
    assert_eq!(outcome.count("unsent"), 98);
    assert_eq!(outcome.number("/generator/late"), 0);
    assert_eq!(outcome.report["generator"]["saturated"], false);
}

#[test]
fn a_closed_loop_that_stalled_is_saturated_and_its_slow_messages_are_its_own() {
    let sink = Sink::usual();
    let child = Load::on(&sink).with("-c 3 --duration 1s --late-after 500ms").spawn();
    eventually("twenty messages", || sink.seen().messages.len() >= 20);
    hold(&child, Duration::from_millis(1500));
    let outcome = Outcome::after(child).expect(12);
    let stalled = outcome.report["generator"]["stood_still_s"].as_f64().expect("a number");
    assert!((1.4..).contains(&stalled), "{stalled} s");
    assert!(outcome.stderr.contains("stalled for"), "{}", outcome.stderr);
    // Every session had an unread reply after the stall.
    assert!((1..=3).contains(&outcome.number("/generator/late")), "{}", outcome.report["generator"]);
}

#[test]
fn a_closed_loop_on_a_slow_target_is_not_saturated() {
    let sink = Sink::answering(Verb::Dot, Act::After(Duration::from_millis(300)));
    let outcome = Load::on(&sink).with("-c 2 --count 6 --late-after 5s").run().expect(0);
    assert_eq!(outcome.number("/generator/late"), 0);
    assert_eq!(outcome.report["generator"]["stood_still_s"], 0.0);
}
