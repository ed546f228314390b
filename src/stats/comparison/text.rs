//! The parser of comparisons. Errors have carets under the wrong part.

use std::borrow::Cow;
use std::ops::Range;

use super::{Comparison, Form, OPERATORS, Operator, Subject, View};
use crate::smtp::rules::grammar::{Fault, GrammarError, Instead};
use crate::smtp::rules::units::{
    A_SIZE, compared_number as number, duration_with_units, parse_size, split_rate,
};
use crate::stats::Unit;

const A_STATISTIC: &str = "p50, p99.9 or another percentile, min, mean, max";
const A_DURATION: &str = "a duration with its unit, like 50ms, 1.5s or 800us";
const A_PERCENTAGE: &str = "a percentage from 0% to 100%";
const A_NUMBER: &str = "a number, like 10000 or 1.5";

/// The largest percentage: the figure is a part of its whole.
const WHOLE: f64 = 100.0;

impl Comparison {
    /// Parses a comparison of one of these figures. For errors, `a_subject` describes what may precede the operator,
    /// like "a figure, like messages or p99(think.mail)".
    ///
    /// # Errors
    ///
    /// The first mistake, its position, and what would be right.
    pub fn read(text: &str, subjects: &[Subject], a_subject: &str) -> Result<Self, GrammarError> {
        let mut cursor = Cursor { text, at: 0, subjects, a_subject };
        let (subject, view) = cursor.subject()?;
        let operator = cursor.operator()?;
        let (limit, view) = cursor.limit(subject, view)?;
        Ok(Self { text: text.trim().to_owned(), name: subject.name.clone(), view, operator, limit })
    }
}

struct Cursor<'t> {
    text: &'t str,
    /// In octets; at a character boundary.
    at: usize,
    subjects: &'t [Subject],
    a_subject: &'t str,
}

impl<'t> Cursor<'t> {
    fn error<T>(&self, place: Range<usize>, fault: Fault) -> Result<T, GrammarError> {
        Err(GrammarError::new(self.text, place, fault))
    }

    fn expected<T>(
        &self,
        place: Range<usize>,
        phrase: impl Into<Cow<'static, str>>,
    ) -> Result<T, GrammarError> {
        self.error(place, Fault::expected(phrase))
    }

    fn rest(&mut self) -> &'t str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    /// Takes letters, digits, points and underscores, possibly none.
    fn word(&mut self) -> (Range<usize>, &'t str) {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_alphanumeric() || "._".contains(c))).unwrap_or(rest.len());
        let place = self.at..self.at + length;
        self.at = place.end;
        (place, &rest[..length])
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_here = self.rest().starts_with(sign);
        self.at += if is_here { sign.len() } else { 0 };
        is_here
    }

    /// Takes the figure and its view.
    fn subject(&mut self) -> Result<(&'t Subject, View), GrammarError> {
        let (place, word) = self.word();
        if self.takes("(") {
            return self.viewed(place, word);
        }
        if self.find(word).is_none() && view(word).is_some() {
            return self.expected(self.at..self.at, "an opening parenthesis and a figure");
        }
        let subject = self.named(place.clone(), word)?;
        match subject.form {
            Form::Distribution => self.error(place, misfit(subject)),
            _ => Ok((subject, View::Itself)),
        }
    }

    /// Takes the figure in parentheses.
    fn viewed(&mut self, place: Range<usize>, word: &str) -> Result<(&'t Subject, View), GrammarError> {
        let Some(view) = view(word) else { return self.expected(place, self.a_view()) };
        let (place, name) = self.word();
        let subject = self.named(place.clone(), name)?;
        match (subject.form, view) {
            (Form::Count, View::Rate) => {}
            (Form::Distribution, view) if view != View::Rate => {}
            _ => return self.error(place, misfit(subject)),
        }
        if !self.takes(")") {
            return self.expected(self.at..self.at, "a closing parenthesis");
        }
        Ok((subject, view))
    }

    fn find(&self, name: &str) -> Option<&'t Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }

