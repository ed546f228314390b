//! Comparisons of a figure with a limit, like `p99(think.mail) < 50ms`.
//!
//! The grammar, blanks free:
//!
//! ```text
//! comparison  = subject operator limit
//! subject     = name | "rate(" name ")" | statistic "(" name ")"
//! statistic   = "p" percentage | "min" | "mean" | "max" | "count"
//! operator    = "==" | "!=" | "<" | "<=" | ">" | ">="
//! limit       = number | number "%" | duration with a unit | size, each where it fits, "/s" behind a rate
//! ```
//!
//! Public because the load generator uses it for its checks too. The caller provides the figures; a [`Check`]
//! determines whether a comparison must be true or false.

mod text;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Unit;

/// A figure, an operator and a limit. Displays the original text.
///
/// ```
/// use smtpmock::stats::Unit;
/// use smtpmock::stats::comparison::{Comparison, Form, Subject, View};
///
/// let subjects = [Subject::new("dot", Unit::Microseconds, Form::Distribution)];
/// let slow = Comparison::read("p99(dot) > 1.5ms", &subjects, "a figure, like p99(dot)")?;
/// assert_eq!((slow.name(), slow.view()), ("dot", View::Quantile(0.99)));
/// assert!(slow.holds(1_501.0) && !slow.holds(1_500.0));
///
/// let error = Comparison::read("p99(dto) > 1.5ms", &subjects, "a figure, like p99(dot)").unwrap_err();
/// assert_eq!(error.to_string(), r#"unknown figure "dto": did you mean dot?
///   p99(dto) > 1.5ms
///       ^^^"#);
/// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The original text.
    text: String,
    name: String,
    view: View,
    operator: &'static Operator,
    /// In the unit of the figure, or in percent.
    limit: f64,
}

impl Comparison {
    /// The name of the figure.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The view of the figure that is compared.
    pub fn view(&self) -> View {
        self.view
    }

    /// Whether it is true for this value, in the unit of its subject, or from 0 to 100 for a
    /// [percentage](View::Percentage).
    pub fn holds(&self, figure: f64) -> bool {
        let ordering = figure.partial_cmp(&self.limit);
        ordering.is_some_and(|ordering| self.operator.accepts.contains(&ordering))
    }
}

/// Whether a comparison must be true or must be false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// True: `--expect`.
    #[default]
    Expect,
    /// Not true: `--fail-if`.
    FailIf,
}

impl Check {
    /// Its name in files, that of its flag: `expect`, `fail-if`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expect => "expect",
            Self::FailIf => "fail-if",
        }
    }

    /// The check of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Expect, Self::FailIf].into_iter().find(|check| check.name() == name)
    }
}

/// Why a figure has no value to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The distribution has no samples, or the whole of a percentage is zero.
    NoSamples,
    /// The rate is over a time of zero length.
    NoTime,
    /// The system does not report the figure.
    NotReported,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSamples => "no samples",
            Self::NoTime => "no time",
            Self::NotReported => "the system does not report it",
        })
    }
}

/// The result of a check. Displays as one line, including the figure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the comparison must be true or must be false.
    pub check: Check,
    /// The text of the comparison: `p99(think.mail) < 50ms`.
    pub expectation: String,
    /// The figure with its unit, or why it is missing.
    pub found: String,
    /// Whether the check passed.
    pub kept: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, expectation, found, kept } = self;
        let words = match check {
            Check::Expect => "expected",
            Check::FailIf => "fail if",
        };
        let outcome = if *kept { "passed" } else { "failed" };
        write!(f, "{words} {expectation}: {outcome}, {found}")
    }
}

impl Comparison {
    /// Evaluates a check by its figure and the figure's text. A check of a missing figure fails.
    pub fn judge(&self, check: Check, found: Result<(f64, String), Missing>) -> Verdict {
        let kept = match (&found, check) {
            (Ok((figure, _)), Check::Expect) => self.holds(*figure),
            (Ok((figure, _)), Check::FailIf) => !self.holds(*figure),
            (Err(_), _) => false,
        };
        let found = found.map_or_else(|missing| missing.to_string(), |(_, shown)| shown);
        Verdict { check, expectation: self.to_string(), found, kept }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A figure that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    name: String,
    unit: Unit,
    form: Form,
}

impl Subject {
    /// `name` must consist of letters, digits, points and underscores.
    pub fn new(name: impl Into<String>, unit: Unit, form: Form) -> Self {
        Self { name: name.into(), unit, form }
    }
}

/// The form of a figure, which determines its views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A plain count: only itself.
    Single,
    /// A count over a time: itself, or its rate per second.
    Count,
    /// A count of parts of a whole: itself, or its percentage.
    Part,
    /// A rate per second: only itself.
    Rate,
    /// A distribution: a percentile, its minimum, mean or maximum, or its number of samples.
    Distribution,
}

/// The view of a figure that is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View {
    /// The figure itself.
    Itself,
    /// A count as a percentage of its whole; its limit has a `%`.
    Percentage,
    /// A count per second.
    Rate,
    /// The value that this share (0 to 1) of a distribution does not exceed.
    Quantile(f64),
    /// The smallest of a distribution.
    Min,
    /// The mean of a distribution.
    Mean,
    /// The largest of a distribution.
    Max,
    /// The number of samples of a distribution.
    Samples,
}

/// An operator and the orderings of figure and limit for which it is true.
#[derive(Debug, PartialEq)]
struct Operator {
    spelling: &'static str,
    accepts: &'static [Ordering],
}

static OPERATORS: &[Operator] = &[
    Operator { spelling: "==", accepts: &[Ordering::Equal] },
    Operator { spelling: "!=", accepts: &[Ordering::Less, Ordering::Greater] },
    Operator { spelling: "<", accepts: &[Ordering::Less] },
    Operator { spelling: "<=", accepts: &[Ordering::Less, Ordering::Equal] },
    Operator { spelling: ">", accepts: &[Ordering::Greater] },
    Operator { spelling: ">=", accepts: &[Ordering::Greater, Ordering::Equal] },
];

#[cfg(test)]
mod tests;
