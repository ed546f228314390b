//! Whether what an agent sends can be true of its run: checked before any of it is used. Pure.
//!
//! A token admits an agent, not its figures: one that is of another build, or broken, must not end the run of the others,
//! nor fill the coordinator's memory or its view. What passes can be added up without overflow, in any order.

use std::fmt;
use std::time::Duration;

use crate::account::accounting::{Accounting, ENHANCED_LIMIT};
use crate::fleet::limits::EARLY_LIMIT;
use crate::fleet::protocol::{
    Hello, NAME_LIMIT, Order, REASON_LIMIT, SECONDS_AT_ONCE, Second, State, Update, VERSION_LIMIT,
};
use crate::measure::interval::{INTERVAL, Interval};
use crate::report::json::{self, ReportError};
use crate::report::parts::PartRow;
use crate::report::{Report, SCHEMA, counts};

/// One part in so many of the elapsed time is added: by less than that, clocks that are set by NTP run differently.
const DRIFT: u32 = 1000;

/// What the coordinator knows of an agent.
#[derive(Debug)]
pub(crate) struct Known<'k> {
    /// Its part of the run.
    pub(crate) order: &'k Order,
    /// The time since the start; `None` without one.
    pub(crate) elapsed: Option<Duration>,
    /// How many seconds it has reported.
    pub(crate) seconds: u64,
    /// What it has counted by the end of them: of measured messages, and of the warm-up.
    pub(crate) counted: [&'k Accounting; 2],
    /// Whether it has reported its part.
    pub(crate) has_report: bool,
}

/// Why something can't be true; displays as the reason.
#[derive(Debug)]
pub(crate) struct Unsound(String);

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn unsound<T>(why: impl Into<String>) -> Result<T, Unsound> {
    Err(Unsound(why.into()))
}