    fn named(&self, place: Range<usize>, name: &str) -> Result<&'t Subject, GrammarError> {
        match self.find(name) {
            Some(subject) => Ok(subject),
            None => self.error(place, self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Fault {
        let expected = self.a_subject.to_owned();
        if name.is_empty() {
            return Fault::expected(expected);
        }
        let known = self.subjects.iter().map(|subject| subject.name.as_str());
        let instead = Instead::of(name, known, || expected);
        Fault::Unknown { what: "figure", word: name.to_owned(), instead }
    }

    /// The views for an error. Rates are included only if there are counts.
    fn a_view(&self) -> String {
        let has_rates = self.subjects.iter().any(|subject| subject.form == Form::Count);
        format!("{A_STATISTIC}{}", if has_rates { ", count or rate" } else { " or count" })
    }

    fn operator(&mut self) -> Result<&'static Operator, GrammarError> {
        let rest = self.rest();
        let fitting = OPERATORS.iter().filter(|operator| rest.starts_with(operator.spelling));
        // `<=` begins with `<`.
        let Some(operator) = fitting.max_by_key(|operator| operator.spelling.len()) else {
            let spellings: Vec<_> = OPERATORS.iter().map(|operator| operator.spelling).collect();
            return self.expected(self.at..self.at, format!("one of {}", spellings.join(" ")));
        };
        self.at += operator.spelling.len();
        Ok(operator)
    }

    /// Takes the rest: the limit, and the view that its unit implies.
    fn limit(&mut self, subject: &Subject, view: View) -> Result<(f64, View), GrammarError> {
        let text = self.rest().trim_end();
        let place = self.at..self.at + text.len();
        let unit = if view == View::Samples { Unit::Number } else { subject.unit };
        let is_rate = view == View::Rate || subject.form == Form::Rate || unit == Unit::OctetsPerSecond;
        let limit = match text.strip_suffix('%') {
            Some(percentage) if subject.form == Form::Part => {
                let limit = number(percentage.trim_end());
                if limit.is_some_and(|limit| limit > WHOLE) {
                    return self.expected(place, A_PERCENTAGE);
                }
                limit.map(|limit| (limit, View::Percentage))
            }
            _ => {
                let (plain, seconds) = split_rate(text).filter(|_| is_rate).unwrap_or((text, 1.0));
                amount(plain, unit).map(|limit| (limit / seconds, view))
            }
        };
        limit.map_or_else(|| self.expected(place, a_limit(unit, subject.form, is_rate)), Ok)
    }
}

/// The value of a limit in its unit.
fn amount(text: &str, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Microseconds => duration_with_units(text).map(|duration| duration.as_nanos() as f64 / 1e3),
        Unit::Octets | Unit::OctetsPerSecond => parse_size(text).map(|octets| octets as f64),
        Unit::Number => number(text),
    }
}

fn a_limit(unit: Unit, form: Form, is_rate: bool) -> String {
    let expected = match unit {
        Unit::Microseconds => A_DURATION.to_owned(),
        Unit::Octets | Unit::OctetsPerSecond => A_SIZE.to_owned(),
        Unit::Number => A_NUMBER.to_owned(),
    };
    match (is_rate, form) {
        (true, _) => format!("{expected}, optionally with /s, /m or /h"),
        (false, Form::Part) => format!("{expected}, or a percentage, like 0.1%"),
        (false, _) => expected,
    }
}

/// The error for a figure without the requested view.
fn misfit(subject: &Subject) -> Fault {
    let Subject { name, form, .. } = subject;
    let (is, expected) = match form {
        Form::Single | Form::Part => ("a count", format!("{name} alone")),
        Form::Count => ("a count", format!("{name} alone, or rate({name})")),
        Form::Rate => ("a rate", format!("{name} alone")),
        Form::Distribution => (
            "a distribution",
            format!("p99({name}), min({name}), mean({name}), max({name}) or count({name})"),
        ),
    };
    Fault::Unfit { what: format!("{name} is {is}"), expected }
}

fn view(word: &str) -> Option<View> {
    match word {
        "count" => Some(View::Samples),
        "rate" => Some(View::Rate),
        "min" => Some(View::Min),
        "mean" => Some(View::Mean),
        "max" => Some(View::Max),
        _ => {
            // Not divided by 100: for 99.9 that gives slightly more than 0.999, which selects the wrong one of 1000
            // values.
            let share = number(&format!("{}e-2", word.strip_prefix('p')?))?;
            (share <= 1.0).then_some(View::Quantile(share))
        }
    }
}
