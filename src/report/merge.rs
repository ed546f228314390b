//! Merging of reports.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::read::ReadError;
use super::{Report, Run};
use crate::stats::{Additive, Metric, Numbers, RuleStats, Stats};
use crate::text::units::EXACT_IN_JSON;

/// Adds a report to others. All times are converted to one clock, which starts with the earliest server.
pub(super) fn add(whole: Report<'_>, other: &Report<'_>) -> Result<Report<'static>, ReadError> {
    check_apart(&whole.runs, &other.runs)?;
    let Report { stats, mut runs, .. } = whole;
    let mut stats = stats.into_owned();
    let start = stats.started_at.into_iter().chain(other.stats.started_at).min();
    start_at(&mut stats, start);
    let mut others = other.stats.clone().into_owned();
    start_at(&mut others, start);
    stats.merge(&others);
    stats.sessions_by_shard.extend(&others.sessions_by_shard);
    add_rules(&mut stats.rules, &others.rules);
    runs.extend_from_slice(&other.runs);
    time(&mut stats, &runs);
    check_counts(&stats)?;
    // Verdicts apply to one run only.
    Ok(Report { stats: Cow::Owned(stats), runs, verdicts: Vec::new() })
}

/// Computes the times of merged figures from their runs: beginning and end, counted from the start of the earliest
/// server, and the time in between that belongs to no run.
pub(super) fn time(stats: &mut Stats, runs: &[Run]) {
    let start = runs.iter().filter_map(|run| run.started_at).min();
    let span = |run: &Run| {
        let later = later(run.started_at, start);
        (run.begins.saturating_add(later), run.ends.saturating_add(later))
    };
    let mut spans: Vec<_> = runs.iter().map(span).collect();
    spans.sort_unstable();
    let begins = spans.first().map_or(Duration::ZERO, |(begins, _)| *begins);
    let (mut ends, mut unmeasured) = (begins, Duration::ZERO);
    for (next_begins, next_ends) in spans {
        unmeasured += next_begins.saturating_sub(ends);
        ends = ends.max(next_ends);
    }
    (stats.started_at, stats.begins, stats.ends, stats.unmeasured) = (start, begins, ends, unmeasured);
    stats.open_before = before(runs, |run| run.open_before);
    stats.transactions_before = before(runs, |run| run.transactions_before);
}

/// Checks that no count exceeds the numbers that are exact in all JSON parsers.
pub(super) fn check_counts(stats: &Stats) -> Result<(), ReadError> {
    let figures = stats.figures().into_iter().filter_map(|figure| {
        let count = match figure.value? {
            Metric::Count(count) => count,
            distribution => distribution.as_numbers().map_or(0, Numbers::count),
        };
        Some((format!("metrics.{}", figure.name), count))
    });
    let refused = stats.stages.iter().flat_map(|(stage, own)| {
        let replies = own.refused.iter().map(|count| ("refused", count));
        let transactions = own.transactions_refused.iter().map(|count| ("messages_refused", count));
        let named = move |(name, (code, count)): (_, (&u16, &u64))| {
            (format!("{name}.{}.{code}", stage.name()), *count)
        };
        replies.chain(transactions).map(named)
    });
    let tallies = [
        ("tls_cipher_suites", &stats.tls.cipher_suites),
        ("tls_server_names", &stats.tls.server_names),
        ("tls_accepted_certificates", &stats.tls.accepted_certificates),
        ("tls_alerts", &stats.tls.alerts),
    ];
    let named = tallies
        .into_iter()
        .flat_map(|(field, tally)| tally.iter().map(move |(name, count)| (format!("{field}.{name}"), count)));
    let rules = stats.rules.iter().enumerate().flat_map(|(index, rule)| {
        [("reached", rule.reached), ("fired", rule.fired)]
            .map(|(name, count)| (format!("rules.{index}.{name}"), count))
    });
    let intervals = stats.timeline.intervals().flat_map(|(start, interval)| {
        let of_interval =
            move |(name, count)| (format!("timeline.intervals, {name} at {} s", start.as_secs()), count);
        interval.counts().map(of_interval)
    });
    let before = [("open_before", stats.open_before), ("transactions_before", stats.transactions_before)]
        .map(|(name, count)| (format!("runs, {name}"), count));
    let mut counts =
        before.into_iter().chain(figures).chain(refused).chain(named).chain(rules).chain(intervals);
    match counts.find(|(_, count)| *count > EXACT_IN_JSON) {
        None => Ok(()),
        Some((figure, _)) => Err(ReadError::new(
            figure,
            format!("the sum is larger than {EXACT_IN_JSON} (2^53), the maximum count of a report"),
        )),
    }
}

/// The sum over the first part of each run; the open sessions of later parts are counted in earlier parts.
fn before(runs: &[Run], of: impl Fn(&Run) -> u64) -> u64 {
    let is_after =
        |run: &Run, other: &Run| is_same(run, other) && (other.begins, other.ends) < (run.begins, run.ends);
    let firsts = runs.iter().filter(|run| !runs.iter().any(|other| is_after(run, other)));
    firsts.fold(0, |sum, run| of(run).saturating_add(sum))
}

fn is_same(one: &Run, other: &Run) -> bool {
    one.started_at.is_some() && (one.started_at, one.seed) == (other.started_at, other.seed)
}

fn later(started_at: Option<SystemTime>, start: Option<SystemTime>) -> Duration {
    started_at.zip(start).and_then(|(own, start)| own.duration_since(start).ok()).unwrap_or_default()
}

/// Converts all times to an earlier clock.
fn start_at(stats: &mut Stats, start: Option<SystemTime>) {
    let by = later(stats.started_at, start);
    if !by.is_zero() {
        stats.begins = stats.begins.saturating_add(by);
        stats.ends = stats.ends.saturating_add(by);
        stats.timeline = stats.timeline.shifted(by);
    }
    stats.started_at = start;
}

/// Checks that no time of a run is counted twice; consecutive parts of a run are allowed.
fn check_apart(own: &[Run], others: &[Run]) -> Result<(), ReadError> {
    let pairs = own.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
    for (one, other) in pairs {
        if is_same(one, other) && one.begins < other.ends && other.begins < one.ends {
            let run = super::text::of_run(other);
            return Err(ReadError::new(
                "runs",
                format!("`{run}` was in a report before; give each run once"),
            ));
        }
    }
    Ok(())
}

/// Adds counts of the same rules. Rules are the same if they have the same name, or without a name the same text and
/// position among rules of that text.
fn add_rules(own: &mut Vec<RuleStats>, others: &[RuleStats]) {
    let identities = RuleStats::identities(own).map(|(words, is_id, place)| (words.to_owned(), is_id, place));
    let places: BTreeMap<_, _> = identities.zip(0..).collect();
    for ((words, is_id, place), other) in RuleStats::identities(others).zip(others) {
        match places.get(&(words.to_owned(), is_id, place)) {
            Some(&index) => RuleStats::merge(&mut own[index], other),
            None => own.push(other.clone()),
        }
    }
}
