//! A message without an end when the run ends is an error, with its age as latency.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::files::{json, path};
use crate::support::program::{full_listener, plain};
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// A server that stops answering after this number of messages.
fn frozen_after(messages: usize) -> Sink {
    Sink::start(move |turn| match turn.verb {
        Verb::Dot if turn.nth >= messages => Act::Silence,
        _ => Act::Usual,
    })
}

/// Fails unless `count` messages were in flight at the end, in `phase`, and are measured.
fn check_in_flight(outcome: &Outcome, count: u64, phase: &str, at_least_ms: f64) {
    assert_eq!(outcome.count("in_flight"), count, "{phase}");
    for latency in ["message", phase] {
        let of = |name: &str| outcome.number(&format!("/latency/{latency}/{name}"));
        assert_eq!((of("failed/count"), of("censored")), (count, count), "{latency}");
        let shortest = outcome.millis(latency, "failed", "min");
        assert!(shortest >= at_least_ms * 0.999, "{latency}: {shortest} ms");
    }
    let rows = outcome.report["intervals"].as_array().into_iter().flatten();
    let errors: u64 = rows.filter_map(|row| row["errors"].as_u64()).sum();
    assert_eq!(errors, count, "the series knows them");
}

/// Checks the time over which the rate is computed, in seconds.
fn check_rate(outcome: &Outcome, seconds: f64) {
    let number = |name: &str| outcome.report[name].as_f64().expect("a number");
    let (rate, measured) = (number("rate"), number("measured_s"));
    assert!((seconds..seconds + 0.001).contains(&measured), "{measured} s of {seconds} s");
    let accepted = outcome.count("accepted") as f64;
    assert!((rate - accepted / seconds).abs() < accepted / 100.0, "{rate}/s of {accepted}");
}

#[test]
fn a_closed_loop_on_a_server_that_freezes_for_good_fails_its_gates() {
    let outcome = Load::on(&frozen_after(100))
        .with("-c 4 --duration 2s --grace 300ms")
        .arg("--fail-if=errors > 0")
        .arg("--fail-if=max(message.failed) > 250ms")
        .arg("--fail-if=rate < 51")
        .run()
        .expect(10);
    let gates = outcome.report["gates"].as_array().cloned().expect("gates");
    assert!(gates.iter().all(|gate| gate["failed"] == true), "{gates:?}");
    assert_eq!(outcome.count("accepted"), 100);
    check_in_flight(&outcome, 4, "dot", 300.0);
    check_rate(&outcome, 2.0);
}

#[test]
fn an_open_loop_on_a_server_that_freezes_for_good_is_measured_over_its_schedule() {
    let outcome = Load::on(&frozen_after(20))
        .with("-c 40 --rate 40/s --duration 1s --grace 2s --late-after 5s")
        .arg("--fail-if=errors >= 50%")
        .run()
        .expect(10);
    check_in_flight(&outcome, 20, "dot", 200.0);
    assert_eq!(outcome.number("/latency/uncorrected/failed/count"), 20);
    assert_eq!(outcome.number("/latency/uncorrected/censored"), 20);
    check_rate(&outcome, 1.0);
}

#[test]
fn an_open_loop_is_measured_over_its_duration_whenever_its_last_message_was() {
    let outcome = Load::on(&Sink::usual()).with("--rate 1/s --duration 3s --late-after 5s").run().expect(0);
    check_rate(&outcome, 3.0);
}

#[test]
fn a_message_in_flight_is_measured_in_whatever_phase_it_waits() {
    let phases = [
        (
            Verb::Banner,
            "banner",
            "the greeting; a server that encrypts from the start greets only then: its target is smtps://HOST",
        ),
        (Verb::Ehlo, "ehlo", "the reply to EHLO"),
        (Verb::Mail, "mail", "the reply to MAIL"),
        (Verb::Rcpt, "rcpt", "the reply to RCPT"),
        (Verb::Data, "data", "the reply to DATA"),
        (Verb::Dot, "dot", "the reply to the message"),
    ];
    // Far longer than it takes to come to the phase, on a busy machine too.
    let wait = |(verb, phase, awaited)| {
        let sink = Sink::answering(verb, Act::Silence);
        let outcome = Load::on(&sink).with("-c 3 --duration 2s --grace 100ms").run().expect(1);
        check_in_flight(&outcome, 3, phase, 100.0);
        let words = format!("; messages that waited: 3 for {awaited} (exit 1)");
        assert!(outcome.stderr.ends_with(&format!("{words}\n")), "{words}: {}", outcome.stderr);
    };
    std::thread::scope(|scope| phases.map(|phase| scope.spawn(move || wait(phase))).map(drop));
}

