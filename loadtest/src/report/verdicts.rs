//! Verdicts on a run: gates, and moves against a baseline.

use serde::{Deserialize, Serialize};
use smtpmock::stats::{Check, Verdict};

use crate::report::show_ns;

/// The verdict of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    /// Whether the comparison must be true.
    #[serde(default = "fail_if")]
    pub(crate) check: Check,
    /// The comparison.
    pub(crate) gate: String,
    pub(crate) failed: bool,
    /// The figure for people, or why there is none.
    pub(crate) found: String,
}

/// The kind of gates in reports without `check`.
fn fail_if() -> Check {
    Check::FailIf
}

impl From<Verdict> for Judgement {
    fn from(of: Verdict) -> Judgement {
        Judgement { check: of.check, gate: of.expectation, failed: !of.kept, found: of.found }
    }
}

impl Judgement {
    /// The words before the comparison.
    pub(crate) fn words(&self) -> &'static str {
        match self.check {
            Check::Expect => "expected",
            Check::FailIf => "fail if",
        }
    }
}

/// The move of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) metric: String,
    pub(crate) before: Option<f64>,
    pub(crate) now: Option<f64>,
    /// Lower and higher bounds of the values before and now, with 99.9 % confidence.
    #[serde(default)]
    pub(crate) before_bounds: Option<(f64, f64)>,
    #[serde(default)]
    pub(crate) now_bounds: Option<(f64, f64)>,
    /// Regression in percent; negative is an improvement.
    pub(crate) worse_by_percent: Option<f64>,
    /// The least regression within the bounds.
    #[serde(default)]
    pub(crate) worse_by_at_least_percent: Option<f64>,
    pub(crate) verdict: Assessment,
    /// The figures, or why they were not compared, for people.
    pub(crate) detail: String,
}

impl Move {
    /// A value of this metric, for people.
    pub(crate) fn show(&self, value: f64) -> String {
        show(&self.metric, value)
    }
}

/// A value of a metric, for people.
pub(crate) fn show(metric: &str, value: f64) -> String {
    match metric {
        RATE => format!("{value:.1}/s"),
        ERRORS => format!("{value:.3}%"),
        _ => show_ns(value as u64),
    }
}

pub(crate) const RATE: &str = "rate";
pub(crate) const ERRORS: &str = "errors";

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Assessment {
    Fine,
    Regressed,
    NotCompared,
}

/// A percentage with its sign, for people: `+69.0%`, `-3.2%`, `0.0%`.
pub(crate) fn show_percent(percent: f64) -> String {
    match format!("{percent:+.1}%").as_str() {
        "+0.0%" | "-0.0%" => "0.0%".to_owned(),
        text => text.to_owned(),
    }
}
