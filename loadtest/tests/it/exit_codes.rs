//! Exit codes, gates, baselines, and errors that name the flag.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::files::path;
use crate::support::program::plain;
use crate::support::waiting::eventually;
use crate::support::{Act, Load, Outcome, Sink, Verb};

#[test]
fn zero_when_all_is_well_and_gates_hold() {
    let sink = Sink::usual();
    let outcome = Load::on(&sink)
        .with("-c 2 --count 100")
        .arg("--fail-if=p99(message) > 60s")
        .arg("--fail-if=errors > 0.1%")
        .arg("--fail-if=rate < 1")
        .run()
        .expect(0);
    let gates = outcome.report["gates"].as_array().cloned().expect("gates");
    assert_eq!(gates.len(), 3);
    assert!(gates.iter().all(|gate| gate["failed"] == false), "{gates:?}");
}

#[test]
fn one_when_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let outcome = Load::at(&free.to_string()).with("-c 2 --count 4").run().expect(1);
    assert_eq!(outcome.count("aborted"), 4);
    assert!(outcome.stderr.contains("no session with"), "{}", outcome.stderr);
    assert_eq!(outcome.report["accounting"]["measured"]["aborted_by"][0]["reason"], "refused");
}

#[test]
fn one_when_nothing_was_accepted_whatever_the_gates() {
    let sink = Sink::answering(Verb::Mail, Act::Say("550 no\r\n"));
    let outcome = Load::on(&sink).with("-c 1 --count 10").arg("--fail-if=p99(message) > 1h").run().expect(1);
    assert_eq!(outcome.report["gates"][0]["failed"], true, "no sample never passes");
}

#[test]
fn the_reason_names_the_most_frequent_failure_and_what_may_help() {
    let auth = |offer: &'static str, nth: usize| {
        Sink::offering(offer, move |turn| match turn.verb {
            Verb::Auth if turn.nth < nth => Act::Say("454 4.7.0 later\r\n"),
            Verb::Auth => Act::Say("535 5.7.8 wrong \x1b[31m\r\n"),
            _ => Act::Usual,
        })
    };
    let login = "--auth ann:secret";
    let named = "--auth ann:secret@CRAM-MD5";
    let both = "250-sink\r\n250 AUTH PLAIN CRAM-MD5\r\n";
    let plain_only = "250-sink\r\n250 AUTH PLAIN\r\n";
    let unknown = |text| {
        Sink::start(move |turn| match turn.verb {
            Verb::Ehlo | Verb::Helo => Act::Say(text),
            _ => Act::Usual,
        })
    };
    let of = |verb, text| Sink::answering(verb, Act::Say(text));
    let chosen = "CRAM-MD5 was chosen as the strongest mechanism offered";
    for (sink, args, words, absent) in [
        (
            auth(both, 1),
            login,
            &["no session with", "auth: reply 535 5.7.8 wrong", "(3 times)", chosen, "`@PLAIN`"][..],
            "reply 454",
        ),
        (auth(both, 0), named, &["auth: reply 535 5.7.8 wrong"], "was chosen"),
        (auth(plain_only, 0), login, &["auth: reply 535 5.7.8 wrong", "PLAIN was chosen"], "`@PLAIN`"),
        (of(Verb::Ehlo, "250 sink\r\n"), login, &["ehlo: no AUTH mechanism offered", "(4 times)"], "reply"),
        (
            unknown("502 5.5.1 what\r\n"),
            "",
            &["ehlo: reply 502 5.5.1 what", "speaks LMTP, add --lmtp"],
            "leave",
        ),
        (unknown("550 5.7.1 not you\r\n"), "", &["ehlo: reply 550 5.7.1 not you"], "--lmtp"),
        (
            of(Verb::Ehlo, "500 what\r\n"),
            "--lmtp",
            &["ehlo: reply 500 what", "speaks SMTP, leave out --lmtp"],
            "add",
        ),
        (of(Verb::Banner, "554 go away\r\n"), "", &["banner: reply 554 go away"], "--lmtp"),
        (
            of(Verb::Mail, "550 5.7.1 no\r\n"),
            "",
            &["no measured message", "mail: reply 550 5.7.1 no (4 times)"],
            "--lmtp",
        ),
        (
            Sink::answering(Verb::Data, Act::Close),
            "",
            &["data: connection closed by the server (4 times)"],
            "reply",
        ),
    ] {
        let load = format!("{} -q -c 1 --count 4 {args}", sink.address());
        let outcome = plain(&load.split_ascii_whitespace().collect::<Vec<_>>());
        outcome.code_is(1);
        let text = &outcome.stderr;
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
        assert!(!text.contains(absent) && !text.contains('\x1b'), "{absent}: {text}");
    }
}

