//! No count exceeds what all readers of JSON read exactly. A larger one, in a report or a sum, is an error with its
//! name, so that no sum wraps.

use std::fmt;

use smtpmock::units::EXACT_IN_JSON;

use crate::account::accounting::Accounting;
use crate::report::verification::Verification;
use crate::report::{Generator, HandshakeCounts, IntervalRow, Report, SessionCounts};

/// A count beyond what a report holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge {
    /// Its place in the report.
    name: String,
    limit: u64,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooLarge { name, limit } = self;
        if *limit == EXACT_IN_JSON {
            return write!(f, "{name} is larger than {limit} (2^53), the largest count that a report holds");
        }
        write!(f, "{name} is larger than {limit}, the largest count of one part: the sum would exceed 2^53")
    }
}

impl std::error::Error for TooLarge {}

/// Checks every count; the error names the first that is too large.
pub(crate) fn check(report: &Report) -> Result<(), TooLarge> {
    check_within(report, EXACT_IN_JSON)
}

/// The same with a lower limit.
pub(crate) fn check_within(report: &Report, limit: u64) -> Result<(), TooLarge> {
    let mut found = Checker { limit, result: Ok(()) };
    let accounts = &report.accounting;
    accounting("accounting.measured", &accounts.measured, &mut found);
    accounting("accounting.warmup", &accounts.warmup, &mut found);
    sessions(&report.sessions, &mut found);
    for one in &report.addresses {
        found.see_with(|| format!("addresses, dialed of {}", one.address), one.dialed);
        found.see_with(|| format!("addresses, connected of {}", one.address), one.connected);
        found.see_with(|| format!("addresses, ungreeted of {}", one.address), one.ungreeted);
    }
    for one in &report.targets {
        accounting(&format!("targets, accounting of {}", one.target), &one.accounting, &mut found);
        found.see_with(|| format!("targets, established of {}", one.target), one.established);
        for (outcome, distribution) in [("ok", &one.message.ok), ("failed", &one.message.failed)] {
            found.see_with(
                || format!("targets, message.{outcome}.count of {}", one.target),
                distribution.count(),
            );
        }
    }
    generator(&report.generator, &mut found);
    let settings = &report.settings;
    found.see("settings.count", settings.count.unwrap_or(0));
    found.see("settings.threads", settings.threads as u64);
    found.see("settings.shape.connections", settings.shape.connections as u64);
    for (index, span) in report.spans.iter().enumerate() {
        found.see_with(|| format!("spans.{index}.most_open"), span.most_open);
    }
    if let Some(verification) = &report.verification {
        verified(verification, &mut found);
    }
    if let Some(sinks) = &report.sinks {
        sinks
            .reports
            .iter()
            .for_each(|row| found.see_with(|| format!("sinks, received by {}", row.url), row.received));
    }
    for (name, split) in report.latency.named() {
        for (outcome, distribution) in [("ok", &split.ok), ("failed", &split.failed)] {
            found.see_with(|| format!("latency.{name}.{outcome}.count"), distribution.count());
        }
    }
    for (index, step) in report.steps.iter().enumerate() {
        accounting(&format!("steps.{index}.accounting"), &step.accounting, &mut found);
        found.see_with(|| format!("steps.{index}.accepted_meanwhile"), step.accepted_meanwhile);
        for (outcome, distribution) in [("ok", &step.message.ok), ("failed", &step.message.failed)] {
            found.see_with(|| format!("steps.{index}.message.{outcome}.count"), distribution.count());
        }
    }
    report.intervals.iter().for_each(|row| interval(row, &mut found));
    found.result
}

/// Checks the counts of an account.
#[cfg(feature = "fleet")]
pub(crate) fn check_account(place: &str, of: &Accounting) -> Result<(), TooLarge> {
    let mut found = Checker { limit: EXACT_IN_JSON, result: Ok(()) };
    accounting(place, of, &mut found);
    found.result
}

