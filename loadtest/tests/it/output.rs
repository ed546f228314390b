//! Reports: their files and form, and merging.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::files::{json, path};
use crate::support::program::plain;
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// Runs a closed loop and writes its report to a file.
fn report(sink: &Sink, args: &str, file: &str) -> Value {
    assert_eq!(Load::into_file(sink, file).with(args).run().code, 0);
    json(file)
}

/// A histogram as it was written.
fn decode(text: &str) -> Histogram<u64> {
    let bytes = BASE64.decode(text).expect("base64");
    Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram")
}

/// The histogram of a distribution in a report.
fn histogram(distribution: &Value) -> Histogram<u64> {
    let read = decode(distribution["histogram"].as_str().expect("a text"));
    // A histogram has the size with which it was written; it must grow to be compared.
    let mut grown = Histogram::new(3).expect("a histogram");
    grown.add(read).expect("histograms add");
    grown
}

#[test]
fn histograms_in_json_read_back_as_what_the_figures_beside_them_say() {
    let sink = Sink::usual();
    let outcome = Load::on(&sink).with("-c 2 --count 500").run().expect(0);
    let message = &outcome.report["latency"]["message"]["ok"];
    let histogram = histogram(message);
    assert_eq!(histogram.len(), 500);
    assert_eq!(Some(histogram.value_at_quantile(0.99)), message["p99_ns"].as_u64());
    assert_eq!(Some(histogram.max()), message["max_ns"].as_u64());
    let series = outcome.report["intervals"].as_array().cloned().expect("a series");
    let total: u64 = series.iter().map(|row| row["accepted"].as_u64().unwrap_or(0)).sum();
    let samples: u64 = series.iter().map(|row| row["latency"]["count"].as_u64().unwrap_or(0)).sum();
    assert_eq!((total, samples), (500, 500), "the series adds up to the whole");
}

#[test]
fn the_same_seed_is_reported_and_draws_the_same_sizes() {
    let sizes = |seed: &str| {
        let sink = Sink::usual();
        let outcome =
            Load::on(&sink).with("-c 1 --count 20 --size 100..9000 --seed").arg(seed).run().expect(0);
        assert_eq!(outcome.number("/settings/seed").to_string(), seed);
        let all: Vec<usize> = sink.seen().messages.iter().map(|message| message.text.len()).collect();
        all
    };
    assert_eq!(sizes("12"), sizes("12"));
    assert_ne!(sizes("12"), sizes("13"));
    let drawn = Load::on(&Sink::usual()).with("-c 1 --count 1").run().expect(0).number("/settings/seed");
    assert!(drawn < 1 << 53, "{drawn}: most readers of JSON would read another");
}

#[test]
fn merged_runs_are_the_sum_of_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let (a, b, whole) = (path(&folder, "a.json"), path(&folder, "b.json"), path(&folder, "whole.json"));
    let first = report(&sink, "-c 2 --count 300", &a);
    let second = report(&sink, "-c 3 --count 200", &b);
    let outcome = plain(&["merge", &a, &b, "--json", &whole, "--quiet", "--fail-if", "accepted != 500"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let merged = json(&whole);
    assert_eq!(merged["accounting"]["measured"]["accepted"], 500);
    assert_eq!(merged["settings"]["shape"]["connections"], 5);
    assert_eq!(merged["machines"].as_array().map(Vec::len), Some(2));
    let mut sum = histogram(&first["latency"]["rcpt"]["ok"]);
    sum.add(histogram(&second["latency"]["rcpt"]["ok"])).expect("histograms add");
    assert_eq!(histogram(&merged["latency"]["rcpt"]["ok"]), sum);
    let outcome = plain(&["merge", &a, &a]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("in two of the reports"), "{}", outcome.stderr);
}

#[test]
fn texts_of_a_report_do_not_control_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, page) = (path(&folder, "one.json"), path(&folder, "one.html"));
    let mut report = report(&Sink::usual(), "-c 1 --count 1", &file);
    let evil = "<script>\u{1b}[2J\r\n\u{9b}\u{202e}";
    report["settings"]["target"] = evil.into();
    for field in ["load", "message"] {
        report["settings"]["shape"][field] = evil.into();
    }
    report["settings"]["runs"] = serde_json::json!([evil]);
    let shown = r"<script>\u{1b}[2J\r\n\u{9b}\u{202e}";
    let is_evil = |c| c != '\n' && smtpmock::escape::is_hidden(c);
    std::fs::write(&file, report.to_string()).expect("a file");
    let outcome = plain(&["merge", &file, "--html", &page]);
    assert_eq!(outcome.stdout.matches(shown).count(), 4, "{}", outcome.stdout);
    assert!(!outcome.stdout.contains(is_evil), "{}", outcome.stdout);
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(!page.contains(is_evil) && !page.contains("<script"), "{page}");
    report["schema"] = evil.into();
    std::fs::write(&file, report.to_string()).expect("a file");
    let outcome = plain(&["merge", &file]);
    assert!(outcome.stderr.contains(shown) && !outcome.stderr.contains(is_evil), "{}", outcome.stderr);
}

