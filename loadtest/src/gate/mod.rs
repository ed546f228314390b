//! Gates: conditions under which a run counts as failed, like `p99(message) > 5ms`.
//!
//! The grammar, blanks free:
//!
//! ```text
//! gate    = metric op value
//! op      = ">" | ">=" | "<" | "<=" | "==" | "!="
//! metric  = stat "(" latency [ "." ( "ok" | "failed" ) ] ")" | count | "rate"
//! stat    = "p" number | "min" | "mean" | "max" | "count"
//! latency = "connect" | "banner" | "ehlo" | "mail" | "rcpt" | "data" | "dot"
//!         | "message" | "uncorrected" | "lag"
//! count   = "errors" | "accepted" | "4xx" | "5xx" | "aborted" | "timeouts" | "unsent"
//!         | "in_flight" | "late"
//! value   = number [ unit ]
//! ```
//!
//! A latency wants a duration, a count a number or a percentage of the messages owed, the
//! rate a number with or without `/s`. A gate that has no sample to look at fails.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::nanos;
use crate::report::distribution::Distribution;
use crate::report::{Report, show_ns};

/// A parsed gate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gate {
    source: String,
    metric: Metric,
    op: Op,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Metric {
    Latency { stat: Stat, name: String, failed: bool },
    Samples { name: String, failed: bool },
    Count(Count),
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stat {
    /// From 0 to 1.
    Quantile(f64),
    Min,
    Mean,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Errors,
    Accepted,
    Refused4,
    Refused5,
    Aborted,
    Timeouts,
    Unsent,
    InFlight,
    Late,
}

const COUNTS: [(&str, Count); 9] = [
    ("errors", Count::Errors),
    ("accepted", Count::Accepted),
    ("4xx", Count::Refused4),
    ("5xx", Count::Refused5),
    ("aborted", Count::Aborted),
    ("timeouts", Count::Timeouts),
    ("unsent", Count::Unsent),
    ("in_flight", Count::InFlight),
    ("late", Count::Late),
];

const LATENCIES: [&str; 10] =
    ["connect", "banner", "ehlo", "mail", "rcpt", "data", "dot", "message", "uncorrected", "lag"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    Unequal,
}

const OPS: [(&str, Op); 6] = [
    (">=", Op::AtLeast),
    ("<=", Op::AtMost),
    ("==", Op::Equal),
    ("!=", Op::Unequal),
    (">", Op::Above),
    ("<", Op::Below),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Time(Duration),
    Number(f64),
    /// Of the messages owed.
    Percent(f64),
}

/// What became of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    pub(crate) gate: String,
    pub(crate) failed: bool,
    /// The metric's value as shown to people; what was missing if there was no sample.
    pub(crate) found: String,
}

impl Gate {
    /// Judges a run.
    pub(crate) fn judge(&self, report: &Report) -> Judgement {
        let (failed, found) = match self.measure(report) {
            None => (true, "no sample, which never passes".to_owned()),
            Some((left, found)) => (self.op.holds(left, self.right()), found),
        };
        Judgement { gate: self.source.clone(), failed, found }
    }

    fn right(&self) -> f64 {
        match self.value {
            Value::Time(time) => nanos(time) as f64,
            Value::Number(number) | Value::Percent(number) => number,
        }
    }

    fn measure(&self, report: &Report) -> Option<(f64, String)> {
        match &self.metric {
            Metric::Latency { stat, name, failed } => {
                let value = stat.of(distribution(report, name, *failed)?)?;
                Some((value, show_ns(value as u64)))
            }
            Metric::Samples { name, failed } => {
                let count = distribution(report, name, *failed).map_or(0, Distribution::count);
                Some((count as f64, count.to_string()))
            }
            Metric::Rate => {
                let has_sample = report.accounting.measured.accepted > 0 && report.measured_s > 0.0;
                has_sample.then(|| (report.rate, format!("{:.1}/s", report.rate)))
            }
            Metric::Count(count) => self.measure_count(*count, report),
        }
    }

    fn measure_count(&self, count: Count, report: &Report) -> Option<(f64, String)> {
        let owed = report.accounting.measured.owed();
        if owed == 0 {
            return None;
        }
        let number = count.of(report);
        let percent = number as f64 * 100.0 / owed as f64;
        let value = if matches!(self.value, Value::Percent(_)) { percent } else { number as f64 };
        Some((value, format!("{number} of {owed}, {percent:.3}%")))
    }
}

fn distribution<'a>(report: &'a Report, name: &str, failed: bool) -> Option<&'a Distribution> {
    if name == "lag" {
        return Some(&report.generator.lag);
    }
    let (_, split) = report.latency.named().into_iter().find(|(known, _)| *known == name)?;
    Some(if failed { &split.failed } else { &split.ok })
}

impl Stat {
    fn of(self, distribution: &Distribution) -> Option<f64> {
        match self {
            Stat::Quantile(quantile) => distribution.at(quantile).map(|value| value as f64),
            Stat::Min => distribution.min().map(|value| value as f64),
            Stat::Mean => distribution.mean(),
            Stat::Max => distribution.max().map(|value| value as f64),
        }
    }
}