/// Whether a text is one of 1 to `most` octets that stays in its line.
fn is_line(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether an agent may have this name.
pub(crate) fn is_name(text: &str) -> bool {
    is_line(text, NAME_LIMIT)
}

/// Checks how an agent introduces itself.
///
/// # Errors
/// Its name or version is no text of one short line.
pub(crate) fn check_hello(hello: &Hello) -> Result<(), Unsound> {
    if !is_name(&hello.name) {
        return unsound(format!(
            "the name of an agent has 1 to {NAME_LIMIT} octets, without control characters"
        ));
    }
    if !is_line(&hello.version, VERSION_LIMIT) {
        return unsound(format!("a version has 1 to {VERSION_LIMIT} octets, without control characters"));
    }
    Ok(())
}

/// Checks an update. Leaves in it the seconds that the coordinator does not have yet, and returns these as intervals.
///
/// # Errors
/// Something in it can't be true.
pub(crate) fn check(update: &mut Update, known: &Known<'_>) -> Result<Vec<Interval>, Unsound> {
    let failed = match &update.state {
        State::Failed(why) | State::Left(why) | State::Broken(why) => Some(why.clone()),
        State::Waiting | State::Armed(_) | State::Started | State::Ended(_) => None,
    };
    let stopped = update.stopped.as_ref().map(ToString::to_string);
    if failed
        .into_iter()
        .chain(stopped)
        .any(|why| why.len() > REASON_LIMIT || why.chars().any(char::is_control))
    {
        return unsound(format!("a reason has at most {REASON_LIMIT} octets, without control characters"));
    }
    if update.clock.is_some_and(|clock| !clock.is_sound()) {
        return unsound("the clock: an offset is at most 100 years, and known to a minute");
    }
    let uncertainty = update.clock.map_or(0, |clock| clock.uncertainty_ns);
    let intervals = check_seconds(&mut update.seconds, known, Duration::from_nanos(uncertainty))?;
    match &mut update.state {
        State::Ended(None) if !known.has_report => {
            return unsound("the run has ended without the report of its part");
        }
        State::Ended(report) => {
            let checked = report.take().map(|report| check_report(*report, known.order));
            *report = checked.transpose()?.map(Box::new);
        }
        _ => {}
    }
    Ok(intervals)
}

fn check_seconds(
    seconds: &mut Vec<Second>,
    known: &Known<'_>,
    uncertainty: Duration,
) -> Result<Vec<Interval>, Unsound> {
    if seconds.len() > SECONDS_AT_ONCE {
        return unsound(format!("{} seconds in one update; at most {SECONDS_AT_ONCE}", seconds.len()));
    }
    if let Some(pair) = seconds.windows(2).find(|pair| pair[0].index.checked_add(1) != Some(pair[1].index)) {
        return unsound(format!("second {} follows second {}", pair[1].index, pair[0].index));
    }
    seconds.retain(|second| second.index >= known.seconds);
    let Some(first) = seconds.first() else { return Ok(Vec::new()) };
    if first.index > known.seconds {
        return unsound(format!("second {} comes before second {}", first.index, known.seconds));
    }
    let Some(elapsed) = known.elapsed else { return unsound("seconds of a run that has not started") };
    let latest = elapsed + elapsed / DRIFT + uncertainty + EARLY_LIMIT;
    let mut intervals = Vec::new();
    let [mut measured, mut warmup] = known.counted;
    for second in seconds.iter() {
        let index = second.index;
        let fault = |why: String| Unsound(format!("second {index}: {why}"));
        let interval = check_second(second, [measured, warmup], latest).map_err(fault)?;
        (measured, warmup) = (&second.measured, &second.warmup);
        intervals.push(interval);
    }
    Ok(intervals)
}

/// Checks a second that follows one by whose end this was counted.
fn check_second(second: &Second, before: [&Accounting; 2], latest: Duration) -> Result<Interval, String> {
    let length = Duration::from_nanos(second.length_ns);
    if length > INTERVAL {
        return Err("it is longer than a second".to_owned());
    }
    let begin = u32::try_from(second.index).map_or(Duration::MAX, |index| INTERVAL * index);
    if begin.saturating_add(length) > latest {
        return Err("it is not over yet".to_owned());
    }
    let by_now = [&second.measured, &second.warmup];
    for (name, (account, before)) in ["measured", "warmup"].iter().zip(by_now.iter().zip(before)) {
        counts::check_account(name, account).map_err(|error| error.to_string())?;
        if account.refused_enhanced.len() > ENHANCED_LIMIT
            || account.recipients_refused_enhanced.len() > ENHANCED_LIMIT
        {
            return Err(format!("{name} has more than {ENHANCED_LIMIT} enhanced codes"));
        }
        if !account.continues(before) {
            return Err(format!("{name} has counted less than before"));
        }
    }
    let gained = |count: fn(&Accounting) -> u64| -> u64 {
        by_now.iter().zip(before).map(|(now, before)| count(now).saturating_sub(count(before))).sum()
    };
    let interval = second.interval().map_err(|error| error.to_string())?;
    let claimed = [
        ("started", second.started, gained(|account| account.started)),
        ("accepted", second.accepted, gained(|account| account.accepted)),
        ("latency, samples", interval.latency.len(), second.accepted),
    ];
    if let Some((name, claimed, counted)) = claimed.iter().find(|(_, claimed, counted)| claimed != counted) {
        return Err(format!("{name}: {claimed}, where its accounts have {counted} more"));
    }
    let in_flight = by_now.iter().map(|account| account.in_flight).sum::<u64>();
    let errors = gained(|account| account.errors().saturating_sub(account.in_flight));
    // Messages that never end are errors of the last second.
    if second.in_flight > in_flight || second.errors > errors.saturating_add(in_flight) {
        return Err("it has more messages in flight, or errors, than its accounts".to_owned());
    }
    Ok(interval)
}

/// Checks the report of a part as if it were read from a file.
fn check_report(report: Report, order: &Order) -> Result<Report, Unsound> {
    let in_it = |error: ReportError| Unsound(format!("the report: {error}"));
    if report.schema != SCHEMA {
        return Err(in_it(ReportError::OtherSchema(report.schema)));
    }
    let report = json::settle(report).map_err(in_it)?;
    let run = format!("{:08x}", order.run);
    let is_it = |row: &PartRow| row.run == run && (row.index, row.of) == (order.part, order.parts);
    let is_part = matches!(report.parts.as_slice(), [row] if is_it(row));
    if !is_part || report.settings.runs != [run.as_str()] || report.pieces.is_some() {
        return unsound(format!(
            "the report is not that of part {}/{} of run {run}",
            order.part, order.parts
        ));
    }
    Ok(report)
}

mod tests;
