//! Expectations of a run: [comparisons](super::comparison) that must be true or false, like `messages == 10000` or
//! `p99(think.mail) < 50ms`.
//!
//! Counts and distributions are those of [`Stats::figures`]; `findings` and `degraded` are the numbers of
//! [`Stats::findings`] and [`Stats::degraded`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::comparison::{Check, Comparison, Form, Missing, Subject, Verdict, View};
use super::{Figure, Metric, Numbers, Stats, Unit};
use crate::smtp::rules::GrammarError;
use crate::text::units::{exact_duration, octets};

/// A condition on a run's figures that must be true, or [must be false](Expectation::fail_if).
///
/// ```
/// use smtpmock::{Config, Server, stats::Expectation};
///
/// let server = Server::start(Config::default())?;
/// // … send
/// let expectation: Expectation = "messages == 0".parse()?;
/// let verdict = expectation.judge(&server.stats());
/// assert!(verdict.kept, "{verdict}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    comparison: Comparison,
    check: Check,
}

const A_SUBJECT: &str = "a figure, like messages, rate(messages) or p99(think.mail)";

impl FromStr for Expectation {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let comparison = Comparison::read(text, &subjects(), A_SUBJECT)?;
        Ok(Self { comparison, check: Check::Expect })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.comparison.fmt(f)
    }
}

fn subjects() -> Vec<Subject> {
    let stats = Stats::default();
    let lists = LISTS.iter().map(|&(name, _)| Subject::new(name, Unit::Number, Form::Single));
    let figures = stats.figures().into_iter().map(|Figure { name, unit, value, .. }| {
        let is_distribution = value.is_some_and(|metric| metric.as_numbers().is_some());
        Subject::new(name, unit, if is_distribution { Form::Distribution } else { Form::Count })
    });
    lists.chain(figures).collect()
}

impl Expectation {
    /// An expectation that the condition is false.
    ///
    /// ```
    /// # use smtpmock::stats::{Expectation, Stats};
    /// let gave_up = Expectation::fail_if("sessions.gave_up > 0")?;
    /// let verdict = gave_up.judge(&Stats::default());
    /// assert_eq!(verdict.to_string(), "fail if sessions.gave_up > 0: passed, 0");
    /// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first mistake, its position, and what would be right.
    pub fn fail_if(text: &str) -> Result<Self, GrammarError> {
        Ok(Self { check: Check::FailIf, ..text.parse()? })
    }

    /// Evaluates it by the figures of a run or of a part of a run. Fails for a distribution without samples, unless it
    /// is on the `count`.
    pub fn judge(&self, stats: &Stats) -> Verdict {
        self.comparison.judge(self.check, self.measure(stats))
    }

    /// The figure and its text.
    fn measure(&self, stats: &Stats) -> Result<(f64, String), Missing> {
        if let Some((_, list)) = LISTS.iter().find(|(name, _)| *name == self.comparison.name()) {
            let entries = list(stats);
            return Ok((entries.len() as f64, show_list(&entries)));
        }
        let figure = stats.figure(self.comparison.name());
        let unit = figure.as_ref().map_or(Unit::Number, |figure| figure.unit);
        match figure.and_then(|figure| figure.value).ok_or(Missing::NotReported)? {
            Metric::Count(count) if self.comparison.view() == View::Rate => {
                let seconds = stats.length().as_secs_f64();
                let rate = if seconds > 0.0 { count as f64 / seconds } else { return Err(Missing::NoTime) };
                let is_octets = unit == Unit::Octets;
                let shown = if is_octets { octets(rate as u64) } else { format!("{rate:.1}") };
                Ok((rate, format!("{shown}/s")))
            }
            Metric::Count(count) => Ok((count as f64, count.to_string())),
            Metric::Durations(durations) => self.look_at(durations.as_numbers(), |microseconds| {
                exact_duration(Duration::from_micros(microseconds.round() as u64))
            }),
            Metric::Numbers(numbers) => self.look_at(numbers, |number| match unit {
                Unit::OctetsPerSecond => format!("{}/s", octets(number as u64)),
                // Means have fractions; three digits are enough.
                _ => format!("{}", (number * 1e3).round() / 1e3),
            }),
        }
    }

    fn look_at(&self, numbers: &Numbers, show: impl Fn(f64) -> String) -> Result<(f64, String), Missing> {
        let figure = match self.comparison.view() {
            View::Samples => return Ok((numbers.count() as f64, numbers.count().to_string())),
            _ if numbers.count() == 0 => return Err(Missing::NoSamples),
            View::Quantile(share) => numbers.quantile(share) as f64,
            View::Mean => numbers.mean(),
            View::Max => numbers.max() as f64,
            // The parser refuses views of counts for distributions.
            View::Min | View::Itself | View::Percentage | View::Rate => numbers.min() as f64,
        };
        Ok((figure, show(figure)))
    }
}

type List = fn(&Stats) -> Vec<String>;

/// Lists whose lengths can be compared like figures.
const LISTS: &[(&str, List)] = &[
    ("findings", |stats| stats.findings().into_iter().map(|finding| finding.name.to_owned()).collect()),
    ("degraded", Stats::degraded),
];

/// The number of entries, and the entries.
fn show_list(entries: &[String]) -> String {
    match entries {
        [] => "0".to_owned(),
        _ => format!("{} ({})", entries.len(), entries.join("; ")),
    }
}

#[cfg(test)]
mod tests;
