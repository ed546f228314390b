//! The list itself: name, unit, where it is kept, and what it says.

use std::collections::BTreeMap;

use super::{Figure, Metric, Unit};
use crate::smtp::Stage;
use crate::stats::{Durations, Numbers, Peak, StageStats, Stats};

/// Where a figure is kept, to be filled from a file.
#[cfg(feature = "report")]
#[derive(Debug)]
pub(crate) enum Slot<'s> {
    /// A count.
    Count(&'s mut u64),
    /// A count of which sums keep the highest.
    Peak(&'s mut Peak),
    /// A count that is not told everywhere.
    Told(&'s mut Option<u64>),
    /// Durations.
    Durations(&'s mut Durations),
    /// Numbers.
    Numbers(&'s mut Numbers),
    /// Nowhere: it follows from others.
    Derived,
}

/// What can be a figure.
trait Kept {
    fn metric(&self) -> Option<Metric<'_>>;

    #[cfg(feature = "report")]
    fn slot(&mut self) -> Slot<'_>;
}

/// Says of a type how it is read and where it is kept.
macro_rules! kept {
    ($type:ty, $slot:ident, $this:ident => $metric:expr) => {
        impl Kept for $type {
            fn metric(&self) -> Option<Metric<'_>> {
                let $this = self;
                $metric
            }

            #[cfg(feature = "report")]
            fn slot(&mut self) -> Slot<'_> {
                Slot::$slot(self)
            }
        }
    };
}

kept!(u64, Count, this => Some(Metric::Count(*this)));
kept!(Peak, Peak, this => Some(Metric::Count(this.get())));
kept!(Option<u64>, Told, this => this.map(Metric::Count));
kept!(Durations, Durations, this => Some(Metric::Durations(this)));
kept!(Numbers, Numbers, this => Some(Metric::Numbers(this)));

/// A line of the list; of a stage, its name is the part in front of the stage's.
struct Line<T: 'static> {
    name: &'static str,
    unit: Unit,
    meaning: &'static str,
    metric: fn(&T) -> Option<Metric<'_>>,
    #[cfg(feature = "report")]
    slot: fn(&mut T) -> Slot<'_>,
}

impl<T> Line<T> {
    fn figure<'s>(&self, name: String, of: &'s T) -> Figure<'s> {
        Figure { name, unit: self.unit, meaning: self.meaning, value: (self.metric)(of) }
    }
}

/// A figure that is kept in a field.
macro_rules! line {
    ($name:literal, $unit:ident, $($field:ident).+, $meaning:literal) => {
        Line {
            name: $name,
            unit: Unit::$unit,
            meaning: $meaning,
            metric: |of| of.$($field).+.metric(),
            #[cfg(feature = "report")]
            slot: |of| of.$($field).+.slot(),
        }
    };
}

/// A count that follows from others.
macro_rules! derived {
    ($name:literal, $of:ident => $count:expr, $meaning:literal) => {
        Line {
            name: $name,
            unit: Unit::Number,
            meaning: $meaning,
            metric: |$of| Some(Metric::Count($count)),
            #[cfg(feature = "report")]
            slot: |_| Slot::Derived,
        }
    };
}

