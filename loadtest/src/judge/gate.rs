//! Gates: conditions on a report that must not be true, like `p99(message) > 5ms` (`--fail-if`), or must be true
//! (`--expect`).
//!
//! They are [comparisons](smtpmock::stats::comparison) of these figures, in the grammar of `smtpmock`:
//!
//! ```text
//! p50(NAME), min(NAME), mean(NAME), max(NAME), count(NAME)
//!         of a phase (connect, tls, banner, …), message, uncorrected or lag; .failed behind the name selects the
//!         failures
//! errors, accepted, 4xx, 5xx, aborted, timeouts, unsent, in_flight, late
//!         as a number, or as a percentage of the messages owed
//! handshakes.full, handshakes.resumed, handshakes.failed, handshakes.tls_1_2, handshakes.tls_1_3
//!         as a number, or as a percentage of the TLS handshakes
//! rate    of accepted messages, with or without /s, /m or /h
//! ```
//!
//! A gate without a sample fails.

use smtpmock::smtp::rules::GrammarError;
use smtpmock::stats::comparison::{Comparison, Form, Missing, Subject, View};
use smtpmock::stats::{Check, Unit};

use crate::account::accounting::Accounting;
use crate::client::phase::Phase;
use crate::report::distribution::Distribution;
use crate::report::steps::StepRow;
use crate::report::verdicts::Judgement;
use crate::report::{HandshakeCounts, Report, show_ns};

/// A parsed gate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gate {
    comparison: Comparison,
    check: Check,
}

type Count = fn(&Accounting) -> u64;

type OfHandshakes = fn(&HandshakeCounts) -> u64;

const COUNTS: [(&str, Count); 8] = [
    ("errors", Accounting::errors),
    (ACCEPTED, |account| account.accepted),
    ("4xx", |account| account.refused_class(4)),
    ("5xx", |account| account.refused_class(5)),
    ("aborted", Accounting::aborted_total),
    ("timeouts", Accounting::timed_out_total),
    ("unsent", |account| account.unsent),
    ("in_flight", |account| account.in_flight),
];

const ACCEPTED: &str = "accepted";

/// Figure of a whole run: messages that the generator itself delayed.
const LATE: &str = "late";

/// Figures of a whole run: its TLS handshakes, warm-up included.
const HANDSHAKES: [(&str, OfHandshakes); 5] = [
    ("handshakes.full", |handshakes| handshakes.full),
    ("handshakes.resumed", |handshakes| handshakes.resumed),
    ("handshakes.failed", |handshakes| handshakes.failed),
    ("handshakes.tls_1_2", |handshakes| handshakes.tls_1_2),
    ("handshakes.tls_1_3", |handshakes| handshakes.tls_1_3),
];

/// What is measured besides the phases.
const OTHER_LATENCIES: [&str; 3] = ["message", "uncorrected", "lag"];

const RATE: &str = "rate";

fn counts() -> impl Iterator<Item = &'static str> {
    let handshakes = HANDSHAKES.iter().map(|(name, _)| *name);
    COUNTS.iter().map(|(name, _)| *name).chain([LATE]).chain(handshakes)
}

fn latencies() -> impl Iterator<Item = &'static str> {
    Phase::ALL.into_iter().map(Phase::name).chain(OTHER_LATENCIES)
}

fn subjects() -> Vec<Subject> {
    let counts = counts().map(|name| Subject::new(name, Unit::Number, Form::Part));
    let rate = Subject::new(RATE, Unit::Number, Form::Rate);
    let latencies = latencies().flat_map(|name| {
        ["", ".ok", ".failed"]
            .map(|outcome| Subject::new(format!("{name}{outcome}"), Unit::Microseconds, Form::Distribution))
    });
    counts.chain([rate]).chain(latencies).collect()
}

fn a_subject() -> String {
    let counts: Vec<_> = counts().collect();
    let latencies: Vec<_> = latencies().collect();
    let (counts, latencies) = (counts.join(", "), latencies.join(", "));
    format!(
        "{counts}, {RATE}, or p99(message), min(…), mean(…), max(…) or count(…) of one of {latencies}, optionally \
         with .ok or .failed behind the name"
    )
}

impl Gate {
    /// Reads a condition that must not be true.
    pub(crate) fn fail_if(text: &str) -> Result<Gate, GrammarError> {
        Gate::read(text, Check::FailIf)
    }

