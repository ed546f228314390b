//! The next message of a lane of a thread, and when it is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::load::lane::Lane;
use crate::load::part::Part;
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

/// The source of the messages of one lane.
#[derive(Debug)]
pub(crate) enum Feed {
    Closed {
        part: Part,
        /// How many of the part's messages were taken, shared by all threads.
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

/// The arrivals of a schedule that belong to a part of it.
#[derive(Debug)]
pub(crate) struct Share {
    schedule: Schedule,
    part: Part,
    /// How many of the part's arrivals were drawn.
    drawn: u64,
    /// The last of them.
    latest: Duration,
}

impl Share {
    fn new(schedule: Schedule, part: Part) -> Share {
        Share { schedule, part, drawn: 0, latest: Duration::ZERO }
    }

    fn next(&mut self) -> Option<Arrival> {
        let others = if self.drawn == 0 { self.part.index() } else { self.part.of() - 1 };
        let at = self.schedule.after(others)?;
        let seq = self.part.seq(self.drawn);
        self.drawn += 1;
        debug_assert!(at >= self.latest, "arrivals are in order");
        self.latest = at;
        Some(Arrival { seq, intended: Moment::ZERO.after(at) })
    }
}

/// How many messages of the plan's part are due within this time after the start. `None` if nothing bounds them: in a
/// closed loop without a count.
#[cfg(feature = "fleet")]
pub(crate) fn due(plan: &Plan, within: Duration) -> Option<u64> {
    match &plan.load {
        Load::Closed => plan.count(),
        Load::Open { profile, arrivals } => {
            let end = plan.limit.duration.map_or(within, |duration| duration.min(within));
            let schedule = Schedule::new(profile.clone(), *arrivals, plan.seed, Some(end), plan.limit.count);
            let mut share = Share::new(schedule, plan.part);
            while share.next().is_some() {}
            Some(share.drawn)
        }
    }
}

impl Feed {
    /// The feed of a lane; `next` is shared by the threads of a closed loop.
    pub(crate) fn new(plan: &Plan, lane: &Lane, next: &Arc<AtomicU64>) -> Feed {
        match &plan.load {
            Load::Closed => Feed::Closed {
                part: lane.part,
                next: Arc::clone(next),
                count: plan.limit.count.map_or(u64::MAX, |count| lane.part.share(count)),
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
                let mut arrivals = Box::new(Share::new(schedule, lane.part));
                let next = arrivals.next();
                Feed::Open { arrivals, next }
            }
        }
    }

    /// Takes the next message if one is due at `now`.
    pub(crate) fn take(&mut self, now: Moment) -> Offer {
        match self {
            Feed::Closed { part, next, count, end } => {
                if end.is_some_and(|end| now >= end) {
                    return Offer::Exhausted;
                }
                // Exceeding the count is harmless: the number is not used after that.
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= *count {
                    next.store(*count, Ordering::Relaxed);
                    return Offer::Exhausted;
                }
                Offer::Due(Arrival { seq: part.seq(nth), intended: now })
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

    /// When the next message of an open loop is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        match self {
            Feed::Open { next, .. } => next.map(|arrival| arrival.intended),
            Feed::Closed { .. } | Feed::Stopped => None,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::load::schedule::{Arrivals, Profile, Segment};

    /// Ramps, steps and constant rates, of constant and Poisson arrivals, limited by a duration, a count, or both.
    fn schedules() -> impl Strategy<Value = Schedule> {
        let rate = || prop_oneof![Just(0.0), 0.01..3000.0f64];
        let segment = (rate(), rate(), 1u64..3000, any::<bool>()).prop_map(|(from, to, over, is_step)| {
            Segment { from, to: if is_step { from } else { to }, over: Duration::from_millis(over) }
        });
        let profile = (prop::collection::vec(segment, 0..5), 0.01..3000.0f64)
            .prop_map(|(segments, then)| Profile { segments, then });
        let kind = prop_oneof![Just(Arrivals::Constant), Just(Arrivals::Poisson)];
        let end = prop::option::of((1u64..6000).prop_map(Duration::from_millis));
        (profile, kind, any::<u64>(), end, prop::option::of(1u64..3000)).prop_map(
            |(profile, kind, seed, end, count)| {
                let count = count.or(end.is_none().then_some(1000));
                Schedule::new(profile, kind, seed, end, count)
            },
        )
    }

    proptest! {
        #[test]
        fn the_parts_together_are_the_run_arrival_for_arrival(
            schedule in schedules(), parts in 1u64..8, threads in 1u64..4,
        ) {
            // The oracle: all arrivals in order, counted.
            let mut walked = schedule.clone();
            let whole: BTreeMap<u64, Duration> = (0..).zip(walked.by_ref()).collect();
            let mut union: BTreeMap<u64, Duration> = BTreeMap::new();
            for index in 0..parts {
                for thread in 0..threads {
                    let part = Part::new(index, parts).unwrap().cut(thread, threads);
                    let mut share = Share::new(schedule.clone(), part);
                    while let Some(arrival) = share.next() {
                        prop_assert_eq!(arrival.seq % parts, index);
                        prop_assert_eq!(union.insert(arrival.seq, arrival.intended.elapsed()), None, "sent twice");
                    }
                    prop_assert_eq!(share.schedule.is_used_up(), walked.is_used_up());
                    prop_assert_eq!(share.next(), None, "it has ended");
                }
            }
            prop_assert_eq!(union, whole);
        }
    }
}
