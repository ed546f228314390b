//! When a run is worse than another, and when the difference is within chance.

use serde_json::{Value, json};

use super::*;
use crate::report::IntervalRow;
use crate::report::distribution::{Distribution, Packed};
use crate::report::verdicts::show_percent;

const SECONDS: u64 = 20;
const EACH_SECOND: u64 = 1000;

/// A closed loop of 20 s with 16 connections, whose messages took `latency(second)` nanoseconds.
fn run(mut latency: impl FnMut(u64) -> u64) -> Report {
    let empty = json!({"count": 0, "histogram": ""});
    let split = json!({"ok": empty, "failed": empty});
    let account = |accepted: u64| {
        json!({
            "started": accepted, "accepted": accepted, "refused_4xx": 0, "refused_5xx": 0, "aborted": 0,
            "timed_out": 0, "in_flight": 0, "unsent": 0, "recipients_accepted": accepted,
            "recipients_refused": [], "refused_by": [], "aborted_by": [], "timed_out_by": [],
        })
    };
    let messages = SECONDS * EACH_SECOND;
    let names = ["connect", "banner", "ehlo", "mail", "rcpt", "data", "dot", "message"];
    let latencies: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), split.clone())).collect();
    let mut latencies = Value::Object(latencies);
    latencies["uncorrected"] = Value::Null;
    let report = json!({
        "schema": "smtpload-report/1", "version": "0", "started_at_ms": 0, "ended_at_ms": SECONDS * 1000,
        "interrupted": false, "machines": [], "intervals": [], "measured_s": SECONDS,
        "rate": EACH_SECOND, "latency": latencies,
        "spans": [{"begins_s": 0.0, "measured_from_s": 0.0, "ends_s": SECONDS, "most_open": 16}],
        "settings": {
            "target": "t", "count": messages, "duration_s": null, "warmup_s": 0.0, "grace_s": 5.0,
            "timeouts_s": [], "late_after_ms": 10.0, "threads": 1, "sources": [], "helo": "h", "from": "f",
            "to": "t", "seed": 1, "runs": ["00000001"],
            "shape": {
                "load": "closed", "connections": 16, "messages_per_session": null, "rcpts": 1,
                "pipelining": false, "message": "1024",
            },
        },
        "generator": {
            "saturated": false, "cpu_bound": false, "late": 0, "late_unsent": 0, "stood_still_s": 0.0,
            "starved_intervals": 0, "judged_intervals": SECONDS, "cpu_s": 1.0, "cpu_wait_s": 0.0, "lag": empty,
        },
        "sessions": {
            "dialed": 16, "established": 16, "ended_idle": 0, "protocol_errors": 0, "without_pipelining": 0,
            "most_open": 16,
        },
        "accounting": {"measured": account(messages), "warmup": account(0)},
    });
    let mut report: Report = serde_json::from_value(report).expect("a report");
    for second in 0..SECONDS {
        let mut of = Distribution::empty();
        (0..EACH_SECOND).for_each(|_| of.0.record(latency(second)).expect("it grows"));
        report.latency.message.ok.merge(&of);
        report.intervals.push(IntervalRow {
            at_s: second as f64,
            length_s: 1.0,
            started: EACH_SECOND,
            accepted: EACH_SECOND,
            errors: 0,
            in_flight: 0,
            starved: false,
            latency: Packed::from(of),
        });
    }
    report
}

/// Latencies with a long tail around 1 ms times `factor`.
fn with_a_tail(seed: u64, factor: f64) -> Report {
    let mut generator = oorandom::Rand64::new(seed.into());
    run(move |_| (factor * 1e6 / (1.0 - generator.rand_float()).powf(0.7)) as u64)
}

fn of<'m>(moves: &'m [Move], metric: &str) -> &'m Move {
    moves.iter().find(|one| one.metric == metric).expect(metric)
}

#[test]
fn a_run_is_no_worse_than_itself_done_again() {
    let runs: Vec<Report> = (0..5).map(|seed| with_a_tail(seed, 1.0)).collect();
    let mut worst: f64 = 0.0;
    for before in &runs {
        for now in &runs {
            let moves = compare(before, now, 10.0).expect("the same shape");
            let tail = of(&moves, "p99.9(message)");
            worst = worst.max(tail.worse_by_percent.expect("20,000 samples are enough"));
            let regressed = moves.iter().find(|one| one.verdict == Assessment::Regressed);
            assert!(regressed.is_none(), "{regressed:?}");
        }
    }
    assert!(worst > 15.0, "{worst}: of 20 samples beyond a percentile the figure alone says nothing");
}

#[test]
fn what_is_worse_within_all_bounds_has_regressed() {
    let (before, now) = (with_a_tail(1, 1.0), with_a_tail(2, 10.0));
    let moves = compare(&before, &now, 10.0).expect("the same shape");
    for metric in ["p50(message)", "p99(message)", "p99.9(message)"] {
        let Move { verdict, worse_by_percent, worse_by_at_least_percent, before_bounds, now_bounds, .. } =
            of(&moves, metric);
        assert_eq!(*verdict, Assessment::Regressed, "{metric}");
        let (Some((_, high)), Some((low, _))) = (before_bounds, now_bounds) else { panic!("{metric}") };
        assert_eq!(*worse_by_at_least_percent, Some((low / high - 1.0) * 100.0), "{metric}");
        assert!(worse_by_at_least_percent < worse_by_percent, "{metric}");
    }
    let back = compare(&now, &before, 10.0).expect("the same shape");
    assert!(back.iter().all(|one| one.verdict != Assessment::Regressed), "{back:?}");
}

#[test]
fn a_burst_counts_as_the_few_samples_that_it_is() {
    let steady = run(|second| 1_000_000 + second);
    // One stall of 40 messages: more than 0.1 % of all, and a single event.
    let mut sent = 0;
    let stalled = run(move |second| {
        sent += 1;
        if second == 7 && sent % EACH_SECOND < 40 { 90_000_000 } else { 1_000_000 + second }
    });
    let moves = compare(&steady, &stalled, 10.0).expect("the same shape");
    let tail = of(&moves, "p99.9(message)");
    assert_eq!(tail.verdict, Assessment::NotCompared, "{tail:?}");
    assert!(tail.detail.contains("they come in bursts"), "{tail:?}");
}

#[test]
fn nothing_is_better_by_minus_zero() {
    assert_eq!(
        [0.0, -0.0, 0.04, -0.04, 0.06, -0.06, 69.0].map(show_percent),
        ["0.0%", "0.0%", "0.0%", "0.0%", "+0.1%", "-0.1%", "+69.0%"]
    );
    let one = with_a_tail(1, 1.0);
    for same in compare(&one, &one, 10.0).expect("the same shape") {
        let written = serde_json::to_string(&same).expect("JSON");
        assert!(!written.contains("-0.0"), "{written}");
    }
}

#[test]
fn a_generator_without_a_processor_may_be_why() {
    let before = with_a_tail(1, 1.0);
    let mut now = with_a_tail(2, 1.5);
    (now.rate, now.generator.cpu_wait_s) = (700.0, Some(8.0));
    let regressed = |now: &Report| {
        let moves = compare(&before, now, 10.0).expect("the same shape");
        ["rate", "p50(message)"].map(|metric| of(&moves, metric).verdict == Assessment::Regressed)
    };
    assert_eq!(regressed(&now), [false, false]);
    now.generator.cpu_wait_s = Some(0.1);
    assert_eq!(regressed(&now), [true, true]);
}