    /// Reads a condition that must be true.
    pub(crate) fn expect(text: &str) -> Result<Gate, GrammarError> {
        Gate::read(text, Check::Expect)
    }

    fn read(text: &str, check: Check) -> Result<Gate, GrammarError> {
        let comparison = Comparison::read(text, &subjects(), &a_subject())?;
        Ok(Gate { comparison, check })
    }

    /// Judges a run.
    pub(crate) fn judge(&self, report: &Report) -> Judgement {
        let found = self.measure(report).ok_or(Missing::NoSamples);
        self.comparison.judge(self.check, found).into()
    }

    /// The figure, and its text.
    fn measure(&self, report: &Report) -> Option<(f64, String)> {
        let (name, view) = (self.comparison.name(), self.comparison.view());
        if name == RATE {
            let has_sample = report.accounting.measured.accepted > 0 && report.measured_s > 0.0;
            return has_sample.then(|| (report.rate, format!("{:.1}/s", report.rate)));
        }
        let account = &report.accounting.measured;
        if name == LATE {
            return share(report.generator.late, account.owed(), view);
        }
        if let Some(count) = count(name) {
            return share(count(account), account.owed(), view);
        }
        if let Some((_, count)) = HANDSHAKES.iter().find(|(known, _)| *known == name) {
            let handshakes = &report.sessions.handshakes;
            return share(count(handshakes), handshakes.total(), view);
        }
        let distribution = distribution(report, name);
        if view == View::Samples {
            let count = distribution.map_or(0, Distribution::count);
            return Some((count as f64, count.to_string()));
        }
        measured(distribution?, view)
    }

    /// Whether a step passes the gate. `None` for gates of a whole run: on other latencies than the message's, on the
    /// rate, on handshakes, and on numbers of messages.
    pub(crate) fn is_passed_by(&self, step: &StepRow) -> Option<bool> {
        let (name, view) = (self.comparison.name(), self.comparison.view());
        let (latency, outcome) = name.split_once('.').unwrap_or((name, "ok"));
        let figure = if latency == "message" && view != View::Samples {
            let split = &step.message;
            measured(if outcome == "failed" { &split.failed } else { &split.ok }, view)
        } else {
            let count = count(name).filter(|_| name != ACCEPTED)?;
            share(count(&step.accounting), step.accounting.owed(), view)
        };
        Some(self.comparison.judge(self.check, figure.ok_or(Missing::NoSamples)).kept)
    }
}

fn count(name: &str) -> Option<Count> {
    COUNTS.iter().find(|(known, _)| *known == name).map(|(_, count)| *count)
}

/// A view of a latency, in microseconds, and its text.
fn measured(distribution: &Distribution, view: View) -> Option<(f64, String)> {
    let nanoseconds = latency(distribution, view)?;
    Some((nanoseconds / 1e3, show_ns(nanoseconds as u64)))
}

/// A number of parts (messages of those owed, or TLS handshakes of all), or its percentage of the whole.
fn share(number: u64, whole: u64, view: View) -> Option<(f64, String)> {
    if whole == 0 {
        return None;
    }
    let percentage = number as f64 * 100.0 / whole as f64;
    let figure = if view == View::Percentage { percentage } else { number as f64 };
    Some((figure, format!("{number} of {whole}, {percentage:.3}%")))
}

/// Of the samples that succeeded, unless the name has `.failed`.
fn distribution<'r>(report: &'r Report, name: &str) -> Option<&'r Distribution> {
    let (name, outcome) = name.split_once('.').unwrap_or((name, "ok"));
    if name == "lag" {
        return Some(&report.generator.lag);
    }
    let (_, split) = report.latency.named().into_iter().find(|(known, _)| *known == name)?;
    Some(if outcome == "failed" { &split.failed } else { &split.ok })
}

/// A view of a latency, in nanoseconds.
fn latency(distribution: &Distribution, view: View) -> Option<f64> {
    match view {
        View::Quantile(share) => distribution.at(share).map(|value| value as f64),
        View::Mean => distribution.mean(),
        View::Max => distribution.max().map(|value| value as f64),
        // The others belong to counts and rates, and are refused when a gate is read.
        View::Min | View::Itself | View::Percentage | View::Rate | View::Samples => {
            distribution.min().map(|value| value as f64)
        }
    }
}

#[cfg(test)]
mod tests;