/// Writes copies of a report, each of another run that began later by these milliseconds; returns their paths.
fn copies(folder: &TempDir, report: &Value, later_ms: &[u64], change: impl Fn(&mut Value)) -> Vec<String> {
    let copy = |(index, later): (usize, &u64)| {
        let mut copy = report.clone();
        for field in ["started_at_ms", "ended_at_ms"] {
            copy[field] = (copy[field].as_u64().expect("a time") + later).into();
        }
        copy["settings"]["runs"] = serde_json::json!([format!("{index:08x}")]);
        change(&mut copy);
        let file = path(folder, &format!("copy{index}.json"));
        std::fs::write(&file, copy.to_string()).expect("a file");
        file
    };
    later_ms.iter().enumerate().map(copy).collect()
}

/// Merges reports; returns the sum, or the error.
fn merged(files: &[String]) -> Result<Value, String> {
    let mut args = vec!["merge", "--quiet", "--json", "-"];
    args.extend(files.iter().map(String::as_str));
    let outcome = plain(&args);
    if outcome.code == 0 { Ok(outcome.report) } else { Err(outcome.stderr) }
}

#[test]
fn a_merged_rate_is_over_the_time_in_which_a_run_was_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let mut one = report(&sink, "-c 2 --count 300", &path(&folder, "one.json"));
    for with_spans in [true, false] {
        // A second of warm-up, and four measured seconds.
        one["measured_s"] = 4.into();
        one["sessions"]["most_open"] = 2.into();
        one["settings"]["warmup_s"] = 1.into();
        let span =
            serde_json::json!({"begins_s": 0.0, "measured_from_s": 1.0, "ends_s": 5.0, "most_open": 2});
        one["spans"] = serde_json::json!([span]);
        if !with_spans {
            one.as_object_mut().expect("a report").remove("spans");
        }
        for (later_ms, seconds, most_open) in [
            (&[0, 5_000][..], 8.0, 2),
            (&[0, 3_600_000], 8.0, 2),
            (&[7_000, 0], 8.0, 2),
            (&[0, 0], 4.0, 4),
            (&[0, 2_000], 6.0, 4),
            (&[0, 20_000, 1_000], 9.0, 4),
        ] {
            let sum = merged(&copies(&folder, &one, later_ms, |_| {})).expect("a sum");
            let rate = 300.0 * later_ms.len() as f64 / seconds;
            assert_eq!(sum["measured_s"].as_f64(), Some(seconds), "{later_ms:?}");
            assert_eq!(sum["rate"].as_f64(), Some(rate), "{later_ms:?}");
            assert_eq!(sum["sessions"]["most_open"], most_open, "{later_ms:?}");
            // A sum is a report: it can be merged again.
            let whole = path(&folder, "whole.json");
            std::fs::write(&whole, sum.to_string()).expect("a file");
            assert_eq!(merged(&[whole]).expect("the same"), sum);
        }
    }
}

