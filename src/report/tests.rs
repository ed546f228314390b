//! Reports as data: they can be read again, and merged ones are sums.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Report, Verdict, merge, progress};
use crate::smtp::Stage;
use crate::stats::{Additive, Check, Expectation, Metric, RuleStats, Slot, Stats};
use crate::text::escape::is_hidden;

/// Records values in each count, and in some distributions, since writing and reading all of them takes long.
fn fill(stats: &mut Stats, values: &[u64]) {
    let names: Vec<String> = stats.metrics().into_iter().map(|(name, _)| name).collect();
    for (index, name) in names.iter().enumerate() {
        let value = values.first().map_or(0, |value| value.rotate_right(index as u32 % 7) % (1 << 50));
        let values = values.iter().filter(|value| (**value + index as u64).is_multiple_of(16)).copied();
        match stats.slot(name).expect("a figure that has a name") {
            Slot::Derived => {}
            Slot::Count(count) => *count = value,
            Slot::Peak(peak) => peak.see(value),
            Slot::Optional(count) => *count = Some(value).filter(|value| value % 2 == 0),
            Slot::Numbers(numbers) => values.for_each(|value| numbers.add(value)),
            Slot::Durations(durations) => {
                values.for_each(|value| durations.add(Duration::from_micros(value)));
            }
        }
    }
    for value in values {
        let stage = Stage::ALL[*value as usize % Stage::ALL.len()];
        *stats.stages[stage].refused.entry(400 + (value % 160) as u16).or_default() += value % 1000 + 1;
        *stats.stages[stage].transactions_refused.entry((value % 1000) as u16).or_default() +=
            value % 100 + 1;
        let interval = stats.timeline.at(Duration::from_secs(value % 400));
        interval.messages += value % 50;
        interval.opened += 1;
    }
    for value in values {
        stats.tls.alerts.add(["unknown_ca", "bad_certificate"][*value as usize % 2], value % 7 + 1);
        stats.tls.accepted_certificates.add(&format!("expired by rule{}", value % 3), 1);
        stats.tls.server_names.add(&format!("mx{}.example", value % 90), value % 100 + 1);
        stats
            .tls
            .cipher_suites
            .add(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"][*value as usize % 2], 1);
    }
    let rule = |value: &u64| RuleStats {
        id: value.is_multiple_of(2).then(|| format!("id{}", value % 4)),
        rule: format!("rule {}", value % 3),
        reached: value % 9,
        fired: value % 5,
    };
    stats.rules = values.iter().map(rule).collect();
    stats.sessions_by_shard = values.iter().map(|value| value % 100).collect();
}

prop_compose! {
    fn any_stats()(
        values in prop::collection::vec(prop_oneof![9 => 0u64..1 << 16, 1 => 0u64..1 << 50], 0..12),
        started in 0u64..300,
        begins in 0u64..100_000_000_000,
        length in 0u64..1_000_000_000_000,
        seed: u64,
        offered: bool,
    ) -> Stats {
        let mut stats = Stats::default();
        fill(&mut stats, &values);
        stats.started_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_389_338 + started));
        stats.begins = Duration::from_nanos(begins);
        stats.ends = stats.begins + Duration::from_nanos(length);
        stats.seed = seed;
        stats.pipelining.offered = offered;
        stats
    }
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

/// The same counts, each at most one interval earlier or later.
fn are_an_interval_apart(left: &Value, right: &Value) -> bool {
    let interval = left["interval_s"].as_u64();
    let counts = |timeline: &Value| -> Vec<[u64; 5]> {
        let intervals = timeline["intervals"].as_array().expect("intervals").iter();
        let fields = ["at_s", "opened", "closed", "messages", "refused"];
        intervals.map(|own| fields.map(|field| own[field].as_u64().expect("a number"))).collect()
    };
    let (left_counts, right_counts) = (counts(left), counts(right));
    let until = |counts: &[[u64; 5]], moment: u64| {
        let own = counts.iter().filter(|own| own[0] <= moment);
        own.fold([0; 4], |sum, own| std::array::from_fn(|field| sum[field] + own[field + 1]))
    };
    let is_not_later = |these: &[[u64; 5]], those: &[[u64; 5]]| {
        let at_most = |few: [u64; 4], many: [u64; 4]| few.iter().zip(many).all(|(few, many)| *few <= many);
        let reached = |at: u64| until(these, at.saturating_add(interval.expect("a length")));
        those.iter().all(|own| at_most(until(those, own[0]), reached(own[0])))
    };
    interval == right["interval_s"].as_u64()
        && until(&left_counts, u64::MAX) == until(&right_counts, u64::MAX)
        && is_not_later(&left_counts, &right_counts)
        && is_not_later(&right_counts, &left_counts)
}

