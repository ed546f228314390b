//! A run ends when no message was accepted for `--give-up-after`, for any cause.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::program::{full_listener, plain};
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Turn, Verb};

/// An address on which nobody listens.
fn nobody() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    free.to_string()
}

/// The time without an accepted message.
fn seconds_of(reason: &str) -> f64 {
    let figure = reason.strip_prefix("no message was accepted for ").expect(reason);
    let (number, rest) = figure.split_once(' ').expect(reason);
    let scale = if rest.starts_with("ms") { 1e3 } else { 1.0 };
    number.parse::<f64>().expect(reason) / scale
}

/// Fails unless the run was given up, with these words on standard error.
fn check_given_up(outcome: &Outcome, words: &[&str]) {
    assert!(outcome.count("started") < 100_000);
    let reason = outcome.report["gave_up"].as_str().expect("a reason");
    assert!(seconds_of(reason) >= 0.4995, "at least the time that was set, to three digits: {reason}");
    for word in ["smtpload: gave up: no message was accepted for", "--give-up-after"].iter().chain(words) {
        assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
    }
}

#[test]
fn connections_that_are_refused_are_given_up_by_all_threads() {
    for load in ["-c 4 --count 100000", "-c 4 --threads 2 --count 100000", "--rate 50/s --duration 10m"] {
        let target = nobody();
        let outcome = Load::at(&target).with("--give-up-after 500ms").with(load).run().expect(1);
        check_given_up(&outcome, &["connect: connection refused", &target]);
    }
}

#[test]
fn connections_that_nobody_answers_are_given_up_before_they_time_out() {
    let (_full, target) = full_listener();
    let outcome = Load::at(&target).with("-c 2 --count 100000 --give-up-after 500ms").run().expect(1);
    check_given_up(&outcome, &["messages that waited: 2 for a connection"]);
    assert_eq!(outcome.count("in_flight"), 2);
}

#[test]
fn a_reply_that_never_comes_is_given_up_before_it_times_out() {
    for (verb, words) in [
        (Verb::Banner, "2 for the greeting"),
        (Verb::Ehlo, "2 for the reply to EHLO"),
        (Verb::Mail, "2 for the reply to MAIL"),
        (Verb::Rcpt, "2 for the reply to RCPT"),
        (Verb::Data, "2 for the reply to DATA"),
        (Verb::Dot, "2 for the reply to the message"),
    ] {
        for load in ["-c 2 --count 100000", "-c 2 --threads 2 --count 100000", "-c 2 --rate 50/s"] {
            let sink = Sink::answering(verb, Act::Silence);
            let load =
                Load::on(&sink).with("--give-up-after 500ms --duration 10m --late-after 1m").with(load);
            let outcome = load.run().expect(1);
            check_given_up(&outcome, &[&format!("messages that waited: {words}")]);
            assert_eq!(outcome.count("timed_out"), 0);
        }
    }
}

#[test]
fn a_thread_without_messages_does_not_keep_a_run_going() {
    let sink = Sink::answering(Verb::Banner, Act::Silence);
    let load = "-c 2 --threads 2 --rate 1/h --duration 10m --give-up-after 500ms --late-after 1m";
    check_given_up(
        &Load::on(&sink).with(load).run().expect(1),
        &["messages that waited: 1 for the greeting"],
    );
}

#[test]
fn the_time_is_counted_from_the_last_success() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Dot if turn.nth == 0 => Act::After(Duration::from_millis(700)),
        Verb::Dot => Act::Silence,
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 9 --give-up-after 3s").run().expect(1);
    check_given_up(&outcome, &["1 for the reply to the message"]);
    assert_eq!((outcome.count("accepted"), outcome.count("in_flight")), (1, 1));
    assert!(outcome.millis("message", "failed", "min") >= 3000.0 * 0.999);
    assert!(seconds_of(outcome.report["gave_up"].as_str().expect("a reason")) >= 3.0);
}

