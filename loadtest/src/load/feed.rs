//! The next message of a thread, and when it is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::load::plan::{Load, Plan};
use crate::load::schedule::Schedule;
use crate::time::clock::Moment;

/// A message to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) seq: u64,
    /// The intended start; in a closed loop, the moment at which a session was ready.
    pub(crate) intended: Moment,
}

/// The answer to a request for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A message is due.
    Due(Arrival),
    /// The next message is due at this moment.
    Later(Moment),
    /// There are no more messages.
    Exhausted,
}

/// The source of one thread's messages.
#[derive(Debug)]
pub(crate) enum Feed {
    Closed {
        /// The next sequence number, shared by all threads.
        next: Arc<AtomicU64>,
        count: u64,
        end: Option<Moment>,
    },
    Open {
        arrivals: Box<Share>,
        /// The next arrival, already drawn from the schedule.
        next: Option<Arrival>,
    },
    /// The run was stopped.
    Stopped,
}

/// One thread's share of a schedule: every `threads`-th arrival.
#[derive(Debug)]
pub(crate) struct Share {
    schedule: Schedule,
    threads: u64,
    /// The sequence number of the schedule's next arrival.
    seq: u64,
    /// This thread's index.
    mine: u64,
    /// The schedule's last arrival.
    latest: Duration,
}

impl Share {
    fn next(&mut self) -> Option<Arrival> {
        loop {
            let at = self.schedule.next()?;
            let seq = self.seq;
            self.seq += 1;
            debug_assert!(at >= self.latest, "arrivals are in order");
            self.latest = at;
            if seq % self.threads == self.mine {
                return Some(Arrival { seq, intended: Moment::ZERO.after(at) });
            }
        }
    }
}

impl Feed {
    /// The feed of thread `index`; `next` is shared by the threads of a closed loop.
    pub(crate) fn new(plan: &Plan, index: usize, next: &Arc<AtomicU64>) -> Feed {
        match &plan.load {
            Load::Closed => Feed::Closed {
                next: Arc::clone(next),
                count: plan.limit.count.unwrap_or(u64::MAX),
                end: plan.limit.duration.map(|duration| Moment::ZERO.after(duration)),
            },
            Load::Open { profile, arrivals } => {
                let schedule = Schedule::new(
                    profile.clone(),
                    *arrivals,
                    plan.seed,
                    plan.limit.duration,
                    plan.limit.count,
                );
                let mut arrivals = Box::new(Share {
                    schedule,
                    threads: plan.threads as u64,
                    seq: 0,
                    mine: index as u64,
                    latest: Duration::ZERO,
                });
                let next = arrivals.next();
                Feed::Open { arrivals, next }
            }
        }
    }

    /// Takes the next message if one is due at `now`.
    pub(crate) fn take(&mut self, now: Moment) -> Offer {
        match self {
            Feed::Closed { next, count, end } => {
                if end.is_some_and(|end| now >= end) {
                    return Offer::Exhausted;
                }
                // Exceeding the count is harmless: the number is not used after that.
                let seq = next.fetch_add(1, Ordering::Relaxed);
                if seq >= *count {
                    next.store(*count, Ordering::Relaxed);
                    return Offer::Exhausted;
                }
                Offer::Due(Arrival { seq, intended: now })
            }
            Feed::Open { arrivals, next } => match *next {
                None => Offer::Exhausted,
                Some(arrival) if arrival.intended > now => Offer::Later(arrival.intended),
                Some(arrival) => {
                    *next = arrivals.next();
                    Offer::Due(arrival)
                }
            },
            Feed::Stopped => Offer::Exhausted,
        }
    }

    /// Whether every message of the count has been taken; `false` if the feed ended by time or was stopped.
    pub(crate) fn is_used_up(&self) -> bool {
        match self {
            Feed::Closed { next, count, .. } => next.load(Ordering::Relaxed) >= *count,
            Feed::Open { arrivals, next } => next.is_none() && arrivals.schedule.is_used_up(),
            Feed::Stopped => false,
        }
    }

    /// Whether a message is due at `now` and has not been taken (never in a closed loop).
    pub(crate) fn is_behind(&self, now: Moment) -> bool {
        matches!(self, Feed::Open { next: Some(arrival), .. } if arrival.intended <= now)
    }

    /// Ends the feed; calls `unsent` for the arrivals that were due by `now` and not taken.
    pub(crate) fn stop(&mut self, now: Moment, mut unsent: impl FnMut(Arrival)) {
        if matches!(self, Feed::Open { .. }) {
            while let Offer::Due(arrival) = self.take(now) {
                unsent(arrival);
            }
        }
        *self = Feed::Stopped;
    }
}