/// Texts of a report from a file may be hostile.
#[test]
fn what_stands_in_a_report_neither_steers_a_terminal_nor_becomes_part_of_the_page() {
    let evil = "<script>\u{1b}[2J\r\0\u{9b}\u{202e}\u{2028}&\"";
    let rules = vec![RuleStats { id: Some(evil.to_owned()), rule: evil.to_owned(), reached: 1, fired: 1 }];
    let stats = Stats { rules, ..Stats::default() };
    let verdict = Verdict { check: Check::Expect, expectation: evil.into(), found: evil.into(), kept: false };
    let report = Report::new(&stats).settings([(evil.to_owned(), evil.to_owned())]).verdicts([verdict]);
    let mut document = value(&report.json());
    document["runs"][0]["version"] = json!(evil);
    let read = Report::read(&document.to_string()).expect("a report");
    assert_eq!(value(&read.json()), document, "in JSON all is as it was");
    let (text, page) = (read.text(), read.html());
    let shown = r"<script>\u{1b}[2J\r\u{0}\u{9b}\u{202e}\u{2028}&";
    // Version, rule, two of the verdict and two of the setting.
    assert_eq!(text.matches(shown).count(), 6, "{text}");
    let in_page = shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!(page.matches(&in_page).count(), 6);
    assert!(!page.contains("<script"), "{page}");
    for rendered in [text, page] {
        assert!(!rendered.contains(|c| c != '\n' && is_hidden(c)), "{rendered}");
    }
    document["metrics"][evil] = json!(1);
    let error = Report::read(&document.to_string()).expect_err("no such figure").to_string();
    assert!(error.contains(shown) && !error.contains(is_hidden), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_is_written_reads_back(stats in any_stats(), kept: bool) {
        let check = if kept { Check::Expect } else { Check::FailIf };
        let verdict = Verdict { check, expectation: "messages == 3".into(), found: "4".into(), kept };
        let report = Report::new(&stats).settings([("port".to_owned(), "25".to_owned())]).verdicts([verdict.clone()]);
        let read = Report::read(&report.json()).expect("a report");
        prop_assert_eq!(read.stats(), &stats);
        prop_assert_eq!(read.runs(), report.runs());
        prop_assert_eq!(&read.verdicts, &[verdict]);
        prop_assert_eq!(read.json(), report.json());
        prop_assert_eq!(read.text(), report.text());
    }

    #[test]
    fn the_merge_of_reports_is_the_report_of_the_sum(first in any_stats(), mut second in any_stats()) {
        // On one clock, so that no time is converted.
        second.started_at = first.started_at;
        let merged = merge(&[&Report::new(&first).json(), &Report::new(&second).json()]);
        let apart = first.seed != second.seed || first.begins >= second.ends || second.begins >= first.ends;
        prop_assert_eq!(merged.is_ok(), apart);
        let Ok(merged) = merged else { return Ok(()) };
        let mut sum = first.clone();
        sum.merge(&second);
        let (merged, sum) = (value(&merged), value(&Report::new(&sum).json()));
        for field in ["metrics", "refused", "messages_refused", "pipelining_offered", "timeline", "degraded", "findings"] {
            prop_assert_eq!(&merged[field], &sum[field], "{}", field);
        }
        prop_assert_eq!(merged["runs"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn whatever_was_measured_can_be_shown(stats in any_stats()) {
        let report = Report::new(&stats);
        let page = report.html();
        let (_, body) = page.split_once("</style>").expect("a style in front of the body");
        for bad in ["NaN", "\"inf", ",inf", "\"-", ",-"] {
            prop_assert!(!body.contains(bad), "{} in {}", bad, body);
        }
        let text = report.text();
        for figure in stats.figures() {
            let Some(numbers) = figure.value.and_then(Metric::as_numbers) else { continue };
            let is_shown = text.lines().any(|line| line.split_whitespace().next() == Some(&figure.name));
            prop_assert_eq!(is_shown, numbers.count() > 0, "{} in {}", figure.name, text);
        }
        let widest = text.lines().map(|line| line.chars().count()).max();
        prop_assert!(widest <= Some(80), "{}", text);
        let line = progress(&stats, &stats);
        prop_assert!(!line.contains('\n'), "{}", line);
    }

    #[test]
    fn reports_add_up_in_any_order(mut all in prop::array::uniform3(any_stats())) {
        (0..).zip(&mut all).for_each(|(seed, stats)| stats.seed = seed);
        let texts = all.each_ref().map(|stats| Report::new(stats).json());
        let [a, b, c] = texts.each_ref().map(String::as_str);
        let left = merge(&[&merge(&[a, b]).expect("a sum"), c]).expect("a sum");
        prop_assert_eq!(&left, &merge(&[a, b, c]).expect("a sum"));
        let (left, right) = (value(&left), value(&merge(&[c, b, a]).expect("a sum")));
        for field in ["metrics", "refused", "messages_refused", "degraded", "findings"] {
            prop_assert_eq!(&left[field], &right[field], "{}", field);
        }
        prop_assert!(are_an_interval_apart(&left["timeline"], &right["timeline"]));
        let of_rules = |stats: &Stats| stats.rules.iter().map(|rule| rule.reached).sum::<u64>();
        let sum = Report::read(&left.to_string()).expect("a report");
        prop_assert_eq!(of_rules(sum.stats()), all.iter().map(of_rules).sum::<u64>());
    }
}

#[test]
fn sessions_that_were_open_before_a_part_are_open_in_it() {
    let mut earlier = Stats { started_at: Some(SystemTime::UNIX_EPOCH), seed: 1, ..Stats::default() };
    earlier.ends = Duration::from_secs(2);
    earlier.sessions.opened = 5;
    (earlier.stages[Stage::Mail].count, earlier.messages.accepted) = (7, 4);
    earlier.timeline.at(Duration::from_secs(1)).opened = 5;
    let mut later = earlier.clone();
    later.ends = Duration::from_secs(5);
    later.sessions.closed = 2;
    later.messages.refused = 1;
    later.timeline.at(Duration::from_secs(4)).closed = 2;
    let part = later.since(&earlier);
    assert_eq!((part.open_before, part.sessions_open()), (5, 3));
    assert_eq!((part.transactions_before, part.transactions(), part.transactions_open()), (3, 0, 2));
    let page = Report::new(&part).html();
    assert!(page.contains("open 3.00, 4 s to 5 s"), "{page}");
    let parts = [&earlier, &part].map(|part| Report::new(part).json());
    let sum = merge(&[&parts[1], &parts[0]]).expect("two parts of a run");
    let sum = Report::read(&sum).expect("a report");
    assert_eq!((sum.stats().open_before, sum.stats().sessions_open()), (0, 3));
    assert_eq!((sum.stats().transactions_before, sum.stats().transactions_open()), (0, 2));
}

#[test]
fn clocks_become_one_that_starts_with_the_earliest_server() {
    let run = |after: u64, seed| {
        let started_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + after));
        let mut stats = Stats { started_at, ends: Duration::from_secs(10), seed, ..Stats::default() };
        stats.timeline.at(Duration::from_secs(3)).messages = 1;
        Report::new(&stats).json()
    };
    let (early, late) = (run(0, 1), run(7, 2));
    for order in [[&early, &late], [&late, &early]] {
        let merged = merge(&order.map(String::as_str)).expect("a sum");
        let report = Report::read(&merged).expect("a report");
        assert_eq!(report.stats().length(), Duration::from_secs(17));
        let rows: Vec<_> =
            report.stats().timeline.intervals().map(|(start, row)| (start.as_secs(), row.messages)).collect();
        assert_eq!((rows.first(), rows.last(), rows.len()), (Some(&(3, 1)), Some(&(10, 1)), 8));
    }
}

#[test]
fn rules_of_the_same_text_are_told_apart_by_their_place() {
    let with = |rules: &[(&str, u64)], seed| {
        let rules = rules
            .iter()
            .map(|(rule, fired)| RuleStats { id: None, rule: (*rule).into(), reached: 9, fired: *fired })
            .collect();
        let stats = Stats { seed, rules, ..Stats::default() };
        Report::new(&stats).json()
    };
    let merged =
        merge(&[&with(&[("a", 1), ("b", 2), ("a", 3)], 1), &with(&[("a", 10), ("a", 30), ("c", 5)], 2)]);
    let rules = value(&merged.expect("a sum"))["rules"].clone();
    let fired: Vec<_> = rules
        .as_array()
        .expect("a list")
        .iter()
        .map(|rule| (rule["rule"].clone(), rule["fired"].clone()))
        .collect();
    assert_eq!(
        fired,
        [("a", 11), ("b", 2), ("a", 33), ("c", 5)].map(|(rule, fired)| (json!(rule), json!(fired)))
    );
}

/// A non-empty report with another value at this pointer.
fn tampered(pointer: &str, other: Value) -> String {
    let mut stats = Stats::default();
    fill(&mut stats, &[7, 1_000_003, 5_500_000]);
    stats.stages[Stage::Mail].think.add(Duration::from_millis(7));
    stats.stages[Stage::Mail].think.add(Duration::from_millis(9));
    let mut report = value(&Report::new(&stats).json());
    *report.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in a report")) = other;
    report.to_string()
}

#[test]
fn what_is_wrong_is_told_with_its_report_its_field_and_what_would_be_right() {
    let cases = [
        ("/schema", json!(1), "schema: is 1; this program reads 2"),
        (
            "/schema",
            json!("smtpload-report/1"),
            "schema: a report of smtpload, which `smtpload merge` merges: expected a report of smtpmock",
        ),
        ("/program", json!("smtpload"), "program: not a report of smtpmock"),
        ("/metrics/sessions", json!(-1), "metrics.sessions: -1 is not a count: a whole number from 0"),
        ("/metrics/sessions", json!(1u64 << 60), "is not a count"),
        (
            "/metrics/think.mail/count",
            json!(17),
            "metrics.think.mail.count: is not that of the histogram, which has ",
        ),
        ("/metrics/think.mail/max", json!(9_100), "metrics.think.mail: has a min or a max that is not that"),
        ("/metrics/think.mail/unit", json!("ms"), "metrics.think.mail.unit: is not µs"),
        (
            "/metrics/think.mail/histogram",
            json!("HISTF%"),
            "think.mail.histogram: the histogram is not base64",
        ),
        ("/metrics/think.mail/histogram", json!("AAAA"), "the histogram is not in HdrHistogram's V2 form"),
        (
            "/metrics",
            json!({"sessions.lost": 1}),
            concat!("metrics.sessions.lost: smtpmock ", env!("CARGO_PKG_VERSION"), " has no such figure"),
        ),
        ("/refused", json!({"mali": {"550": 1}}), "refused.mali: is not a stage: expected one of connect,"),
        (
            "/refused",
            json!({"mail": {"250": 1}}),
            "refused.mail.250: is not the code of a refusal, 400 to 599",
        ),
        ("/runs", json!([]), "runs: is empty"),
        (
            "/runs/0/started_at",
            json!("yesterday"),
            "runs.0.started_at: \"yesterday\" is not a time since 1970",
        ),
        ("/runs/0/begins_s", json!(5), "runs.0: ends before it begins"),
        (
            "/timeline/interval_s",
            json!(3),
            "timeline.interval_s: is not the length of an interval: expected 1, 2, 4",
        ),
        ("/timeline/intervals/0", json!({"at_s": 1}), "timeline.intervals.0.opened: is missing"),
        ("/pipelining_offered", json!(1), "pipelining_offered: 1 is not true or false"),
    ];
    let good = Report::new(&Stats::default()).json();
    for (pointer, other, message) in cases {
        let error = merge(&[&good, &tampered(pointer, other)]).expect_err(pointer).to_string();
        assert!(error.starts_with("report 2: ") && error.contains(message), "{error} instead of {message}");
    }
    assert!(merge(&["{"]).expect_err("not JSON").to_string().starts_with("report 1: not JSON: "));
    assert_eq!(merge(&[]).expect_err("nothing").to_string(), "there is no report to merge");
}

/// A report of a run that started this many seconds after others, and accepted 30 messages in 10 s.
fn run_at(seconds: u64, seed: u64) -> String {
    let started_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds));
    let mut stats = Stats { started_at, ends: Duration::from_secs(10), seed, ..Stats::default() };
    stats.messages.accepted = 30;
    Report::new(&stats).json()
}

