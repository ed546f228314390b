//! An agent as its coordinator knows it, and what it has reported.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::EXCHANGES;
use crate::account::accounting::Accounting;
use crate::fleet::offset::Offset;
use crate::fleet::protocol::{Second, State};
use crate::measure::interval::Interval;
use crate::measure::metrics::{add, histogram};
use crate::report::Report;
use crate::report::series::Series;
use crate::report::stopped::Stopped;

/// Whether an agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Presence {
    There,
    Late,
    Lost,
}

/// What an agent has reported second by second.
#[derive(Debug)]
pub(crate) struct Reported {
    /// How many seconds.
    pub(crate) seconds: u64,
    pub(crate) until: Duration,
    pub(crate) measured: Accounting,
    pub(crate) warmup: Accounting,
    /// Of accepted messages, without the seconds that are part of the warm-up.
    pub(crate) latency: Histogram<u64>,
    pub(crate) rows: Series,
}

impl Reported {
    pub(crate) fn new() -> Reported {
        Reported {
            seconds: 0,
            until: Duration::ZERO,
            measured: Accounting::default(),
            warmup: Accounting::default(),
            latency: histogram(),
            rows: Series::new(),
        }
    }

    pub(super) fn note(&mut self, second: &Second, interval: &Interval, warmup: Duration) {
        if self.until >= warmup {
            add(&mut self.latency, &interval.latency);
        }
        self.seconds += 1;
        self.until = self.until.saturating_add(interval.length);
        self.measured.clone_from(&second.measured);
        self.warmup.clone_from(&second.warmup);
        self.rows.push(interval.clone().into());
    }
}

/// An agent.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) id: String,
    pub(super) nonce: u64,
    pub(crate) name: String,
    /// The part of the run.
    pub(crate) part: u64,
    /// When its last request came.
    pub(crate) heard: Duration,
    /// [`State::Ended`] has the report of its part.
    pub(crate) state: State,
    pub(crate) clock: Option<Offset>,
    pub(crate) presence: Presence,
    /// When it was heard again after it was late or lost, until that is known to be more than old requests.
    pub(super) heard_again: Option<Duration>,
    /// Why it has ended its run early.
    pub(crate) stopped: Option<Stopped>,
    /// The signal that the coordinator received, if it is excused by that: a signal has ended its run as well, or that of
    /// another whose loss would have stopped it.
    pub(crate) coordinator_signal: Option<String>,
    /// Whether a reply to it had the start: only then it may have sent anything.
    pub(crate) has_start: bool,
    /// When its last second came, or later something of a long request, which may be its report.
    pub(super) owes_report: Option<Duration>,
    /// That did not come in time. It may still.
    pub(crate) is_overdue: bool,
    pub(crate) reported: Reported,
}

impl Member {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Armed(_)) && self.clock.is_some_and(|clock| clock.exchanges >= EXCHANGES)
    }

    /// Whether its part is complete, or may still be.
    pub(crate) fn is_working(&self) -> bool {
        self.presence == Presence::There
            && self.heard_again.is_none()
            && !self.is_overdue
            && self.stopped.is_none()
            && !matches!(self.state, State::Failed(_) | State::Left(_) | State::Broken(_))
    }

    /// Whether the report of its part has come.
    pub(super) fn has_report(&self) -> bool {
        matches!(self.state, State::Ended(Some(_)))
    }

    /// Takes the report of its part.
    pub(crate) fn take_report(&mut self) -> Option<Box<Report>> {
        match &mut self.state {
            State::Ended(report) => report.take(),
            _ => None,
        }
    }

    /// Whether it has reported its end.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_) | State::Failed(_) | State::Left(_) | State::Broken(_))
    }

    /// Whether nothing more is expected of it.
    pub(super) fn is_settled(&self) -> bool {
        self.presence == Presence::Lost || self.is_overdue || self.has_ended()
    }
}
