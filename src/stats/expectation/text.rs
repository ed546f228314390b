//! Expectations as text: read from left to right, with a caret under what is wrong.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::{Expectation, LISTS, Op, View};
use crate::smtp::behaviour::grammar::{GrammarError, nearest};
use crate::smtp::behaviour::units::{A_SIZE, parse_duration, parse_size};
use crate::stats::{Metric, Stats, Unit};

/// The longer ones first where one begins with the other.
const OPS: &[(&str, Op)] = &[
    ("==", Op::Equal),
    ("!=", Op::Unequal),
    ("<=", Op::AtMost),
    (">=", Op::AtLeast),
    ("<", Op::Below),
    (">", Op::Above),
];

const A_SUBJECT: &str = "expected a figure, like messages, rate(messages) or p99(think.mail)";
const AN_OP: &str = "expected one of == != < <= > >=";
const A_VIEW: &str = "expected p50, p99.9 or another percentile, min, mean, max, count or rate";
const A_DURATION: &str = "expected a duration with its unit, like 50ms or 1.5s";
const A_NUMBER: &str = "expected a number, like 10000 or 1.5";

impl FromStr for Expectation {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let mut cursor = Cursor { text, at: 0 };
        let (name, view, unit) = cursor.subject()?;
        let op = cursor.op()?;
        let limit = cursor.value(view, unit)?;
        Ok(Self { text: text.trim().to_owned(), name: name.to_owned(), view, op, limit })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Cursor<'t> {
    text: &'t str,
    /// In octets; on a character's boundary.
    at: usize,
}

impl<'t> Cursor<'t> {
    fn error<T>(&self, place: Range<usize>, reason: impl Into<String>) -> Result<T, GrammarError> {
        Err(GrammarError::new(self.text, place, reason))
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    /// The letters, digits, points and underscores from here on; may be none.
    fn word(&mut self) -> (Range<usize>, &'t str) {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !(c.is_alphanumeric() || "._".contains(c))).unwrap_or(rest.len());
        let place = self.at..self.at + length;
        self.at = place.end;
        (place, &rest[..length])
    }

    fn takes(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let is_here = self.text[self.at..].starts_with(word);
        self.at += if is_here { word.len() } else { 0 };
        is_here
    }

    /// Name of the figure, what is looked at, and its unit.
    fn subject(&mut self) -> Result<(&'t str, View, Unit), GrammarError> {
        let (place, word) = self.word();
        if !self.takes("(") {
            let unit = self.figure(place, word, View::Count)?;
            return Ok((word, View::Count, unit));
        }
        let Some(view) = view(word) else { return self.error(place, A_VIEW) };
        let (place, name) = self.word();
        let unit = self.figure(place, name, view)?;
        if !self.takes(")") {
            return self.error(self.at..self.at, "expected a closing parenthesis");
        }
        Ok((name, view, unit))
    }

    /// The unit of what is looked at of the figure with this name.
    fn figure(&self, place: Range<usize>, name: &str, view: View) -> Result<Unit, GrammarError> {
        if LISTS.iter().any(|(known, _)| *known == name) {
            return match view {
                View::Count => Ok(Unit::Number),
                _ => self.error(place, format!("{name} is a count: expected {name} alone")),
            };
        }
        let stats = Stats::default();
        let Some(figure) = stats.figure(name) else { return self.error(place, unknown(name, &stats)) };
        let is_distribution = matches!(figure.value, Some(Metric::Durations(_) | Metric::Numbers(_)));
        match (is_distribution, view) {
            (false, View::Count | View::Rate) => Ok(figure.unit),
            (false, _) => {
                self.error(place, format!("{name} is a count: expected {name} alone, or rate({name})"))
            }
            (true, View::Count | View::Rate) => self.error(
                place,
                format!(
                    "{name} is a distribution: expected p99({name}), min({name}), mean({name}), max({name}) or \
                     count({name})"
                ),
            ),
            (true, View::Samples) => Ok(Unit::Number),
            (true, _) => Ok(figure.unit),
        }
    }

    fn op(&mut self) -> Result<Op, GrammarError> {
        match OPS.iter().find(|(word, _)| self.takes(word)) {
            Some(&(_, op)) => Ok(op),
            None => self.error(self.at..self.at, AN_OP),
        }
    }

    /// All the rest.
    fn value(&mut self, view: View, unit: Unit) -> Result<f64, GrammarError> {
        self.skip_blanks();
        let text = self.text[self.at..].trim_end();
        let place = self.at..self.at + text.len();
        let is_rate = view == View::Rate || unit == Unit::OctetsPerSecond;
        let plain = text.strip_suffix("/s").filter(|_| is_rate).unwrap_or(text).trim_end();
        let per_second = if is_rate { ", perhaps with /s behind it" } else { "" };
        let (value, expected) = match unit {
            Unit::Microseconds => (duration(text), A_DURATION.to_owned()),
            Unit::Octets | Unit::OctetsPerSecond => {
                (parse_size(plain).map(|octets| octets as f64), format!("expected {A_SIZE}{per_second}"))
            }
            Unit::Number => (number(plain), format!("{A_NUMBER}{per_second}")),
        };
        value.map_or_else(|| self.error(place, expected), Ok)
    }
}

fn view(word: &str) -> Option<View> {
    match word {
        "count" => Some(View::Samples),
        "rate" => Some(View::Rate),
        "min" => Some(View::Min),
        "mean" => Some(View::Mean),
        "max" => Some(View::Max),
        _ => {
            let percentage = number(word.strip_prefix('p')?)?;
            (percentage <= 100.0).then_some(View::Quantile(percentage / 100.0))
        }
    }
}

fn unknown(name: &str, stats: &Stats) -> String {
    let figures = stats.figures();
    let names = figures.iter().map(|figure| figure.name.as_str());
    let names = names.chain(LISTS.iter().map(|&(name, _)| name));
    match nearest(name, names) {
        _ if name.is_empty() => A_SUBJECT.to_owned(),
        Some(nearest) => format!("unknown figure {name:?}: did you mean {nearest}?"),
        None => format!("unknown figure {name:?}: {A_SUBJECT}"),
    }
}

/// In microseconds. Its unit is asked for: a number alone would be taken for milliseconds by some.
fn duration(text: &str) -> Option<f64> {
    let has_unit = text.ends_with(char::is_alphabetic);
    let duration = parse_duration(text).filter(|_| has_unit)?;
    Some(duration.as_nanos() as f64 / 1e3)
}

fn number(text: &str) -> Option<f64> {
    let is_plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|octet| octet.is_ascii_digit() || b"._".contains(&octet));
    text.replace('_', "").parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests;
