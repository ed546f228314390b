//! Merges the reports of several machines.

use std::fmt;

use crate::account::accounting::add as add_count;
use crate::report::parts::{self, PartsError};
use crate::report::pieces::Pieces;
use crate::report::series::Series;
use crate::report::sinks::{Sinks, merge_delivered};
use crate::report::sound::{self, Unsound};
use crate::report::span::Span;
use crate::report::{AddressCounts, Latency, RefusalText, Report, Shape, plans, steps, targets};

/// Runs whose starts are at most this far apart went through the same steps together.
const PARALLEL_S: f64 = 1.0;

/// Why reports can't be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MergeError {
    NoReport,
    /// A run or a part is in two of them, or parts do not fit.
    Parts(PartsError),
    /// One loop is closed and the other open.
    Loops(String, String),
    /// Messages of other sizes, with another number of recipients, or over another protocol.
    Messages,
    /// The sum is not one that could be read again: too large, or of runs that are too far apart.
    Unsound(Unsound),
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::NoReport => f.write_str("there is no report to merge"),
            MergeError::Parts(error) => error.fmt(f),
            MergeError::Loops(one, other) => {
                write!(f, "`{one}` and `{other}` cannot be merged: one loop is closed, the other open")
            }
            MergeError::Messages => f.write_str(
                "the runs sent different messages (size, number of recipients, SMTP or LMTP); merge runs of one kind",
            ),
            MergeError::Unsound(Unsound::TooLarge(error)) => write!(f, "the sum is too large: {error}"),
            MergeError::Unsound(error) => write!(f, "the sum can't be a report: {error}"),
        }
    }
}

impl std::error::Error for MergeError {}

/// Merges reports; the first determines the target and the kind of load. The report of a part replaces what its lost agent
/// has reported of it.
pub(crate) fn merge(reports: Vec<Report>) -> Result<Report, MergeError> {
    let sinks = Sinks::gathered(&reports);
    let (whole, partial) = Pieces::of(reports);
    let mut sum = Sum::default();
    whole.into_iter().try_for_each(|report| sum.add(report))?;
    partial.into_iter().try_for_each(|report| sum.add_partial(report))?;
    let mut report = sum.end()?;
    report.sinks = sinks.map(|sinks| sinks.compared(&report));
    Ok(report)
}

/// The sum of reports: first of whole ones, then of what lost agents have reported.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    report: Option<Report>,
    pieces: Option<Pieces>,
}

impl Sum {
    /// Adds a report.
    ///
    /// # Errors
    /// It can't be added. The sum is unchanged, unless a count is too large or the runs are too far apart.
    pub(crate) fn add(&mut self, mut other: Report) -> Result<(), MergeError> {
        let Some(whole) = &mut self.report else {
            other.plans = plans::of(&other);
            other.gates.clear();
            other.baseline.clear();
            other.sinks = None;
            self.report = Some(other);
            return Ok(());
        };
        let is_same_run = check(whole, &other)?;
        whole.verification = match (is_same_run, whole.verification.take(), other.verification.take()) {
            (true, Some(mut mine), Some(theirs)) => {
                mine.add_part(theirs);
                Some(mine)
            }
            _ => None,
        };
        add(whole, other, is_same_run);
        sound::check(whole).map_err(MergeError::Unsound)
    }

    /// Adds what a lost agent has reported; no whole report follows.
    ///
    /// # Errors
    /// As with a whole report.
    pub(crate) fn add_partial(&mut self, other: Report) -> Result<(), MergeError> {
        let whole = &self.report;
        let pieces = self
            .pieces
            .get_or_insert_with(|| Pieces { whole: whole.clone().map(finished), partial: Vec::new() });
        pieces.partial.push(other.clone());
        self.add(other)
    }

    /// The report.
    ///
    /// # Errors
    /// Nothing was added.
    pub(crate) fn end(self) -> Result<Report, MergeError> {
        let mut whole = self.report.map(finished).ok_or(MergeError::NoReport)?;
        whole.pieces = self.pieces.map(Box::new);
        Ok(whole)
    }
}

/// A sum with what follows from all of it. The order of the reports is not seen in it, where it has no meaning.
fn finished(mut whole: Report) -> Report {
    whole.verification = whole.verification.filter(|_| whole.parts.iter().any(|part| part.of > 1));
    whole.parts.sort_by(|a, b| (&a.run, a.index).cmp(&(&b.run, b.index)));
    whole.spans.sort_by(Span::in_order);
    whole.missing = parts::missing(&whole.parts);
    if whole.settings.runs.len() == 1 {
        whole.delivered_by_run.clear();
        whole.agents.sort_by_key(|agent| agent.part);
    }
    whole
}