#[test]
fn ten_when_a_gate_fails() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Dot if turn.nth % 10 == 0 => Act::Say("451 later\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 100").arg("--fail-if=errors > 1%").run().expect(10);
    assert!(outcome.stderr.contains("errors > 1%"), "{}", outcome.stderr);
    assert!(outcome.report["gates"][0]["found"].as_str().is_some_and(|found| found.contains("10 of 100")));
    Load::on(&sink).with("-c 1 --count 100").arg("--fail-if=4xx > 10%").run().expect(0);
    Load::on(&sink).with("-c 1 --count 100").arg("--fail-if=4xx >= 10%").run().expect(10);
    Load::on(&sink).with("-c 1 --count 100").arg("--fail-if=p50(rcpt) > 1ns").run().expect(10);
}

#[test]
fn what_must_be_true_is_no_other_name_for_what_must_not_be() {
    let sink = Sink::usual();
    let load = || Load::on(&sink).with("-c 1 --count 10");
    let outcome = load().arg("--expect=accepted == 10").arg("--fail-if=errors > 0").run().expect(0);
    let gates = outcome.report["gates"].as_array().cloned().expect("gates");
    let shown =
        gates.iter().map(|gate| (gate["check"].as_str(), gate["gate"].as_str(), gate["failed"].as_bool()));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            (Some("expect"), Some("accepted == 10"), Some(false)),
            (Some("fail-if"), Some("errors > 0"), Some(false))
        ]
    );
    let outcome = load().arg("--expect=accepted > 10").run().expect(10);
    assert!(outcome.stderr.contains("expected `accepted > 10` (found 10 of 10"), "{}", outcome.stderr);
    let outcome = load().arg("--fail-if=accepted == 10").run().expect(10);
    assert!(outcome.stderr.contains("fail if `accepted == 10` (found 10 of 10"), "{}", outcome.stderr);
    // Without a sample both fail.
    for flag in ["--expect", "--fail-if"] {
        let outcome = load().arg(flag).arg("max(message.failed) < 10s").run().expect(10);
        assert!(outcome.stderr.contains("no sample"), "{}", outcome.stderr);
    }
}

#[test]
fn latencies_are_compared_in_the_unit_of_the_limit() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Dot => Act::After(Duration::from_millis(20)),
        _ => Act::Usual,
    });
    // An error by a factor of a thousand would fail.
    let load = Load::on(&sink).with("-c 1 --count 3 --fail-if").arg("min(dot) < 15 ms");
    load.arg("--fail-if=p50(dot.ok) > 0.25min").arg("--fail-if=count(dot) != 3").run().expect(0);
}

#[test]
fn a_gate_without_a_sample_fails() {
    let sink = Sink::usual();
    // A closed loop has no uncorrected histogram, and nothing was refused.
    for gate in ["p99(uncorrected) > 10s", "max(message.failed) > 10s"] {
        let outcome = Load::on(&sink).with("-c 1 --count 10 --fail-if").arg(gate).run().expect(10);
        assert!(outcome.stderr.contains("no sample"), "{}", outcome.stderr);
    }
}