#[test]
#[cfg(target_os = "linux")]
fn a_connection_in_the_making_is_in_flight() {
    let (_full, target) = full_listener();
    let outcome = Load::at(&target).with("-c 3 --duration 200ms --grace 100ms").run().expect(1);
    check_in_flight(&outcome, 3, "connect", 100.0);
}

#[test]
fn a_run_ended_by_a_signal_is_measured_until_then() {
    let sink = frozen_after(100);
    let child = Load::on(&sink).with("-c 4 --count 1000 --grace 100ms --fail-if").arg("errors > 0").spawn();
    eventually("the freeze", || sink.seen().verbs.get(&Verb::Dot).is_some_and(|count| *count >= 104));
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal is sent");
    let outcome = Outcome::after(child).expect(10);
    check_in_flight(&outcome, 4, "dot", 100.0);
    let measured = outcome.report["measured_s"].as_f64().expect("a number");
    let waited = outcome.millis("message", "ok", "max") / 1e3;
    assert!(measured > waited, "the time of the freeze counts, {measured} s");
}

#[test]
fn a_signal_within_the_grace_ends_the_run_with_its_report() {
    let run = |signal| {
        let sink = Sink::start(|turn| match turn.verb {
            Verb::Dot if turn.session == 0 => Act::Silence,
            _ => Act::Usual,
        });
        let load = "-c 2 --duration 1s --grace 10m --timeout 1h --give-up-after never";
        let child = Load::on(&sink).with(load).spawn();
        eventually("the grace", || sink.seen().verbs.contains_key(&Verb::Quit));
        kill_process(Pid::from_child(&child), signal).expect("a signal is sent");
        let outcome = Outcome::after(child).expect(0);
        assert_eq!((outcome.report["interrupted"].as_bool(), outcome.count("in_flight")), (Some(true), 1));
    };
    std::thread::scope(|scope| {
        [Signal::INT, Signal::TERM].map(|signal| scope.spawn(move || run(signal))).map(drop)
    });
}

#[test]
fn a_count_is_measured_to_the_end_of_its_last_message() {
    let outcome = Load::on(&frozen_after(5)).with("-c 2 --count 7 --timeout dot=400ms").run().expect(0);
    assert_eq!((outcome.count("accepted"), outcome.count("timed_out")), (5, 2));
    assert_eq!(outcome.number("/latency/message/censored"), 2, "a timeout cuts off, too");
    assert!(outcome.report["measured_s"].as_f64().is_some_and(|measured| measured >= 0.4));
}

#[test]
fn merging_and_comparing_know_what_was_in_flight() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name| path(&folder, name);
    let (healthy, frozen, other, whole) = (file("healthy"), file("frozen"), file("other"), file("whole"));
    Load::into_file(&Sink::usual(), &healthy).with("-c 2 --duration 500ms").run().code_is(0);
    for report in [&frozen, &other] {
        Load::into_file(&frozen_after(10), report).with("-c 2 --duration 500ms --grace 0s").run().code_is(0);
    }
    let merged =
        plain(&["merge", &frozen, &other, "--json", &whole, "--quiet", "--fail-if", "in_flight != 4"]);
    merged.code_is(0);
    assert_eq!(json(&whole)["latency"]["dot"]["censored"], 4);
    let compared = plain(&["merge", &frozen, "--baseline", &healthy]);
    compared.code_is(11);
    let errors = compared.stdout.lines().find(|line| line.starts_with("  errors "));
    assert!(errors.is_some_and(|line| line.ends_with("REGRESSED")), "{}", compared.stdout);
    assert!(compared.stdout.contains("2 right-censored"), "{}", compared.stdout);
}