/// Refuses the same run or part twice, and runs of different messages: their sum would be false. Returns whether the
/// other is a part of a run of the whole.
fn check(whole: &Report, other: &Report) -> Result<bool, MergeError> {
    let is_same_run = parts::continues(whole, other).map_err(MergeError::Parts)?;
    check_kind(&whole.settings.shape, &other.settings.shape)?;
    Ok(is_same_run)
}

/// Refuses runs of different messages.
pub(crate) fn check_kind(a: &Shape, b: &Shape) -> Result<(), MergeError> {
    if (a.load == "closed") != (b.load == "closed") {
        return Err(MergeError::Loops(a.load.clone(), b.load.clone()));
    }
    if a.message != b.message || a.rcpts != b.rcpts || a.protocol != b.protocol {
        return Err(MergeError::Messages);
    }
    Ok(())
}

/// The second of the clock at which the rows of a report begin. Rounded before a difference is taken: so the order in which
/// reports are merged is not seen in the sum.
fn whole_seconds(at_ms: u64) -> f64 {
    (at_ms as f64 / 1e3).round()
}

fn add(whole: &mut Report, mut other: Report, is_same_run: bool) {
    whole.targets = targets::merge(whole, &other);
    let shift_s = (other.started_at_ms as f64 - whole.started_at_ms as f64) / 1e3;
    let (my_shift, their_shift) = ((-shift_s).max(0.0), shift_s.max(0.0));
    let mine = std::mem::take(&mut whole.spans).into_iter().map(|span| span.later_by(my_shift));
    whole.spans = mine.chain(other.spans.iter().cloned().map(|span| span.later_by(their_shift))).collect();
    let (mine, theirs) = (std::mem::take(&mut whole.intervals), std::mem::take(&mut other.intervals));
    let shift = whole_seconds(other.started_at_ms) - whole_seconds(whole.started_at_ms);
    whole.intervals =
        Series::of(mine).merged((-shift).max(0.0), Series::of(theirs), shift.max(0.0)).into_rows();
    let are_parallel = shift_s.abs() < PARALLEL_S;
    let mine = std::mem::take(&mut whole.steps);
    whole.steps = match is_same_run {
        true => steps::merge_parts(mine, &other.steps),
        false => steps::merge(mine, &other.steps, are_parallel),
    };
    whole.steps_whole_until_s =
        [whole.steps_whole_until_s, other.steps_whole_until_s].into_iter().flatten().reduce(f64::min);
    whole.knee = None;
    whole.delivered_by_run = merge_delivered(whole, &other);
    whole.started_at_ms = whole.started_at_ms.min(other.started_at_ms);
    whole.ended_at_ms = whole.ended_at_ms.max(other.ended_at_ms);
    whole.interrupted |= other.interrupted;
    whole.gave_up = whole.gave_up.take().or(other.gave_up.take());
    merge_settings(whole, &other, is_same_run);
    plans::merge(&mut whole.plans, plans::of(&other));
    whole.parts.append(&mut other.parts);
    whole.agents.append(&mut other.agents);
    whole.delivered = whole.delivered.zip(other.delivered).map(|(mine, _)| mine);
    merge_generator(whole, &other);
    whole.machines.extend(other.machines);
    let (mine, theirs) = (&mut whole.sessions, &other.sessions);
    add_count(&mut mine.dialed, theirs.dialed);
    add_count(&mut mine.established, theirs.established);
    add_count(&mut mine.ended_idle, theirs.ended_idle);
    add_count(&mut mine.protocol_errors, theirs.protocol_errors);
    add_count(&mut mine.handshakes.full, theirs.handshakes.full);
    add_count(&mut mine.handshakes.resumed, theirs.handshakes.resumed);
    add_count(&mut mine.handshakes.failed, theirs.handshakes.failed);
    add_count(&mut mine.handshakes.tls_1_2, theirs.handshakes.tls_1_2);
    add_count(&mut mine.handshakes.tls_1_3, theirs.handshakes.tls_1_3);
    add_count(&mut mine.without_starttls, theirs.without_starttls);
    add_count(&mut mine.starttls_refused, theirs.starttls_refused);
    for (into, from) in
        [(&mut mine.authenticated, &theirs.authenticated), (&mut mine.auth_refused, &theirs.auth_refused)]
    {
        for (mechanism, count) in from {
            add_count(into.entry(mechanism.clone()).or_default(), *count);
        }
    }
    add_count(&mut mine.without_ehlo, theirs.without_ehlo);
    add_count(&mut mine.without_pipelining, theirs.without_pipelining);
    add_count(&mut mine.without_chunking, theirs.without_chunking);
    add_count(&mut mine.without_dsn, theirs.without_dsn);
    merge_addresses(&mut whole.addresses, other.addresses);
    for theirs in other.refusal_texts {
        let is_known = |mine: &RefusalText| (mine.phase, mine.code) == (theirs.phase, theirs.code);
        if !whole.refusal_texts.iter().any(is_known) {
            whole.refusal_texts.push(theirs);
        }
    }
    whole.accounting.measured.merge(&other.accounting.measured);
    whole.accounting.warmup.merge(&other.accounting.warmup);
    whole.derive();
    merge_latency(&mut whole.latency, &other.latency);
}

