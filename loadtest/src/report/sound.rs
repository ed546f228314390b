//! What the types of a report do not enforce: checked of what is read, and of each sum, so that all that is written can be
//! read again.

use std::collections::BTreeSet;
use std::fmt;

use smtpmock::units::EXACT_IN_JSON;

use crate::report::agents::{Delivered, Lost};
use crate::report::counts::{self, TooLarge};
use crate::report::span::LATEST_S;
use crate::report::{IntervalRow, Report, Split};

/// The end of the year 9999, the last that RFC 3339 has, in milliseconds since 1970-01-01 UTC.
pub(crate) const LATEST_MS: u64 = 253_402_300_799_999;

/// The most parts of all runs of a report, with those that are missing: each has a number in it.
const ALL_PARTS_LIMIT: u64 = 100_000;

/// The most messages of a range: all that two accounts can have, and more.
const RANGE_LIMIT: u64 = 4 * EXACT_IN_JSON;

/// Why a report can't be that of a run or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// An instant beyond the year 9999, by its name.
    Instant(String),
    /// Times that are not in order, by index in `spans`.
    Span(usize),
    /// A part that there can't be, by index in `parts`.
    Part(usize),
    /// This many parts in all.
    Parts(u64),
    /// Times outside of any run, by index in `intervals`.
    Interval(usize),
    /// Seconds below zero, by name.
    Seconds(&'static str),
    /// Invalid times or rates, by index in `steps`.
    Step(usize),
    /// A range that is none, or numbers of a lost agent that it can't have, by name.
    Range(String),
    /// More right-censored samples than failed ones.
    Censored {
        latency: String,
        censored: u64,
        failed: u64,
    },
    TooLarge(TooLarge),
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsound::Instant(name) => {
                write!(f, "{name}: at most {LATEST_MS}, the end of the year 9999, in milliseconds since 1970")
            }
            Unsound::Span(index) => write!(
                f,
                "spans.{index}: a run begins, is measured and ends in this order, from 0 on, within {LATEST_S} s"
            ),
            Unsound::Part(index) => {
                write!(f, "parts.{index}: index counts from 0 to below of, the number of parts")
            }
            Unsound::Parts(all) => {
                write!(f, "parts: its runs have {all} parts in all; at most {ALL_PARTS_LIMIT}")
            }
            Unsound::Interval(index) => {
                write!(f, "intervals.{index}: at_s and length_s are seconds from 0 to {LATEST_S}")
            }
            Unsound::Seconds(name) => write!(f, "{name}: seconds are numbers from 0 on"),
            Unsound::Step(index) => {
                write!(f, "steps.{index}: times and rates are numbers from 0 on, and the length is one above")
            }
            Unsound::Range(name) => {
                write!(
                    f,
                    "{name}: the least is not above the most, and both are at most {RANGE_LIMIT} (2^55)"
                )
            }
            Unsound::Censored { latency, censored, failed } => {
                write!(f, "{latency}.censored is {censored}, of {failed} failed samples")
            }
            Unsound::TooLarge(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unsound {}

impl From<TooLarge> for Unsound {
    fn from(error: TooLarge) -> Unsound {
        Unsound::TooLarge(error)
    }
}

/// Checks a report with its derived fields, without its pieces.
///
/// # Errors
/// It can't be that of a run, or the sum of several is too large.
pub(crate) fn check(report: &Report) -> Result<(), Unsound> {
    check_instants(report)?;
    if let Some(index) = report.spans.iter().position(|span| !span.is_sound()) {
        return Err(Unsound::Span(index));
    }
    if let Some(index) = report.parts.iter().position(|part| !part.is_sound()) {
        return Err(Unsound::Part(index));
    }
    let cuts: BTreeSet<_> = report.parts.iter().map(|part| (&part.run, part.of)).collect();
    let all = cuts.iter().fold(0, |all: u64, (_, of)| all.saturating_add(*of));
    let all = all.max(report.parts.len() as u64);
    if all > ALL_PARTS_LIMIT {
        return Err(Unsound::Parts(all));
    }
    let lasts = 0.0..=LATEST_S;
    let is_sound = |row: &IntervalRow| lasts.contains(&row.at_s) && lasts.contains(&row.length_s);
    if let Some(index) = report.intervals.iter().position(|row| !is_sound(row)) {
        return Err(Unsound::Interval(index));
    }
    for (name, split) in report.latency.named() {
        check_censored(|| format!("latency.{name}"), split)?;
    }
    for (index, step) in report.steps.iter().enumerate() {
        if !step.is_sound() {
            return Err(Unsound::Step(index));
        }
        check_censored(|| format!("steps.{index}.message"), &step.message)?;
    }
    for (index, target) in report.targets.iter().enumerate() {
        check_censored(|| format!("targets.{index}.message"), &target.message)?;
    }
    check_ranges(report)?;
    let generator = &report.generator;
    for (name, seconds) in [
        ("generator.stood_still_s", Some(generator.stalled_s)),
        ("generator.cpu_s", generator.cpu_s),
        ("generator.cpu_wait_s", generator.cpu_wait_s),
    ] {
        if seconds.is_some_and(|seconds| seconds < 0.0) {
            return Err(Unsound::Seconds(name));
        }
    }
    counts::check(report).map_err(Unsound::TooLarge)
}

fn check_instants(report: &Report) -> Result<(), Unsound> {
    let own = [("started_at_ms", report.started_at_ms), ("ended_at_ms", report.ended_at_ms)];
    let rows = report.sinks.iter().flat_map(|sinks| sinks.reports.iter().enumerate());
    let asked = rows.filter_map(|(index, row)| Some((index, row.asked_at_ms?)));
    let asked = asked.map(|(index, at)| (format!("sinks.reports.{index}.asked_at_ms"), at));
    let mut all = own.into_iter().map(|(name, at)| (name.to_owned(), at)).chain(asked);
    all.find(|(_, at)| *at > LATEST_MS).map_or(Ok(()), |(name, _)| Err(Unsound::Instant(name)))
}

/// Checks what is known of lost agents, from which a range follows, and ranges that do not follow from the report.
fn check_ranges(report: &Report) -> Result<(), Unsound> {
    let is_range = |least: u64, most: Option<u64>| [least, most.unwrap_or(least), RANGE_LIMIT].is_sorted();
    for (index, agent) in report.agents.iter().enumerate() {
        let Some(Lost { started, started_at_most, reported_s, .. }) = &agent.lost else { continue };
        if !is_range(*started, *started_at_most) || !(0.0..=LATEST_S).contains(reported_s) {
            return Err(Unsound::Range(format!("agents.{index}.lost, started and started_at_most")));
        }
    }
    for (run, Delivered { at_least, at_most }) in &report.delivered_by_run {
        if !is_range(*at_least, *at_most) {
            return Err(Unsound::Range(format!("delivered_by_run.{run}")));
        }
    }
    Ok(())
}

fn check_censored(latency: impl Fn() -> String, split: &Split) -> Result<(), Unsound> {
    let (censored, failed) = (split.censored, split.failed.count());
    if censored > failed {
        return Err(Unsound::Censored { latency: latency(), censored, failed });
    }
    Ok(())
}