#[test]
fn a_rate_is_over_the_time_in_which_at_least_one_server_ran() {
    // Start times, and how long at least one run lasted.
    for (starts, seconds) in [
        (&[0, 0][..], 10),
        (&[0, 4], 14),
        (&[0, 10], 20),
        (&[0, 3600], 20),
        (&[3600, 0], 20),
        (&[0, 2, 5], 15),
        (&[50, 0, 55], 25),
    ] {
        let texts: Vec<_> = (1..).zip(starts).map(|(seed, start)| run_at(*start, seed)).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let sum = merge(&texts).expect("a sum");
        let sum = Report::read(&sum).expect("a sum reads back");
        let length = Duration::from_secs(seconds);
        assert_eq!(sum.stats().length(), length, "{starts:?}");
        let rate = 30.0 * starts.len() as f64 / seconds as f64;
        let expectation = format!("rate(messages) == {rate}");
        let verdict = expectation.parse::<Expectation>().expect("an expectation").judge(sum.stats());
        assert!(verdict.kept, "{starts:?}: {verdict}");
        assert!(sum.text().contains(&format!("({}/s", crate::text::units::decimal(rate))), "{}", sum.text());
        // The time between two runs can be drawn.
        let last = starts.iter().max().expect("a run") + 10;
        assert_eq!(sum.stats().ends, Duration::from_secs(last));
    }
}