fn sessions(of: &SessionCounts, found: &mut Checker) {
    let SessionCounts {
        dialed,
        established,
        ended_idle,
        protocol_errors,
        handshakes: HandshakeCounts { full, resumed, failed, tls_1_2, tls_1_3 },
        without_starttls,
        starttls_refused,
        ref authenticated,
        ref auth_refused,
        without_ehlo,
        without_pipelining,
        without_chunking,
        without_dsn,
        most_open,
    } = *of;
    found.see("sessions.dialed", dialed);
    found.see("sessions.established", established);
    found.see("sessions.ended_idle", ended_idle);
    found.see("sessions.protocol_errors", protocol_errors);
    found.see("sessions.handshakes.full", full);
    found.see("sessions.handshakes.resumed", resumed);
    found.see("sessions.handshakes.failed", failed);
    found.see("sessions.handshakes.tls_1_2", tls_1_2);
    found.see("sessions.handshakes.tls_1_3", tls_1_3);
    found.see("sessions.without_starttls", without_starttls);
    found.see("sessions.starttls_refused", starttls_refused);
    for (mechanism, count) in authenticated {
        found.see_with(|| format!("sessions.authenticated.{mechanism}"), *count);
    }
    for (mechanism, count) in auth_refused {
        found.see_with(|| format!("sessions.auth_refused.{mechanism}"), *count);
    }
    found.see("sessions.without_ehlo", without_ehlo);
    found.see("sessions.without_pipelining", without_pipelining);
    found.see("sessions.without_chunking", without_chunking);
    found.see("sessions.without_dsn", without_dsn);
    found.see("sessions.most_open", most_open);
}

fn generator(of: &Generator, found: &mut Checker) {
    let Generator {
        late,
        late_unsent,
        stalled_s,
        starved_intervals,
        judged_intervals,
        cpu_s,
        cpu_wait_s,
        lag,
        ..
    } = of;
    for (name, seconds) in
        [("stood_still_s", Some(stalled_s)), ("cpu_s", cpu_s.as_ref()), ("cpu_wait_s", cpu_wait_s.as_ref())]
    {
        found.see_with(|| format!("generator.{name}"), seconds.map_or(0, |seconds| seconds.ceil() as u64));
    }
    found.see("generator.late", *late);
    found.see("generator.late_unsent", *late_unsent);
    found.see("generator.starved_intervals", *starved_intervals);
    found.see("generator.judged_intervals", *judged_intervals);
    found.see("generator.lag.count", lag.count());
}

fn verified(of: &Verification, found: &mut Checker) {
    let mut see = |name: &str, count: u64| found.see_with(|| format!("verification.{name}"), count);
    see("captured", of.captured);
    see("intact", of.intact);
    see("lost", of.lost.count);
    see("duplicated", of.duplicated.count);
    see("altered", of.altered.count);
    see("unexpected", of.unexpected.count);
    see("never_sent", of.never_sent.count);
    see("in_doubt", of.in_doubt);
    see("of_other_parts", of.of_other_parts);
    see("foreign", of.foreign);
    see("unreadable_lines", of.unreadable_lines);
}

fn accounting(place: &str, of: &Accounting, found: &mut Checker) {
    let mut see = |name: &str, count: u64| found.see_with(|| format!("{place}.{name}"), count);
    see("started", of.started);
    see("accepted", of.accepted);
    see("refused_4xx", of.refused_class(4));
    see("refused_5xx", of.refused_class(5));
    see("aborted", of.aborted_total());
    see("timed_out", of.timed_out_total());
    see("in_flight", of.in_flight);
    see("in_doubt", of.in_doubt);
    see("unsent", of.unsent);
    see("recipients_accepted", of.recipients_accepted);
    see("recipients_refused", of.recipients_refused_total());
}

fn interval(row: &IntervalRow, found: &mut Checker) {
    let IntervalRow { at_s, started, accepted, errors, in_flight, latency, .. } = row;
    let mut see = |name: &str, count: u64| found.see_with(|| format!("intervals, {name} at {at_s} s"), count);
    see("started", *started);
    see("accepted", *accepted);
    see("errors", *errors);
    see("in_flight", *in_flight);
    see("latency", latency.count());
}

struct Checker {
    limit: u64,
    result: Result<(), TooLarge>,
}

impl Checker {
    fn see(&mut self, name: &str, count: u64) {
        self.see_with(|| name.to_owned(), count);
    }

    /// Names are built only for errors.
    fn see_with(&mut self, name: impl FnOnce() -> String, count: u64) {
        if count > self.limit && self.result.is_ok() {
            self.result = Err(TooLarge { name: name(), limit: self.limit });
        }
    }
}