static PLAIN: &[Line<Stats>] = &[
    line!("sessions", Number, sessions.opened, "connections accepted"),
    line!(
        "sessions.left_before_greeting",
        Number,
        sessions.left_before_greeting,
        "closed by the client while it waited to be accepted"
    ),
    line!("sessions.refused", Number, sessions.refused, "greeted with 4yz or 5yz, or closed instead"),
    derived!("sessions.open", stats => stats.sessions_open(), "sessions that are open"),
    line!("sessions.closed", Number, sessions.closed, "sessions that are over"),
    line!("sessions.peak", Number, sessions.peak, "most served at a time, refused ones left out"),
    line!("sessions.silent", Number, sessions.silent, "welcomed, and sent nothing"),
    line!("sessions.quit", Number, sessions.quit, "ended by QUIT"),
    line!("sessions.left", Number, sessions.left, "closed by the client without QUIT, owed no reply"),
    line!("sessions.gave_up", Number, sessions.gave_up, "closed by the client while it was owed a reply"),
    line!("sessions.timed_out", Number, sessions.timed_out, "ended by the session timeout"),
    line!("sessions.dismissed", Number, sessions.dismissed, "ended by a rule, a limit, fail_fast, or a 421"),
    line!("sessions.stopped", Number, sessions.stopped, "ended by a stop of the server"),
    line!("sessions.resets", Number, sessions.resets, "connections reset by the client"),
    line!("sessions.not_reused", Number, sessions.not_reused, "ended by the client after one message"),
    line!("sessions.went_on_after_421", Number, sessions.went_on_after_421, "the client went on after a 421"),
    line!(
        "sessions.went_on_after_refusal",
        Number,
        sessions.went_on_after_refusal,
        "the client went on after a greeting that refused it"
    ),
    line!("sessions.early_talkers", Number, sessions.early_talkers, "the client sent before it was greeted"),
    line!("session.duration", Microseconds, sessions.duration, "from accept to close"),
    line!("session.messages", Number, sessions.messages, "messages accepted in a session"),
    line!("session.commands", Number, sessions.commands, "commands in a session"),
    line!("session.first_mail", Microseconds, sessions.first_mail, "from accept to the first MAIL"),
    line!("session.inter_arrival", Microseconds, sessions.inter_arrival, "between two connections"),
    derived!("transactions", stats => stats.transactions(), "mail transactions started, one by each MAIL"),
    derived!("transactions.open", stats => stats.transactions_open(), "mail transactions that are open"),
    line!("messages", Number, messages.accepted, "messages accepted, by a reply that was written whole"),
    line!("messages.refused", Number, messages.refused, "mail transactions that ended with a refusal"),
    line!("messages.aborted", Number, messages.aborted, "mail transactions that ended undecided"),
    line!(
        "messages.broken_off",
        Number,
        messages.broken_off,
        "closed by the client in the middle of the data"
    ),
    line!("messages.bytes", Octets, messages.bytes, "octets of accepted message texts"),
    line!("messages.inspected", Number, messages.inspected, "messages whose lines were looked at"),
    line!("messages.with_bare_lf", Number, messages.with_bare_lf, "those with a LF that follows no CR"),
    line!("messages.with_long_lines", Number, messages.with_long_lines, "those with a line over 998 octets"),
    line!("message.recipients", Number, messages.recipients, "RCPTs accepted for a message"),
    line!("data.time", Microseconds, messages.data_time, "from the 354 to the final dot"),
    line!("data.rate", OctetsPerSecond, messages.data_rate, "octets a second in that time"),
    line!(
        "data.longest_gap",
        Microseconds,
        messages.longest_gap,
        "longest time between two reads of a message"
    ),
    line!("pipelining.groups", Number, pipelining.groups, "commands sent together, two or more"),
    line!("retries.deferred", Number, retries.deferred, "recipients put off with a 4yz reply"),
    line!("retries.retried", Number, retries.retried, "those that were tried again"),
    line!("retries.ambiguous", Number, retries.ambiguous, "tries that may have been of another message"),
    line!("retries.forgotten", Number, retries.forgotten, "those forgotten for want of room"),
    line!("retries.after", Microseconds, retries.after, "from the 4yz reply to the next try"),
    line!("retries.identified", Microseconds, retries.identified, "those known to be of the same message"),
    line!("delay.told", Microseconds, delays.told, "delays of replies, as configured"),
    line!("delay.achieved", Microseconds, delays.achieved, "what came of them"),
    line!("delay.lateness", Microseconds, delays.lateness, "the difference"),
    line!("delay.at_once", Number, delays.at_once, "most delays that were over in one turn of an event loop"),
    line!("delay.early", Number, delays.early, "delays that were shorter than told"),
    line!("loop.turns", Microseconds, health.turns, "turns of the server's event loops"),
    line!(
        "loop.accept_queue_overflows",
        Number,
        health.accept_queue_overflows,
        "dropped by a full accept queue"
    ),
    line!("loop.accept_rests", Number, health.accept_rests, "tries to accept without a descriptor for it"),
    line!("records.evicted", Number, health.records_evicted, "records evicted for want of room"),
    line!("log.dropped", Number, health.log_entries_dropped, "log entries dropped"),
];

/// Of all codes; what a file claims may be more than there is room for.
fn total(by_code: &BTreeMap<u16, u64>) -> u64 {
    by_code.values().fold(0, |sum, count| sum.saturating_add(*count))
}

static OF_STAGES: &[Line<StageStats>] = &[
    line!("count", Number, count, "commands, greetings or messages"),
    derived!("refused", stage => total(&stage.refused), "answered with a 4yz or 5yz reply"),
    derived!(
        "messages.refused",
        stage => total(&stage.transactions_refused),
        "mail transactions that ended with a refusal at this stage"
    ),
    line!("think", Microseconds, think, "from our reply to this command of the client"),
    line!("service", Microseconds, service, "from this command to our reply, injected delay taken off"),
    line!("gave_up", Microseconds, gave_up, "waited for the reply to this, then closed the connection"),
    line!("left", Microseconds, left, "closed without QUIT so long after the reply to this"),
];

/// Every figure, in the order of reports.
pub(super) fn all(stats: &Stats) -> Vec<Figure<'_>> {
    let plain = PLAIN.iter().map(|line| line.figure(line.name.to_owned(), stats));
    let staged = OF_STAGES.iter().flat_map(|line| {
        let of_stage = move |(stage, own)| line.figure(name_of(line.name, stage), own);
        stats.stages.iter().map(of_stage)
    });
    plain.chain(staged).collect()
}

fn name_of(name: &str, stage: Stage) -> String {
    format!("{name}.{}", stage.name())
}

/// Where the figure of this name is kept.
#[cfg(feature = "report")]
pub(super) fn slot<'s>(stats: &'s mut Stats, name: &str) -> Option<Slot<'s>> {
    if let Some(line) = PLAIN.iter().find(|line| line.name == name) {
        return Some((line.slot)(stats));
    }
    let (name, stage) = name.rsplit_once('.')?;
    let line = OF_STAGES.iter().find(|line| line.name == name)?;
    let stage = Stage::ALL.iter().copied().find(|one| one.name() == stage)?;
    Some((line.slot)(&mut stats.stages[stage]))
}