#[test]
fn a_sum_that_no_report_can_hold_names_its_figure() {
    let most = json!(1u64 << 53);
    let interval =
        |at: u64| json!({"at_s": at, "opened": 1, "closed": 0, "messages": 1u64 << 53, "refused": 0});
    let mut open = value(&run_at(0, 1));
    open["runs"][0]["open_before"] = most.clone();
    for (change, name) in [
        (json!({"metrics": {"sessions": most}}), "metrics.sessions"),
        (json!({"metrics": {"loop.accept_queue_overflows": most}}), "metrics.loop.accept_queue_overflows"),
        (json!({"refused": {"rcpt": {"550": most}}}), "metrics.refused.rcpt"),
        (json!({"messages_refused": {"rcpt": {"550": most}}}), "metrics.messages.refused.rcpt"),
        (json!({"rules": [{"rule": "a", "reached": most, "fired": 0}]}), "rules.0.reached"),
        (
            json!({"timeline": {"interval_s": 1, "intervals": [interval(5)]}}),
            "timeline.intervals, messages at 5 s",
        ),
        (json!({"runs": open["runs"]}), "runs, open_before"),
    ] {
        let report = |seed: u64| {
            let mut report = value(&run_at(0, seed));
            for (field, other) in change.as_object().expect("fields") {
                report[field] = other.clone();
            }
            report["runs"][0]["seed"] = json!(seed);
            report.to_string()
        };
        assert!(merge(&[&report(1)]).is_ok(), "{name}: the largest count there is");
        let error = merge(&[&report(1), &report(2)]).expect_err(name).to_string();
        let reason = ": the sum is larger than 9007199254740992 (2^53)";
        assert!(error.starts_with(&format!("report 2: {name}{reason}")), "{error}");
    }
    // Of a single report too: many intervals of a second are merged.
    let mut wrapped = value(&run_at(0, 1));
    let intervals: Vec<Value> = [0; 4096].map(interval).into();
    wrapped["timeline"] = json!({"interval_s": 1, "intervals": intervals});
    let error = merge(&[&wrapped.to_string()]).expect_err("2^65 messages").to_string();
    assert!(error.contains("timeline.intervals, messages at 0 s: the sum is larger"), "{error}");
}