#[test]
fn a_count_that_no_report_can_hold_names_its_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let one = report(&sink, "-c 1 --count 10", &path(&folder, "one.json"));
    let most = 1_u64 << 53;
    for (pointer, name) in [
        ("/accounting/measured/unsent", "accounting.measured.unsent"),
        ("/accounting/warmup/recipients_accepted", "accounting.warmup.recipients_accepted"),
        ("/sessions/dialed", "sessions.dialed"),
        ("/generator/late", "generator.late"),
        ("/intervals/0/accepted", "intervals, accepted at 0 s"),
        ("/settings/shape/connections", "settings.shape.connections"),
    ] {
        let set = |to: u64| move |copy: &mut Value| *copy.pointer_mut(pointer).expect(pointer) = to.into();
        assert!(merged(&copies(&folder, &one, &[0], set(most))).is_ok(), "{name}");
        // With two reports the sum is too large, with one the count itself.
        for files in [copies(&folder, &one, &[0, 0], set(most)), copies(&folder, &one, &[0], set(u64::MAX))] {
            let complaint = merged(&files).expect_err(name);
            let reason = format!("{name} is larger than {most} (2^53)");
            assert!(complaint.contains(&reason), "{complaint}");
        }
    }
    // Counts that wrap to a balance.
    let files = copies(&folder, &one, &[0], |copy| {
        let row = |reason: &str| serde_json::json!({"phase": "dot", "reason": reason, "count": 1u64 << 63});
        copy["accounting"]["measured"]["aborted_by"] = serde_json::json!([row("reset"), row("closed")]);
    });
    let complaint = merged(&files).expect_err("2^64 messages");
    assert!(complaint.contains("does not add up"), "{complaint}");
}

#[test]
fn a_run_that_ends_before_it_begins_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let one = report(&sink, "-c 1 --count 10", &path(&folder, "one.json"));
    for (field, other) in [("begins_s", -1.0), ("measured_from_s", 1e9), ("ends_s", 1e300)] {
        let files = copies(&folder, &one, &[0], |copy| copy["spans"][0][field] = other.into());
        let complaint = merged(&files).expect_err(field);
        assert!(complaint.contains("spans.0: "), "{complaint}");
    }
}

#[test]
fn an_interval_that_no_run_has_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let one = report(&sink, "-c 1 --count 10", &path(&folder, "one.json"));
    let log = path(&folder, "log.hlog");
    for field in ["at_s", "length_s"] {
        for other in [-1.0, 1e12, 1e300] {
            let files = copies(&folder, &one, &[0], |copy| copy["intervals"][0][field] = other.into());
            let outcome = plain(&["merge", &files[0], "--hlog", &log]);
            outcome.code_is(2);
            let complaint = "intervals.0: at_s and length_s are seconds from 0 to 274877906944";
            assert!(outcome.stderr.contains(complaint), "{field} {other}: {}", outcome.stderr);
        }
    }
    let files = copies(&folder, &one, &[0], |_| {});
    plain(&["merge", &files[0], "--quiet", "--hlog", &log]).code_is(0);
}

#[test]
fn a_report_merged_alone_is_the_same_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let (one, again) = (path(&folder, "one.json"), path(&folder, "again.json"));
    let before = report(&sink, "-c 2 --rate 200/s --duration 1s --late-after 5s", &one);
    assert_eq!(plain(&["merge", &one, "--json", &again, "--quiet"]).code, 0);
    assert_eq!(json(&again), before);
    // The names of `smtpmock`'s flags are accepted as well.
    let other = path(&folder, "other.json");
    assert_eq!(plain(&["--merge-reports", &one, "--report-json", &other, "--quiet"]).code, 0);
    assert_eq!(json(&other), before);
}

#[test]
fn flags_of_a_run_are_refused_where_reports_are_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let one = path(&folder, "one.json");
    report(&sink, "-c 1 --count 1", &one);
    let merge = ["--merge-reports", &one];
    for run in [
        &["--rate", "5/s"][..],
        &["--verify", "/dev/null"],
        &["-c", "1"],
        &["--pipelining"],
        &["127.0.0.1:1"],
    ] {
        for args in [[&merge[..], run].concat(), [run, &merge[..]].concat()] {
            let outcome = plain(&args);
            outcome.code_is(2);
            let typed = if run[0] == "-c" { "--connections" } else { run[0] };
            let typed = if typed == "127.0.0.1:1" { "HOST" } else { typed };
            for word in ["--merge-reports", typed] {
                assert!(outcome.stderr.contains(word), "{args:?}: {}", outcome.stderr);
            }
            assert!(!outcome.stderr.contains("--ramp"), "it was not typed: {}", outcome.stderr);
        }
    }
}

#[test]
fn a_report_that_was_tampered_with_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let file = path(&folder, "a.json");
    let mut value = report(&sink, "-c 1 --count 10", &file);
    value["accounting"]["measured"]["accepted"] = 9.into();
    std::fs::write(&file, value.to_string()).expect("a file");
    let outcome = plain(&["merge", &file]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("does not add up"), "{}", outcome.stderr);
    value["accounting"]["measured"]["accepted"] = 10.into();
    value["latency"]["dot"]["censored"] = 1.into();
    std::fs::write(&file, value.to_string()).expect("a file");
    let refused = plain(&["merge", &file]);
    assert!(refused.stderr.contains("latency.dot.censored is 1, of 0 failed"), "{}", refused.stderr);
    value["latency"]["dot"]["censored"] = 0.into();
    value["schema"] = "other/1".into();
    std::fs::write(&file, value.to_string()).expect("a file");
    assert!(plain(&["merge", &file]).stderr.contains("other/1"));
    std::fs::write(&file, "{").expect("a file");
    assert!(plain(&["merge", &file]).stderr.contains("not JSON"));
}

