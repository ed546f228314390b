use std::time::Duration;

use super::*;
use crate::smtp::Stage;

fn parsed(text: &str) -> Expectation {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The position of the caret, and the text above it.
fn refused(text: &str) -> (usize, String) {
    let error = text.parse::<Expectation>().expect_err(text);
    (error.span().start, error.fault().to_string())
}

/// A run of 2 s: 100 messages of 1 KiB each, think times from 1 ms to 100 ms.
fn run() -> Stats {
    let mut stats = Stats { ends: Duration::from_secs(2), ..Stats::default() };
    stats.messages.accepted = 100;
    stats.messages.bytes = 100 << 10;
    for milliseconds in 1..=100 {
        stats.stages[Stage::Mail].think.add(Duration::from_millis(milliseconds));
        stats.sessions.messages.add(milliseconds % 2 + 1);
        stats.messages.data_rate.add(milliseconds << 10);
    }
    stats
}

#[test]
fn what_is_true_kept_and_what_is_not_is_not() {
    let stats = run();
    for (text, figure) in [
        ("messages == 100", "100"),
        ("messages >= 1_00", "100"),
        ("messages!=99", "100"),
        ("messages.bytes <= 100KiB", "102400"),
        ("rate(messages) > 49.5/s", "50.0/s"),
        ("rate( messages ) < 50.5", "50.0/s"),
        ("rate(messages.bytes) < 1MiB/s", "50 KiB/s"),
        ("p50(think.mail) < 51ms", "50.015 ms"),
        ("p100(think.mail) <= 101ms", "100 ms"),
        ("max(think.mail) > 99.5ms", "100 ms"),
        ("min(think.mail) == 1ms", "1 ms"),
        ("mean(think.mail) < 0.1s", "50.504 ms"),
        ("count(think.mail) == 100", "100"),
        ("count(think.rcpt) == 0", "0"),
        ("mean(session.messages) == 1.5", "1.5"),
        ("p99.9(data.rate) < 1MiB/s", "100 KiB/s"),
        ("findings == 0", "0"),
        (" degraded == 0 ", "0"),
        ("sessions.open < 1", "0"),
    ] {
        let expectation = parsed(text);
        let verdict = expectation.judge(&stats);
        assert!(verdict.kept, "{verdict}");
        assert_eq!(verdict.found, figure, "{text}");
        // A condition is either true or false.
        let verdict = Expectation::fail_if(text).expect(text).judge(&stats);
        assert!(!verdict.kept && verdict.found == figure, "{verdict}");
        assert_eq!(verdict.to_string(), format!("fail if {}: failed, {figure}", text.trim()));
        let opposites = [("==", "!="), ("!=", "=="), ("<=", ">"), (">=", "<"), ("<", ">="), (">", "<=")];
        let (op, opposite) = opposites.iter().find(|(op, _)| text.contains(op)).expect("an operator");
        let verdict = parsed(&text.replacen(op, opposite, 1)).judge(&stats);
        assert!(!verdict.kept, "{verdict}");
        assert!(verdict.to_string().ends_with(&format!(": failed, {figure}")), "{verdict}");
    }
}

#[test]
fn the_thousandth_of_a_thousand_was_taken_for_their_99_9th_percentile() {
    let mut stats = Stats::default();
    (1..=1000).for_each(|milliseconds| stats.delays.told.add(Duration::from_millis(milliseconds)));
    let verdict = parsed("p99.9(delay.told) < 1s").judge(&stats);
    assert!(verdict.kept && stats.delays.told.quantile(0.999) < Duration::from_secs(1), "{verdict}");
}

#[test]
fn no_samples_keep_no_expectation() {
    for op in ["==", "!=", "<", "<=", ">", ">="] {
        let verdict = parsed(&format!("p99(retries.after) {op} 1s")).judge(&run());
        assert_eq!((verdict.kept, verdict.found.as_str()), (false, "no samples"));
        assert!(verdict.to_string().ends_with("failed, no samples"), "{verdict}");
        let text = format!("p99(retries.after) {op} 1s");
        let verdict = Expectation::fail_if(&text).expect("a check").judge(&run());
        assert_eq!(verdict.to_string(), format!("fail if {text}: failed, no samples"));
        // A rate over no time fails too.
        assert!(!parsed(&format!("rate(messages) {op} 1")).judge(&Stats::default()).kept);
    }
}

#[test]
fn a_degraded_run_says_why() {
    let mut stats = run();
    stats.health.records_evicted = 7;
    let verdict = parsed("degraded == 0").judge(&stats);
    assert_eq!(verdict.to_string(), "expected degraded == 0: failed, 1 (7 records were evicted)");
}

#[test]
fn what_is_no_expectation_is_told_with_what_is_one() {
    for (text, at, words) in [
        ("", 0, "expected a figure, like messages, rate(messages) or p99(think.mail)"),
        ("finding == 0", 0, "did you mean findings?"),
        ("p99(think.mial) < 5ms", 4, "did you mean think.mail?"),
        ("think.mail < 5ms", 0, "expected p99(think.mail)"),
        ("p99(messages) < 5", 4, "expected messages alone, or rate(messages)"),
        ("rate(degraded) < 5", 5, "expected degraded alone"),
        ("p99(think.mail) < 50", 18, "like 50ms"),
        ("rate(messages) > fast", 17, "with /s"),
        ("messages.bytes > 5ms", 17, "64KiB"),
        ("p50(data.rate) > 5ms", 17, "with /s"),
        ("messages == 5%", 12, "a number"),
    ] {
        let (caret, reason) = refused(text);
        assert!(caret == at && reason.contains(words), "{text}: {caret} {reason}");
    }
}

#[test]
fn every_figure_can_be_expected_something_of() {
    let stats = Stats::default();
    for figure in stats.figures() {
        let name = figure.name;
        let text = match figure.value {
            None | Some(Metric::Count(_)) => format!("{name} == 0"),
            Some(Metric::Durations(_)) => format!("p99({name}) < 1s"),
            Some(Metric::Numbers(_)) => format!("p99({name}) < 1"),
        };
        // A figure that the system does not report passes no check.
        let passes = matches!(figure.value, Some(Metric::Count(_)));
        assert_eq!(parsed(&text).judge(&stats).kept, passes, "{text}");
    }
}