#[test]
fn eleven_when_it_got_slower_than_the_baseline_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = path(&folder, "base.json");
    let fast = Sink::usual();
    // Enough samples on the busiest machine.
    assert_eq!(Load::into_file(&fast, &base).with("-c 1 --count 2000").run().code, 0);
    // Far slower than a fast one on a busy machine.
    let slow = Sink::answering(Verb::Dot, Act::After(Duration::from_millis(150)));
    let outcome =
        Load::on(&slow).with("-c 1 --count 40 --max-regression 50% --baseline").arg(&base).run().expect(11);
    let moves = outcome.report["baseline"].as_array().cloned().expect("moves");
    let of = |metric: &str| moves.iter().find(|one| one["metric"] == metric).cloned().expect("a metric");
    assert_eq!(of("p50(dot)")["verdict"], "regressed");
    assert!(of("p50(dot)")["worse_by_percent"].as_f64().is_some_and(|percent| percent > 100.0));
    // The bounds of the rate are as wide as a busy machine makes them: the tests of the comparison judge it.
    assert!(of("rate")["worse_by_percent"].as_f64().is_some_and(|percent| percent > 50.0));
    assert_eq!(of("p99.9(message)")["verdict"], "not-compared", "40 messages say nothing of it");
    assert!(outcome.stderr.contains("p50(dot) worse by"), "{}", outcome.stderr);
    assert!(of("p50(dot)")["worse_by_at_least_percent"].as_f64().is_some_and(|percent| percent > 50.0));
    // The same run is neither better nor worse, and there is no minus zero.
    let itself = plain(&["merge", &base, "--baseline", &base, "--max-regression", "0%"]);
    assert_eq!(itself.code, 0, "{}{}", itself.stdout, itself.stderr);
    assert!(itself.stdout.contains("p50(dot)") && !itself.stdout.contains("-0.0%"), "{}", itself.stdout);
    // No regression is a million percent.
    Load::on(&slow).with("-c 1 --count 10 --max-regression 1000000% --baseline").arg(&base).run().expect(0);
}

#[test]
fn runs_of_different_shape_are_not_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = path(&folder, "base.json");
    let sink = Sink::usual();
    Load::into_file(&sink, &base).with("-c 1 --count 50").run();
    let outcome = Load::on(&sink).with("-c 2 --count 50 --size 2KiB --baseline").arg(&base).run().expect(11);
    assert!(outcome.stderr.contains("connections was 1 and is 2"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("message was \"1024\" and is \"2048\""), "{}", outcome.stderr);
}

#[test]
fn twelve_when_the_generator_itself_was_late() {
    let sink = Sink::usual();
    let child = Load::on(&sink)
        .with("--rate 200/s --duration 2s -c 4 --late-after 10ms")
        .arg("--fail-if=errors > 100%")
        .arg("--fail-if=p99(message) > 1us")
        .spawn();
    eventually("a hundred messages", || sink.seen().messages.len() >= 100);
    // The generator is stopped; the server would have answered.
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).expect("a signal is sent");
    std::thread::sleep(Duration::from_millis(400));
    kill_process(pid, Signal::CONT).expect("a signal is sent");
    let outcome = Outcome::after(child).expect(12);
    assert_eq!(outcome.report["generator"]["saturated"], true);
    assert!(outcome.number("/generator/late") >= 40, "80 messages were due meanwhile");
    // The gates that failed are named as well.
    let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("saturated: ")).collect();
    assert!(
        matches!(lines.as_slice(), [line] if line.contains("`p99(message) > 1us`")),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("errors > 100%"), "{}", outcome.stderr);
}

#[test]
fn a_slow_target_is_not_taken_for_a_saturated_generator() {
    let sink = Sink::answering(Verb::Dot, Act::After(Duration::from_millis(50)));
    // Two sessions take 40 messages per second of the 100 that are due.
    let outcome =
        Load::on(&sink).with("--rate 100/s --duration 2s -c 2 --grace 20s --late-after 1s").run().expect(0);
    assert_eq!(outcome.count("accepted"), 200);
    assert_eq!(outcome.report["generator"]["saturated"], false);
    assert!(outcome.millis("message", "ok", "max") >= 2000.0, "the wait is the target's latency");
    assert!(outcome.millis("uncorrected", "ok", "p50") < 1000.0);
}