#[test]
fn the_interval_log_is_read_by_its_own_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "run.hlog");
    let sink = Sink::usual();
    Load::on(&sink).with("-c 2 --rate 200/s --duration 2s --late-after 5s --hlog").arg(&file).run().expect(0);
    let bytes = std::fs::read(&file).expect("a file");
    let mut samples = 0;
    for entry in IntervalLogIterator::new(&bytes) {
        if let LogEntry::Interval(interval) = entry.expect("a line of the log") {
            assert_eq!(interval.tag().map(|tag| tag.as_str().to_owned()).as_deref(), Some("message"));
            samples += decode(interval.encoded_histogram()).len();
        }
    }
    assert_eq!(samples, 400);
}

#[test]
fn the_page_is_one_file_that_fetches_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "run.html");
    let sink = Sink::usual();
    Load::on(&sink).with("-c 2 --rate 200/s --duration 2s --late-after 5s --html").arg(&file).run().expect(0);
    let page = std::fs::read_to_string(&file).expect("a page");
    assert!(page.starts_with("<!doctype html>"));
    for forbidden in ["http://", "https://", "src=", "@import", "url("] {
        let found = page.replace("http://www.w3.org/2000/svg", "").contains(forbidden);
        assert!(!found, "the page has {forbidden}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(page.matches("<svg").count() >= 3, "spectrum, rate, p99");
    for phase in ["connect", "banner", "ehlo", "mail", "rcpt", "data", "dot", "message"] {
        assert!(page.contains(phase), "{phase}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"), "numbers only");
}

#[test]
fn table_and_page_state_the_same_of_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "run.html");
    let sink = Sink::offering("250-sink\r\n250 AUTH PLAIN\r\n", |turn| match turn.verb {
        Verb::Auth if turn.nth == 0 => Act::Say("535 5.7.8 wrong\r\n"),
        Verb::Rcpt if turn.nth == 0 => Act::Say("550 no\r\n"),
        _ => Act::Usual,
    });
    let load =
        "-c 1 --count 4 --rcpts 2 --chunking --dsn --pipelining --auth ann:secret --late-after 60s --html";
    let load = format!("{} {load} {file}", sink.address());
    let outcome = plain(&load.split(' ').collect::<Vec<_>>());
    outcome.code_is(0);
    // Long lines of the table are wrapped.
    let table = outcome.stdout.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let page = std::fs::read_to_string(&file).expect("a page");
    for (name, text) in [
        ("sessions", "2 dialed, 1 established, 1 open at most"),
        ("auth", "PLAIN x1, PLAIN refused x1"),
        ("note", "1 sessions went without --pipelining"),
        ("note", "1 sessions went without --chunking: the server did not offer it"),
        ("note", "1 sessions went without --dsn"),
        ("generator", ""),
    ] {
        assert!(table.contains(&format!("{name} {text}")), "{name} {text}: {table}");
        assert!(page.contains(&format!("{name}: {text}")), "{name} {text}: {page}");
    }
    assert!(table.contains("recipients 5 accepted, 1 refused"), "{table}");
    for row in ["recipients accepted</td><td>5", "recipients refused</td><td>1"] {
        assert!(page.contains(row), "{row}: {page}");
    }
}

#[test]
fn one_plain_line_a_second_without_a_terminal_and_none_when_quiet() {
    let sink = Sink::usual();
    let args = [sink.address(), "--rate=50/s".into(), "--duration=2s".into(), "--late-after=5s".into()];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome: Outcome = plain(&args);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let lines =
        outcome.stderr.lines().filter(|line| line.contains("p99") && line.contains("in flight")).count();
    assert!(lines >= 2, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains('\u{1b}'), "no terminal codes");
    assert!(outcome.stdout.contains("accepted    100"), "{}", outcome.stdout);
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80), "{}", outcome.stdout);
    let quiet = plain(&[&args[..], &["--quiet"]].concat());
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}
