//! Reports: files, their form, and merging them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;

use crate::support::files::{json, path};
use crate::support::program::plain;
use crate::support::{Load, Outcome, Sink};

/// Runs a closed loop and leaves its report in a file.
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
    // A histogram as read has the size it was written with; it must grow to be compared.
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
fn a_report_merged_alone_is_the_same_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let (one, again) = (path(&folder, "one.json"), path(&folder, "again.json"));
    let before = report(&sink, "-c 2 --rate 200/s --duration 1s --late-after 5s", &one);
    assert_eq!(plain(&["merge", &one, "--json", &again, "--quiet"]).code, 0);
    assert_eq!(json(&again), before);
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
    let quiet = plain(&[&args[..], &["--quiet"]].concat());
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}