#[test]
fn a_server_that_refuses_every_session_or_message_is_given_up() {
    for (verb, say, words) in [
        (Verb::Banner, "554 go away\r\n", "banner: reply 554"),
        (Verb::Ehlo, "450 later\r\n", "ehlo: reply 450"),
        (Verb::Mail, "451 later\r\n", "mail: reply 451"),
    ] {
        let sink = Sink::answering(verb, Act::Say(say));
        let outcome = Load::on(&sink).with("-c 4 --duration 10m --give-up-after 500ms").run().expect(1);
        check_given_up(&outcome, &[words]);
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up_when_it_was_waited_for_in_vain() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Banner | Verb::Dot if turn.nth >= 50 => Act::Silence,
        _ => Act::Usual,
    });
    let load = "-c 4 --count 100000 --messages-per-session 5 --timeout 300ms --give-up-after 500ms";
    let outcome = Load::on(&sink).with(load).run().expect(1);
    check_given_up(&outcome, &["no reply in time"]);
    assert!(outcome.count("accepted") > 0, "that something was accepted before does not change the code");
}

#[test]
fn a_slow_server_is_not_given_up_while_others_fail() {
    // The third session is always one too many.
    let act = |turn: &Turn| match turn.verb {
        Verb::Banner if turn.session >= 2 => Act::SayAndClose("421 too many\r\n"),
        Verb::Dot => Act::After(Duration::from_millis(1200)),
        _ => Act::Usual,
    };
    let load = "-c 3 --duration 5s --grace 9s --give-up-after 4s";
    let outcome = Load::on(&Sink::start(act)).with(load).run().expect(0);
    assert!(outcome.count("accepted") >= 4 && outcome.count("refused_4xx") > 0);
    assert!(outcome.report["gave_up"].is_null());
}

#[test]
fn what_is_in_flight_after_the_duration_has_its_grace() {
    let sink = Sink::answering(Verb::Dot, Act::Silence);
    let load = "-c 2 --duration 200ms --grace 10m --timeout dot=500ms --give-up-after 9m";
    let outcome = Load::on(&sink).with(load).run().expect(1);
    assert!(outcome.report["gave_up"].is_null(), "{}", outcome.report["gave_up"]);
    assert_eq!(outcome.count("timed_out"), 2);
}

#[test]
fn a_dead_target_is_given_up_in_the_grace() {
    for load in ["-c 2", "-c 2 --threads 2", "-c 2 --rate 20/s", "-c 20 --rate 20/s", "-c 2 --count 2"] {
        let sink = Sink::answering(Verb::Banner, Act::Silence);
        let load = Load::on(&sink)
            .with("--duration 200ms --grace 10m --timeout 1h --give-up-after 500ms")
            .with(load);
        check_given_up(&load.run().expect(1), &["messages that waited: ", " for the greeting"]);
    }
}

#[test]
fn a_dead_target_is_given_up_after_a_signal() {
    let sink = Sink::answering(Verb::Banner, Act::Silence);
    let load = "-c 2 --duration 10m --grace 10m --timeout 1h --give-up-after 2s";
    let child = Load::on(&sink).with(load).spawn();
    eventually("the sessions", || sink.sessions() == 2);
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal is sent");
    check_given_up(&Outcome::after(child).expect(1), &["messages that waited: 2 for the greeting"]);
}

#[test]
fn a_run_that_never_gives_up_goes_on() {
    let outcome = Load::at(&nobody()).with("-c 2 --duration 1s --give-up-after never").run().expect(1);
    assert!(outcome.report["gave_up"].is_null());
    assert!(outcome.stderr.contains("no session with"), "{}", outcome.stderr);
    let wrong = plain(&["127.0.0.1:1", "--give-up-after", "soon"]);
    wrong.code_is(2);
    assert!(
        wrong.stderr.contains("--give-up-after") && wrong.stderr.contains("or never"),
        "{}",
        wrong.stderr
    );
}