#[test]
fn bad_input_is_a_usage_error_that_names_the_flag() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["127.0.0.1:1", "--rate", "fast"], &["--rate", "5000/s"]),
        (&["127.0.0.1:1", "--concurrency", "8"], &["--concurrency", "--connections"]),
        (&["127.0.0.1:1", "--ramp", "1/s..2/s"], &["--ramp", "over 60s"]),
        (&["127.0.0.1:1", "--rate", "5/s", "--ramp", "1/s..2/s over 3s"], &["--rate", "--ramp"]),
        (&["127.0.0.1:1", "--size", "1KiB..1"], &["--size", "smaller size first"]),
        (&["127.0.0.1:1", "--size", "1"], &["--size", "2 bytes"]),
        (&["127.0.0.1:1", "--to", "user{{nr}}@example.com"], &["--to", "{{seq}}"]),
        (&["127.0.0.1:1", "--message", "/nonexistent.eml"], &["--message", "/nonexistent.eml"]),
        (&["127.0.0.1:1", "--timeout", "dots=5s"], &["--timeout", "dot"]),
        (&["127.0.0.1:1", "--threads", "9", "-c", "3"], &["--threads 9", "--connections 3"]),
        (&["127.0.0.1:1", "-c", "0"], &["--connections 0", "1 to"]),
        (&["127.0.0.1:1", "--bind", "::1"], &["--bind ::1", "family"]),
        (&["127.0.0.1:1", "--bind", "192.0.2.77"], &["--bind 192.0.2.77", "this machine"]),
        (&["127.0.0.1:1", "--warmup", "20s"], &["--warmup", "--duration"]),
        (&["127.0.0.1:1", "--rcpts", "0"], &["--rcpts"]),
        (&["127.0.0.1:1", "--arrivals", "poisson"], &["--rate"]),
        (&["127.0.0.1:1", "--max-regression", "5%"], &["--baseline"]),
        (
            &["127.0.0.1:1", "--baseline", "/nonexistent.json", "--count", "1"],
            &["--baseline", "/nonexistent.json"],
        ),
        (&["no.such.host.invalid:25"], &["no.such.host.invalid", "HOST:PORT"]),
        (&[], &["HOST"]),
        (&["merge"], &["REPORTS"]),
        (&["merge", "/nonexistent.json"], &["/nonexistent.json"]),
    ];
    for (args, wanted) in cases {
        let outcome = plain(args);
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.stderr);
        for text in *wanted {
            assert!(outcome.stderr.contains(text), "{args:?} should say {text:?}: {}", outcome.stderr);
        }
    }
}

#[test]
fn an_empty_check_is_no_check_that_passes() {
    for flag in
        ["--fail-if", "--baseline", "--verify", "--max-regression", "--count", "--duration", "--late-after"]
    {
        for value in ["", " "] {
            let baseline: &[&str] =
                if flag == "--max-regression" { &["--baseline", "/dev/null"] } else { &[] };
            let outcome =
                plain(&[&["127.0.0.1:1", flag, value, "--count", "1", "-q"][..], baseline].concat());
            // A file name may be a blank; this file does not exist.
            let code = if (flag, value) == ("--verify", " ") { 1 } else { 2 };
            assert_eq!(outcome.code, code, "{flag} {value:?}: {}", outcome.stderr);
            assert!(outcome.stderr.contains(flag), "{flag} {value:?}: {}", outcome.stderr);
        }
    }
}

#[test]
fn a_bad_gate_is_shown_with_a_caret_under_the_place() {
    let outcome = plain(&["127.0.0.1:1", "--fail-if", "p99(massage) > 5ms"]);
    assert_eq!(outcome.code, 2);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let shown = lines.iter().position(|line| line.ends_with("p99(massage) > 5ms")).expect("the expression");
    let caret = lines[shown + 1].find('^').expect("a caret");
    assert_eq!(Some(caret), lines[shown].find("massage"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--fail-if"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("did you mean message?"), "{}", outcome.stderr);
}

#[test]
fn a_gate_on_more_than_the_whole_is_refused() {
    let outcome = plain(&["127.0.0.1:1", "--fail-if", "errors > 101%"]);
    outcome.code_is(2);
    assert!(outcome.stderr.contains("expected a percentage from 0% to 100%"), "{}", outcome.stderr);
}

#[test]
fn an_empty_gate_has_no_caret() {
    let outcome = plain(&["127.0.0.1:1", "--expect", ""]);
    outcome.code_is(2);
    assert!(outcome.stderr.contains("--expect") && !outcome.stderr.contains('^'), "{}", outcome.stderr);
}
