//! Timed work of the reactor: intervals, timeouts, pauses, the end of the run.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{BACKOFF_FIRST, QUIT_TIMEOUT, Reactor, STARVED_PERCENT, Stage};
use crate::client::phase::Phase;
use crate::measure::interval::INTERVAL;
use crate::measure::work;
use crate::reactor::slot::Slot;
use crate::time::clock::Moment;

impl Reactor {
    /// Does the timed work that is due at `now`.
    pub(super) fn turn(&mut self, now: Moment) -> io::Result<()> {
        self.turn_intervals(now);
        if self.shared.stop.load(Ordering::Relaxed) && !self.is_interrupted {
            self.is_interrupted = true;
            self.interrupt(now);
        }
        // What arrived during a stall is read first: it may be in time.
        if now < self.next_sweep || self.catching_up {
            return Ok(());
        }
        self.next_sweep = now.after(self.sweep_every());
        self.sweep(now);
        self.retry_queued(now)?;
        self.check_end(now);
        self.dispatch(now)
    }

    fn turn_intervals(&mut self, now: Moment) {
        while now >= self.interval_end() {
            let starved = self.is_starved(INTERVAL);
            let ended = self.tally.end_interval(INTERVAL, self.in_flight, starved);
            let _ = self.shared.intervals.send(ended);
        }
    }

    /// Whether the thread had no processor time left since the last call, `length` ago.
    pub(super) fn is_starved(&mut self, length: Duration) -> Option<bool> {
        let work = work::of_this_thread();
        let before = std::mem::replace(&mut self.work, work);
        work.zip(before).map(|(work, before)| {
            let busy = (work.ran + work.waited).saturating_sub(before.ran + before.waited);
            busy.as_nanos() * 100 >= length.as_nanos() * STARVED_PERCENT
        })
    }

    pub(super) fn interval_end(&self) -> Moment {
        let ended = u32::try_from(self.tally.interval.index + 1).unwrap_or(u32::MAX);
        Moment::ZERO.after(INTERVAL * ended)
    }

    /// Checks all deadlines. Timeouts are long compared with the period of this sweep, which makes it cheaper than a
    /// timer per command.
    fn sweep(&mut self, now: Moment) {
        if cfg!(debug_assertions) {
            self.check();
        }
        for index in 0..self.slots.len() {
            if self.slots[index].deadline.is_some_and(|deadline| deadline <= now) {
                self.time_out(index, now);
            }
        }
        let mut resting = std::mem::take(&mut self.resting);
        resting.retain(|(until, index)| {
            let over = *until <= now;
            if over {
                let lane = self.slots[*index].lane;
                self.lanes[lane].cold.push(*index);
            }
            !over
        });
        self.resting = resting;
    }

    /// Checks the invariants between two turns: the counts are those of the slots, and a slot is in one list at most.
    fn check(&self) {
        let count = |of: fn(&Slot) -> bool| self.slots.iter().filter(|slot| of(slot)).count();
        assert_eq!(self.open, count(|slot| slot.stream.is_some()));
        let is_connecting =
            |slot: &Slot| slot.stream.is_some() && slot.session.phase() == Some(Phase::Connect);
        assert_eq!(self.connecting, count(is_connecting));
        assert_eq!(self.in_flight, count(|slot| slot.flight.is_some()) as u64);
        let resting = self.resting.iter().map(|(_, index)| index);
        let ready = || self.lanes.iter().flat_map(|lane| &lane.ready);
        let cold = || self.lanes.iter().flat_map(|lane| &lane.cold);
        let mut listed: Vec<usize> = ready().chain(cold()).chain(resting).copied().collect();
        assert!(listed.iter().all(|index| self.slots[*index].flight.is_none()));
        assert!(ready().all(|index| self.slots[*index].stream.is_some()));
        assert!(cold().all(|index| self.slots[*index].stream.is_none()));
        for (lane, queue) in self.lanes.iter().enumerate() {
            assert!(queue.ready.iter().chain(&queue.cold).all(|index| self.slots[*index].lane == lane));
        }
        listed.extend(self.redials.iter().map(|(index, _)| index));
        listed.sort_unstable();
        assert!(listed.windows(2).all(|pair| pair[0] != pair[1]), "{listed:?}");
    }

    /// A twentieth of the shortest timeout, bounded so that it is cheap and useful.
    fn sweep_every(&self) -> Duration {
        let shortest = self.shared.plan.timeouts.shortest().min(QUIT_TIMEOUT);
        let longest = if self.resting.is_empty() && self.queued.is_empty() {
            Duration::from_millis(50)
        } else {
            BACKOFF_FIRST
        };
        (shortest / 20).clamp(Duration::from_millis(1), longest)
    }

