//! What was judged of a run: gates and moves against a baseline.

use serde::{Deserialize, Serialize};
use smtpmock::stats::{Check, Verdict};

use crate::report::show_ns;

/// What became of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    /// Whether the comparison must be true.
    #[serde(default = "fail_if")]
    pub(crate) check: Check,
    /// The comparison.
    pub(crate) gate: String,
    pub(crate) failed: bool,
    /// The metric's value as shown to people; what was missing if there was no sample.
    pub(crate) found: String,
}

/// What gates were before there were expectations.
fn fail_if() -> Check {
    Check::FailIf
}

impl From<Verdict> for Judgement {
    fn from(of: Verdict) -> Judgement {
        Judgement { check: of.check, gate: of.expectation, failed: !of.kept, found: of.found }
    }
}

impl Judgement {
    /// The words in front of the comparison.
    pub(crate) fn words(&self) -> &'static str {
        match self.check {
            Check::Expect => "expected",
            Check::FailIf => "fail if",
        }
    }
}

/// How one metric moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) metric: String,
    pub(crate) before: Option<f64>,
    pub(crate) now: Option<f64>,
    /// Between which values it was, and is: with 99.9 % confidence, lower and higher.
    #[serde(default)]
    pub(crate) before_bounds: Option<(f64, f64)>,
    #[serde(default)]
    pub(crate) now_bounds: Option<(f64, f64)>,
    /// How much worse it got, in percent; negative is better.
    pub(crate) worse_by_percent: Option<f64>,
    /// By how much it got worse at least, within the bounds.
    #[serde(default)]
    pub(crate) worse_by_at_least_percent: Option<f64>,
    pub(crate) verdict: Assessment,
    /// The figures, or why there was no comparison, for people.
    pub(crate) detail: String,
}

impl Move {
    /// One of its values, for people.
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

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Assessment {
    Fine,
    Regressed,
    NotCompared,
}

/// A percentage as people read it, with its sign: `+69.0%`, `-3.2%`, `0.0%`.
pub(crate) fn show_percent(percent: f64) -> String {
    match format!("{percent:+.1}%").as_str() {
        "+0.0%" | "-0.0%" => "0.0%".to_owned(),
        text => text.to_owned(),
    }
}
