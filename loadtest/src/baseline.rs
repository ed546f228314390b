//! Comparing a run with an earlier one. Pure.
//!
//! Only what both have is compared, and only with enough samples for the percentile; what
//! is left out is named with its reason. Runs of different shape are not compared at all.

use serde::{Deserialize, Serialize};

use crate::report::distribution::Distribution;
use crate::report::{Report, Shape, show_ns};

/// Samples that must lie beyond a percentile for it to be worth comparing.
const SAMPLES_BEYOND: f64 = 10.0;

/// The percentiles compared: what they are called, and the quantile.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// How one metric moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) metric: String,
    pub(crate) before: Option<f64>,
    pub(crate) now: Option<f64>,
    /// How much worse it got, in percent; negative is better.
    pub(crate) worse_by_percent: Option<f64>,
    pub(crate) verdict: Comparison,
    /// The figures, or why there was no comparison, for people.
    pub(crate) detail: String,
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Comparison {
    Fine,
    Regressed,
    NotCompared,
}

/// Compares two runs, metric by metric; an error says why they cannot be compared.
pub(crate) fn compare(before: &Report, now: &Report, max_percent: f64) -> Result<Vec<Move>, String> {
    let differences = differences(&before.settings.shape, &now.settings.shape);
    if !differences.is_empty() {
        return Err(format!("the runs have different shapes: {}", differences.join("; ")));
    }
    for (name, report) in [("the baseline", before), ("this run", now)] {
        if report.generator.saturated {
            return Err(format!("in {name} the generator was saturated: its figures are not the target's"));
        }
    }
    let mut moves = vec![rate(before, now, max_percent), errors(before, now, max_percent)];
    let earlier = before.latency.named();
    for (name, split) in now.latency.named() {
        if let Some((_, old)) = earlier.iter().find(|(known, _)| *known == name) {
            moves.extend(
                PERCENTILES.map(|percentile| latency(name, percentile, &old.ok, &split.ok, max_percent)),
            );
        }
    }
    if moves.iter().all(|one| one.verdict == Comparison::NotCompared) {
        return Err("the runs have nothing in common that could be compared".to_owned());
    }
    Ok(moves)
}

fn differences(before: &Shape, now: &Shape) -> Vec<String> {
    let (Ok(before), Ok(now)) = (serde_json::to_value(before), serde_json::to_value(now)) else {
        return Vec::new();
    };
    let fields = now.as_object().into_iter().flatten();
    fields
        .filter(|(name, value)| before.get(name) != Some(value))
        .map(|(name, value)| format!("{name} was {} and is {value}", before[name]))
        .collect()
}

fn judge(metric: String, before: f64, now: f64, worse: f64, max: f64, detail: String) -> Move {
    Move {
        metric,
        before: Some(before),
        now: Some(now),
        worse_by_percent: Some(worse),
        verdict: if worse > max { Comparison::Regressed } else { Comparison::Fine },
        detail,
    }
}

fn refuse(metric: String, reason: String) -> Move {
    Move {
        metric,
        before: None,
        now: None,
        worse_by_percent: None,
        verdict: Comparison::NotCompared,
        detail: reason,
    }
}

fn rate(before: &Report, now: &Report, max: f64) -> Move {
    let metric = "rate".to_owned();
    if before.settings.shape.load != "closed" {
        return refuse(metric, "the rate of an open loop is what was asked for".to_owned());
    }
    if before.rate <= 0.0 || now.rate <= 0.0 {
        return refuse(metric, "one of the runs accepted nothing".to_owned());
    }
    let worse = (1.0 - now.rate / before.rate) * 100.0;
    let detail = format!("{:.1}/s, was {:.1}/s", now.rate, before.rate);
    judge(metric, before.rate, now.rate, worse, max, detail)
}

/// The share of errors is compared in percentage points: from none, any ratio is infinite.
fn errors(before: &Report, now: &Report, max: f64) -> Move {
    let metric = "errors".to_owned();
    let share = |report: &Report| {
        let account = &report.accounting.measured;
        (account.owed() > 0).then(|| account.errors() as f64 * 100.0 / account.owed() as f64)
    };
    let (Some(was), Some(is)) = (share(before), share(now)) else {
        return refuse(metric, "one of the runs started nothing".to_owned());
    };
    let detail = format!("{is:.3}% of the messages, was {was:.3}%; points");
    judge(metric, was, is, is - was, max, detail)
}

fn latency(
    name: &str,
    (label, quantile): (&str, f64),
    before: &Distribution,
    now: &Distribution,
    max: f64,
) -> Move {
    let metric = format!("{label}({name})");
    let needed = (SAMPLES_BEYOND / (1.0 - quantile)).round() as u64;
    for (when, distribution) in [("the baseline", before), ("this run", now)] {
        if distribution.count() < needed {
            let reason = format!("{when} has {} samples of the {needed} needed", distribution.count());
            return refuse(metric, reason);
        }
    }
    let (Some(was), Some(is)) = (before.at(quantile), now.at(quantile)) else {
        return refuse(metric, "no sample".to_owned());
    };
    let worse = (is as f64 / was as f64 - 1.0) * 100.0;
    let detail = format!("{}, was {}", show_ns(is), show_ns(was));
    judge(metric, was as f64, is as f64, worse, max, detail)
}
