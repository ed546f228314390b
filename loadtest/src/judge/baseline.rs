//! Compares a run with an earlier one. Pure.
//!
//! Only figures of both runs are compared, and percentiles only with enough samples; the others are listed with the
//! reason. Runs of different shapes are not compared at all. Each figure has [bounds] that follow from its samples. A
//! run has regressed only if it is worse within the bounds of both: chance alone does not make a run worse than
//! itself.

mod bounds;

use std::fmt;

use crate::client::phase::Phase;
use crate::report::verdicts::{Assessment, ERRORS, Move, RATE, show};
use crate::report::{Report, Shape, Split};
use bounds::{Bounds, Samples};

/// Samples required beyond a percentile: with fewer, no sample would be its upper bound.
const SAMPLES_BEYOND: f64 = 10.0;

/// The percentiles that are compared, with their names.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// A figure of one run.
#[derive(Clone, Copy, Debug)]
struct Figure {
    value: f64,
    bounds: Bounds,
}

/// Why two runs are not compared at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incomparable {
    /// The fields of their shapes that differ.
    Shapes(Vec<String>),
    /// The generator of this run was saturated.
    Saturated(&'static str),
    NothingInCommon,
}

impl fmt::Display for Incomparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incomparable::Shapes(differences) => {
                write!(f, "the runs have different shapes: {}", differences.join("; "))
            }
            Incomparable::Saturated(run) => {
                write!(f, "in {run} the generator was saturated: its figures are not the target's")
            }
            Incomparable::NothingInCommon => {
                f.write_str("the runs have nothing in common that could be compared")
            }
        }
    }
}

impl std::error::Error for Incomparable {}

/// Compares two runs, metric by metric.
pub(crate) fn compare(before: &Report, now: &Report, max_percent: f64) -> Result<Vec<Move>, Incomparable> {
    let differences = differences(&before.settings.shape, &now.settings.shape);
    if !differences.is_empty() {
        return Err(Incomparable::Shapes(differences));
    }
    for (name, report) in [("the baseline", before), ("this run", now)] {
        if report.generator.saturated {
            return Err(Incomparable::Saturated(name));
        }
    }
    let (before, now) = (&Side::of("the baseline", before), &Side::of("this run", now));
    let mut moves = vec![rate(before, now, max_percent), errors(before, now, max_percent)];
    let earlier = before.report.latency.named();
    for (name, split) in now.report.latency.named() {
        if let Some((_, old)) = earlier.iter().find(|(known, _)| *known == name) {
            let (before, now) = ((before, *old), (now, split));
            moves.extend(PERCENTILES.map(|percentile| latency(name, percentile, before, now, max_percent)));
        }
    }
    if moves.iter().all(|one| one.verdict == Assessment::NotCompared) {
        return Err(Incomparable::NothingInCommon);
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

/// One of the two runs.
struct Side<'r> {
    name: &'static str,
    report: &'r Report,
    samples: Samples,
}

impl<'r> Side<'r> {
    fn of(name: &'static str, report: &'r Report) -> Side<'r> {
        Side { name, report, samples: Samples::of(report) }
    }
}

/// Judges a move. `worse` returns the regression in percent from the value before to the value now; `is_higher_worse`
/// is the direction.
fn judge(
    metric: String,
    [before, now]: [Figure; 2],
    is_higher_worse: bool,
    worse: impl Fn(f64, f64) -> f64,
    max: f64,
) -> Move {
    let worse_by = worse(before.value, now.value);
    let at_least = match is_higher_worse {
        true => worse(before.bounds.high, now.bounds.low),
        false => worse(before.bounds.low, now.bounds.high),
    };
    let shown = |Figure { value, bounds }: Figure| {
        let [value, low, high] = [value, bounds.low, bounds.high].map(|value| show(&metric, value));
        if low == high { value } else { format!("{value} ({low} to {high})") }
    };
    let by_chance = if worse_by > max && at_least <= max { "; within chance" } else { "" };
    let detail = format!("{}, was {}{by_chance}", shown(now), shown(before));
    Move {
        metric,
        before: Some(before.value),
        now: Some(now.value),
        before_bounds: Some((before.bounds.low, before.bounds.high)),
        now_bounds: Some((now.bounds.low, now.bounds.high)),
        worse_by_percent: Some(without_sign_of_zero(worse_by)),
        worse_by_at_least_percent: Some(without_sign_of_zero(at_least)),
        verdict: if at_least > max { Assessment::Regressed } else { Assessment::Fine },
        detail,
    }
}

