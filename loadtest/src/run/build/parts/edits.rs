//! Reports that were edited: what is read can be merged and shown, and what `merge` writes can be read again.

use std::sync::OnceLock;

use serde_json::{Value, json as value};

use super::*;
use crate::report::verification::Verification;
use crate::report::{hlog, html, text};

/// The numbers that take the place of others.
fn numbers() -> Vec<Value> {
    let whole = [0, 1, 1 << 38, 1 << 53, (1 << 53) + 1, 1 << 55, 1 << 62, u64::MAX].map(Value::from);
    let other = [-1.0, 1e-300, 0.5, 1e9, 1e15, 1e300, f64::MAX].map(Value::from);
    whole.into_iter().chain(other).chain([253_402_300_799_999_u64.into()]).collect()
}

/// Reports of one run, the first with a lost agent, and of another run; each with the pointers to its numbers.
fn originals() -> &'static [(Value, Vec<String>)] {
    static MADE: OnceLock<Vec<(Value, Vec<String>)>> = OnceLock::new();
    MADE.get_or_init(|| {
        let samples = samples(&[(10, 900, 9), (0, 3_000_000, 0), (500, 700, 1), (1, 100_000, 9)]);
        let of = |part: &str, parts: u64, index: u64| {
            let mine: Vec<Sample> =
                samples.iter().copied().filter(|sample| sample.arrival.seq % parts == index).collect();
            run(&plan(part), &mine)
        };
        let lost = Lost { why: "x".to_owned(), reported_s: 1.0, started: 30, started_at_most: Some(90) };
        let partial = of_agent(Report { machines: Vec::new(), ..of("1/3", 3, 1) }, Some(lost));
        let mut whole = sum(&[of_agent(of("0/3", 3, 0), None)], &[partial]);
        let row = SinkRow {
            url: "u".to_owned(),
            received: 40,
            run: whole.settings.runs[0].clone(),
            asked_at_ms: Some(1),
        };
        whole.sinks = Some(Sinks { reports: vec![row], ..Sinks::default() }.compared(&whole));
        whole.verification = Some(Verification::default());
        let mut other = of("0/1", 1, 0);
        let text = serde_json::to_string(&other).unwrap();
        other = json::parse(text.replace(&other.settings.runs[0], "0000abcd").as_bytes()).unwrap();
        let reports = [whole, of_agent(of("2/3", 3, 2), None), other];
        let with_pointers = |report: &Report| {
            let report = as_json(report);
            let mut found = Vec::new();
            pointers(&report, String::new(), &mut found);
            (report, found)
        };
        reports.iter().map(with_pointers).collect()
    })
}

fn pointers(of: &Value, at: String, found: &mut Vec<String>) {
    match of {
        Value::Number(_) | Value::Null => found.push(at),
        Value::Array(all) => {
            // A row is as another.
            all.iter()
                .take(2)
                .enumerate()
                .for_each(|(index, row)| pointers(row, format!("{at}/{index}"), found));
        }
        Value::Object(all) => {
            // Quantiles are for people; `histogram` is what is read.
            let read = all.iter().filter(|(name, _)| !name.ends_with("_ns"));
            read.for_each(|(name, row)| pointers(row, format!("{at}/{name}"), found));
        }
        Value::Bool(_) | Value::String(_) => {}
    }
}

/// Shows a report in all forms.
fn show(report: &Report) {
    let shown = (text::render(report), html::render(report), hlog::render(report).unwrap());
    assert!(!shown.0.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_read_of_edited_reports_is_shown_and_merged_and_a_sum_is_read_again(
        edits in prop::collection::vec((0usize..3, any::<prop::sample::Index>(), prop::sample::select(numbers())), 1..4),
        first in 0usize..3,
    ) {
        let mut reports = originals().to_vec();
        for (index, place, number) in &edits {
            let (report, pointers) = &mut reports[*index];
            *report.pointer_mut(&pointers[place.index(pointers.len())]).unwrap() = number.clone();
        }
        reports.rotate_left(first);
        let read = |(report, _): &(Value, _)| json::parse(report.to_string().as_bytes()).ok();
        let read: Vec<Report> = reports.iter().filter_map(read).collect();
        read.iter().for_each(show);
        if let Ok(sum) = merge::merge(read) {
            show(&sum);
            let written = json::render(&sum).unwrap();
            let again = json::parse(&written);
            prop_assert!(again.is_ok(), "{}", again.unwrap_err());
            let again = merge::merge(vec![again.unwrap()]).unwrap();
            prop_assert_eq!(as_json(&again)["accounting"].clone(), as_json(&sum)["accounting"].clone());
            prop_assert_eq!(as_json(&again)["delivered"].clone(), as_json(&sum)["delivered"].clone());
        }
    }
}

#[test]
fn instants_and_numbers_that_no_run_has_are_refused_with_their_place() {
    for (pointer, number, right) in [
        (
            "/started_at_ms",
            value!(1_u64 << 53),
            "started_at_ms: at most 253402300799999, the end of the year 9999",
        ),
        ("/ended_at_ms", value!(u64::MAX), "ended_at_ms: at most 253402300799999"),
        ("/sinks/reports/0/asked_at_ms", value!(u64::MAX), "sinks.reports.0.asked_at_ms: at most"),
        ("/pieces/partial/0/started_at_ms", value!(u64::MAX), "started_at_ms: at most"),
        ("/spans/0/most_open", value!(1_u64 << 62), "sessions.most_open is larger than"),
        (
            "/agents/1/lost/started_at_most",
            value!(7),
            "agents.1.lost, started and started_at_most: the least",
        ),
        ("/generator/stood_still_s", value!(-1.0), "generator.stood_still_s: seconds are numbers from 0 on"),
        ("/generator/cpu_s", value!(1e300), "generator.cpu_s is larger than"),
        ("/parts/0/of", value!(10_001), "parts.0: index counts from 0"),
        (
            "/accounting/measured/in_doubt",
            value!(1_000_000),
            "in_doubt is more than the messages without a reply",
        ),
    ] {
        let mut report = originals()[0].0.clone();
        *report.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = number;
        let refused = json::parse(report.to_string().as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(right), "{pointer}: {refused}");
    }
    // What follows from other fields is computed.
    let mut report = originals()[0].0.clone();
    let right = report["delivered"].clone();
    report["delivered"] = value!({"at_least": u64::MAX, "at_most": 3});
    assert_eq!(as_json(&json::parse(report.to_string().as_bytes()).unwrap())["delivered"], right);
}