fn merge_settings(whole: &mut Report, other: &Report, is_same_run: bool) {
    let (mine, theirs) = (&mut whole.settings, &other.settings);
    if mine.shape.load != "closed" && !is_same_run {
        mine.shape.load = format!("{} + {}", mine.shape.load, theirs.shape.load);
    }
    for target in theirs.target.split(", ") {
        if !mine.target.split(", ").any(|one| one == target) {
            mine.target = format!("{}, {target}", mine.target);
        }
    }
    mine.shape.connections = mine.shape.connections.saturating_add(theirs.shape.connections);
    mine.threads = mine.threads.saturating_add(theirs.threads);
    mine.count = mine.count.zip(theirs.count).map(|(a, b)| a.saturating_add(b));
    for run in &theirs.runs {
        if !mine.runs.contains(run) {
            mine.runs.push(run.clone());
        }
    }
    mine.sources.extend(theirs.sources.iter().cloned());
}

fn merge_addresses(mine: &mut Vec<AddressCounts>, theirs: Vec<AddressCounts>) {
    for other in theirs {
        match mine.iter_mut().find(|one| one.address == other.address) {
            None => mine.push(other),
            Some(one) => {
                add_count(&mut one.dialed, other.dialed);
                add_count(&mut one.connected, other.connected);
                add_count(&mut one.ungreeted, other.ungreeted);
                one.last_failure = one.last_failure.take().or(other.last_failure);
            }
        }
    }
}

fn merge_generator(whole: &mut Report, other: &Report) {
    // A lost agent has no machine in its report, and no figures of its generator.
    if other.machines.is_empty() {
        return;
    }
    if whole.machines.is_empty() {
        whole.generator = other.generator.clone();
        return;
    }
    let (mine, theirs) = (&mut whole.generator, &other.generator);
    mine.saturated |= theirs.saturated;
    mine.cpu_bound |= theirs.cpu_bound;
    add_count(&mut mine.late, theirs.late);
    add_count(&mut mine.late_unsent, theirs.late_unsent);
    mine.stalled_s += theirs.stalled_s;
    add_count(&mut mine.starved_intervals, theirs.starved_intervals);
    add_count(&mut mine.judged_intervals, theirs.judged_intervals);
    mine.cpu_s = mine.cpu_s.zip(theirs.cpu_s).map(|(a, b)| a + b);
    mine.cpu_wait_s = mine.cpu_wait_s.zip(theirs.cpu_wait_s).map(|(a, b)| a + b);
    mine.lag.merge(&theirs.lag);
}

fn merge_latency(mine: &mut Latency, theirs: &Latency) {
    let pairs = [
        (&mut mine.connect, &theirs.connect),
        (&mut mine.tls, &theirs.tls),
        (&mut mine.banner, &theirs.banner),
        (&mut mine.ehlo, &theirs.ehlo),
        (&mut mine.auth, &theirs.auth),
        (&mut mine.mail, &theirs.mail),
        (&mut mine.rcpt, &theirs.rcpt),
        (&mut mine.data, &theirs.data),
        (&mut mine.bdat, &theirs.bdat),
        (&mut mine.dot, &theirs.dot),
        (&mut mine.message, &theirs.message),
    ];
    for (into, from) in pairs {
        into.merge(from);
    }
    if let (Some(into), Some(from)) = (&mut mine.uncorrected, &theirs.uncorrected) {
        into.merge(from);
    }
}