fn refuse(metric: String, reason: String) -> Move {
    Move {
        metric,
        before: None,
        now: None,
        before_bounds: None,
        now_bounds: None,
        worse_by_percent: None,
        worse_by_at_least_percent: None,
        verdict: Assessment::NotCompared,
        detail: reason,
    }
}

/// Replaces negative zero.
fn without_sign_of_zero(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}

fn rate(before: &Side<'_>, now: &Side<'_>, max: f64) -> Move {
    let metric = RATE.to_owned();
    if before.report.settings.shape.load != "closed" {
        return refuse(metric, "the rate of an open loop is set by its schedule".to_owned());
    }
    if before.report.rate <= 0.0 || now.report.rate <= 0.0 {
        return refuse(metric, "one of the runs accepted nothing".to_owned());
    }
    let figures = [before, now]
        .map(|side| Figure { value: side.report.rate, bounds: bounds::rate(side.report, &side.samples) });
    let worse = |was: f64, is: f64| if was > 0.0 { (1.0 - is / was) * 100.0 } else { 0.0 };
    judge(metric, figures, false, worse, max)
}

/// The share of errors is compared in percentage points: relative to zero, any ratio is infinite. It is a count and
/// no estimate, so it is its own bounds.
fn errors(before: &Side<'_>, now: &Side<'_>, max: f64) -> Move {
    let metric = ERRORS.to_owned();
    let figure = |side: &Side<'_>| {
        let account = &side.report.accounting.measured;
        let share = account.errors() as f64 * 100.0 / account.owed() as f64;
        (account.owed() > 0).then_some(Figure { value: share, bounds: Bounds { low: share, high: share } })
    };
    let (Some(was), Some(is)) = (figure(before), figure(now)) else {
        return refuse(metric, "one of the runs started nothing".to_owned());
    };
    judge(metric, [was, is], true, |was, is| is - was, max)
}

fn latency(
    name: &str,
    (label, quantile): (&str, f64),
    before: (&Side<'_>, &Split),
    now: (&Side<'_>, &Split),
    max: f64,
) -> Move {
    let metric = format!("{label}({name})");
    let figure = |(side, split): (&Side<'_>, &Split)| {
        let cluster = match name.parse() {
            Ok(Phase::Connect | Phase::Tls | Phase::Banner | Phase::Ehlo | Phase::Auth) => {
                side.samples.of_sessions()
            }
            _ => side.samples.of_messages(quantile),
        };
        let count = split.ok.count();
        let needed = (cluster * SAMPLES_BEYOND / (1.0 - quantile)).round();
        if (count as f64) < needed {
            return Err(format!(
                "{} has {count} samples of the {needed} needed{}",
                side.name,
                in_bursts(cluster)
            ));
        }
        let value = split.ok.at(quantile);
        let bounds = side.samples.quantile(&split.ok, quantile, cluster);
        let figure = value.zip(bounds).map(|(value, bounds)| Figure { value: value as f64, bounds });
        figure.ok_or_else(|| format!("{} has no sample", side.name))
    };
    match (figure(before), figure(now)) {
        (Ok(before), Ok(now)) => {
            let worse = |was: f64, is: f64| (is / was - 1.0) * 100.0;
            judge(metric, [before, now], true, worse, max)
        }
        (Err(reason), _) | (_, Err(reason)) => refuse(metric, reason),
    }
}

/// Why more samples are needed than for independent ones.
fn in_bursts(cluster: f64) -> String {
    if cluster < 1.05 {
        String::new()
    } else {
        format!(", {cluster:.0} of which count as one: they come in bursts")
    }
}

#[cfg(test)]
mod tests;