#[test]
fn reports_from_the_ends_of_time_still_add_up() {
    let mut far = value(&run_at(0, 1));
    let at = |text: &str, seed: u64| {
        let mut report = far.clone();
        report["runs"][0]["started_at"] = json!(text);
        report["runs"][0]["seed"] = json!(seed);
        report.to_string()
    };
    let (early, late) = (at("1970-01-01T00:00:00Z", 1), at("9999-12-31T23:59:59Z", 2));
    let merged = merge(&[&early, &late]).expect("a sum");
    assert_eq!(Report::read(&merged).expect("a report").stats().length(), Duration::from_secs(20));
    far["runs"][0]["started_at"] = json!("+10000-01-01T00:00:00Z");
    assert!(merge(&[&far.to_string()]).is_err());
}

#[test]
fn the_schema_lists_every_figure() {
    let schema = include_str!("SCHEMA.md");
    let (_, table) = schema.split_once("## Figures").expect("a part about figures");
    let table = table.split("\n## ").next().unwrap_or(table);
    let stats = Stats::default();
    let mut wanted: Vec<String> = Vec::new();
    for figure in stats.figures() {
        let is_distribution = figure.value.and_then(Metric::as_numbers).is_some();
        let kind = if is_distribution { "distribution" } else { "count" };
        let of_stage =
            Stage::ALL.iter().find_map(|stage| figure.name.strip_suffix(&format!(".{}", stage.name())));
        let name = match of_stage {
            Some(name) if stats.metric(&format!("{name}.unknown")).is_some() => format!("{name}.STAGE"),
            _ => figure.name,
        };
        let row = format!("| `{name}` | {kind} | {} | {} |", figure.unit.name(), figure.meaning);
        if wanted.last() != Some(&row) {
            wanted.push(row);
        }
    }
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows, wanted, "SCHEMA.md should have:\n{}", wanted.join("\n"));
}