    /// Begins the grace, or ends the run if its grace has begun.
    fn interrupt(&mut self, now: Moment) {
        let is_in_grace = self.last_due().is_some_and(|due| now >= due);
        let until = if is_in_grace { now } else { now.after(self.shared.plan.grace) };
        self.end_early(now, until);
    }

    /// Ends the run as its term is over. Called with each reading of the clock from then on: a stall makes its last
    /// moment no later.
    #[cold]
    pub(super) fn end_term(&mut self, now: Moment) {
        let Some(term) = &self.shared.term else { return };
        let (end, until) = (term.end(), term.silent_from(self.shared.plan.grace));
        self.shared.stop.store(true, Ordering::Relaxed);
        self.end_early(end, until);
        self.is_silent = now >= until;
    }

    /// Starts no more messages than until `now`; those in flight have until the given moment at most.
    fn end_early(&mut self, now: Moment, until: Moment) {
        match self.stage {
            Stage::Running => self.stop(now, until),
            Stage::Draining { until: before } => {
                self.drain(Some(before.map_or(until, |before| before.min(until))));
            }
        }
    }

    fn check_end(&mut self, now: Moment) {
        if self.is_given_up(now) {
            self.stop(now, now);
        }
        if self.stage != Stage::Running {
            return;
        }
        if let (Some(due), Some(until)) = (self.last_due(), self.last_moment()) {
            if now >= until {
                self.stop(now, until);
            } else if now >= due && !self.lanes.iter().any(|lane| lane.feed.is_behind(now)) {
                self.drain(Some(until));
            }
        }
    }

    /// Whether the run is given up, as soon as all threads agree.
    fn is_given_up(&mut self, now: Moment) -> bool {
        let give_up = Arc::clone(&self.shared.give_up);
        let latest = give_up.last_success.raise(self.tally.outlook.last_success());
        self.tally.outlook.on_success(latest);
        let should_give_up = self.tally.outlook.is_overdue(now)
            && self.tally.outlook.should_give_up(now, self.waiting_since());
        // A thread without messages in flight has no success to expect: its last one is in `latest`.
        self.set_agreeing(should_give_up || self.in_flight == 0);
        if should_give_up && give_up.agreeing.load(Ordering::Relaxed) >= self.shared.plan.threads {
            give_up.given_up.get_or_init(|| now.since(latest));
        }
        give_up.given_up.get().is_some()
    }

    /// Counts this thread among those that agree, or no longer. Before that it publishes its last success: the others
    /// may wait for this thread alone.
    pub(super) fn set_agreeing(&mut self, is_without: bool) {
        self.shared.give_up.last_success.raise(self.tally.outlook.last_success());
        let before = std::mem::replace(&mut self.is_agreeing, is_without);
        match (before, is_without) {
            (false, true) => drop(self.shared.give_up.agreeing.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.shared.give_up.agreeing.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// The start of the oldest message in flight.
    fn waiting_since(&self) -> Option<Moment> {
        self.slots.iter().filter_map(|slot| Some(slot.flight?.started)).min()
    }

    fn stop(&mut self, now: Moment, until: Moment) {
        self.stopped.get_or_insert(now);
        let tally = &mut self.tally;
        for lane in &mut self.lanes {
            lane.feed.stop(now, |arrival| tally.leave_unsent(arrival, now));
        }
        self.drain(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::alone::reactor;

    fn at(seconds: u64) -> Moment {
        Moment::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn the_other_threads_learn_what_one_that_drains_or_ends_has_had_accepted() {
        let mut reactor = reactor(&["127.0.0.1:1", "--threads", "2"]);
        let shared = Arc::clone(&reactor.shared.give_up);
        reactor.stage = Stage::Draining { until: Some(at(9)) };
        // It agrees from the first call on, and its messages continue to be accepted.
        for second in [3, 4] {
            reactor.tally.outlook.on_success(at(second));
            reactor.check_end(at(second));
            assert_eq!(shared.last_success.raise(Moment::ZERO), at(second));
            assert_eq!(shared.agreeing.load(Ordering::Relaxed), 1);
        }
        reactor.tally.outlook.on_success(at(5));
        reactor.finish(at(5), None);
        assert_eq!(shared.last_success.raise(Moment::ZERO), at(5));
    }
}