impl Count {
    fn of(self, report: &Report) -> u64 {
        let account = &report.accounting.measured;
        match self {
            Count::Errors => account.errors(),
            Count::Accepted => account.accepted,
            Count::Refused4 => account.refused_class(4),
            Count::Refused5 => account.refused_class(5),
            Count::Aborted => account.aborted_total(),
            Count::Timeouts => account.timed_out_total(),
            Count::Unsent => account.unsent,
            Count::InFlight => account.in_flight,
            Count::Late => report.generator.late,
        }
    }
}

impl Op {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Op::Above => left > right,
            Op::AtLeast => left >= right,
            Op::Below => left < right,
            Op::AtMost => left <= right,
            Op::Equal => left == right,
            Op::Unequal => left != right,
        }
    }
}

/// What is wrong with a gate, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GateError {
    source: String,
    /// In bytes; on a character's boundary.
    at: usize,
    message: String,
}

impl fmt::Display for GateError {
    /// The expression, a caret under the place, and what would be right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.source[..self.at].chars().count();
        let shown = self.source.replace(|c: char| c.is_control(), " ");
        write!(f, "\n  {shown}\n  {:column$}^ {}", "", self.message)
    }
}

impl std::error::Error for GateError {}

impl FromStr for Gate {
    type Err = GateError;

    fn from_str(source: &str) -> Result<Gate, GateError> {
        let mut cursor = Cursor { source, at: 0 };
        let metric = cursor.metric()?;
        let op = cursor.op()?;
        let value = cursor.value(&metric)?;
        Ok(Gate { source: source.to_owned(), metric, op, value })
    }
}

/// Reads a gate from left to right.
struct Cursor<'a> {
    source: &'a str,
    /// In bytes; on a character's boundary.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, GateError> {
        Err(GateError { source: self.source.to_owned(), at, message: message.into() })
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.source.len() - self.rest().trim_start().len();
    }

    /// The run of characters a name or number may have; may be empty.
    fn word(&mut self) -> (usize, &'a str) {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "._".contains(c))).unwrap_or(rest.len());
        let start = self.at;
        self.at += end;
        (start, &rest[..end])
    }

    fn expect(&mut self, wanted: char) -> Result<(), GateError> {
        self.skip_blanks();
        if self.rest().starts_with(wanted) {
            self.at += wanted.len_utf8();
            return Ok(());
        }
        self.error(self.at, format!("`{wanted}` is wanted here"))
    }

    fn metric(&mut self) -> Result<Metric, GateError> {
        let (start, word) = self.word();
        if word == "rate" {
            return Ok(Metric::Rate);
        }
        if let Some((_, count)) = COUNTS.iter().find(|(name, _)| *name == word) {
            return Ok(Metric::Count(*count));
        }
        let Some(stat) = stat(word) else {
            return self.error(start, "a metric is wanted: p50(message), max(rcpt), errors, 4xx, 5xx, aborted, timeouts, unsent, in_flight, late, accepted or rate");
        };
        self.expect('(')?;
        let (name_at, name) = self.word();
        let (name, failed) = match name.split_once('.') {
            None | Some((_, "ok")) => (name.trim_end_matches(".ok"), false),
            Some((name, "failed")) => (name, true),
            Some(_) => return self.error(name_at, "after the name may stand .ok or .failed"),
        };
        if !LATENCIES.contains(&name) {
            return self.error(name_at, format!("one of {} is wanted", LATENCIES.join(", ")));
        }
        self.expect(')')?;
        let name = name.to_owned();
        Ok(match stat {
            Some(stat) => Metric::Latency { stat, name, failed },
            None => Metric::Samples { name, failed },
        })
    }

    fn op(&mut self) -> Result<Op, GateError> {
        self.skip_blanks();
        for (text, op) in OPS {
            if self.rest().starts_with(text) {
                self.at += text.len();
                return Ok(op);
            }
        }
        self.error(self.at, "one of > >= < <= == != is wanted")
    }

    fn value(&mut self, metric: &Metric) -> Result<Value, GateError> {
        self.skip_blanks();
        let (at, text) = (self.at, self.rest().trim_end());
        self.at = self.source.len();
        if let Metric::Latency { .. } = metric {
            return match fractional_duration(text) {
                Some(time) => Ok(Value::Time(time)),
                None => self.error(at, "a duration is wanted, like 5ms, 1.5s or 800us"),
            };
        }
        let (number, percent) = match (metric, text.strip_suffix('%'), text.strip_suffix("/s")) {
            (Metric::Count(_), Some(number), _) => (number, true),
            (Metric::Rate, _, Some(number)) => (number, false),
            _ => (text, false),
        };
        match number.trim_end().replace('_', "").parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => {
                Ok(if percent { Value::Percent(number) } else { Value::Number(number) })
            }
            _ if matches!(metric, Metric::Rate) => self.error(at, "a rate is wanted, like 10000 or 10000/s"),
            _ => self.error(at, "a number is wanted, or for counts a percentage like 0.1%"),
        }
    }
}

/// `Some(None)` is `count`.
fn stat(word: &str) -> Option<Option<Stat>> {
    match word {
        "count" => Some(None),
        "min" => Some(Some(Stat::Min)),
        "mean" => Some(Some(Stat::Mean)),
        "max" => Some(Some(Stat::Max)),
        _ => {
            let percent: f64 = word.strip_prefix('p')?.parse().ok()?;
            (0.0..=100.0).contains(&percent).then_some(Some(Stat::Quantile(percent / 100.0)))
        }
    }
}

/// Reads one number with a unit; fractions are allowed, unlike in flags.
fn fractional_duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    let seconds = match unit.trim() {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests;
