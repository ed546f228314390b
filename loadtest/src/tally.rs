//! What one thread has counted and measured.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::accounting::{Accounting, Outcome};
use crate::clock::Moment;
use crate::feed::Arrival;
use crate::ledger::{Fate, Ledger};
use crate::load::Work;
use crate::metrics::{End, Metrics, histogram, record};
use crate::phase::Phase;

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) seq: u64,
    pub(crate) intended: Moment,
    pub(crate) started: Moment,
    /// Whether it counts, or belongs to the warm-up.
    pub(crate) measured: bool,
}

/// What happened in one interval of one thread.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Counted from the start of the run.
    pub(crate) index: u64,
    /// A whole interval, but for the last.
    pub(crate) length: Duration,
    pub(crate) started: u64,
    pub(crate) accepted: u64,
    pub(crate) errors: u64,
    /// Messages in flight when the interval ended.
    pub(crate) in_flight: u64,
    /// Successful messages that ended in the interval, warm-up included.
    pub(crate) latency: Histogram<u64>,
    /// Whether the thread had no processor time left.
    pub(crate) starved: bool,
}

impl Interval {
    fn new(index: u64) -> Interval {
        Interval {
            index,
            length: Duration::ZERO,
            started: 0,
            accepted: 0,
            errors: 0,
            in_flight: 0,
            latency: histogram(),
            starved: false,
        }
    }

    /// Adds another thread's part of the same interval.
    pub(crate) fn merge(&mut self, other: &Interval) {
        self.length = self.length.max(other.length);
        self.started += other.started;
        self.accepted += other.accepted;
        self.errors += other.errors;
        self.in_flight += other.in_flight;
        self.starved |= other.starved;
        crate::metrics::add(&mut self.latency, &other.latency);
    }
}

/// Counts of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    /// Connections tried.
    pub(crate) dialed: u64,
    /// Sessions that got as far as a good reply to EHLO.
    pub(crate) established: u64,
    /// Sessions the server ended while no message was in flight on them.
    pub(crate) ended_idle: u64,
    /// Sessions on which PIPELINING was wanted and not offered.
    pub(crate) without_pipelining: u64,
    /// The most connections open at once (a sum over threads of each one's most).
    pub(crate) most_open: u64,
}

impl Sessions {
    pub(crate) fn merge(&mut self, other: &Sessions) {
        self.dialed += other.dialed;
        self.established += other.established;
        self.ended_idle += other.ended_idle;
        self.without_pipelining += other.without_pipelining;
        self.most_open += other.most_open;
    }
}

/// How well the generator kept its own schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Punctuality {
    /// Messages started late because of the generator.
    pub(crate) late: u64,
    /// Intervals of threads that had no processor time left, and all intervals judged.
    pub(crate) starved: u64,
    pub(crate) judged: u64,
}

/// Everything one thread knows at its end.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) measured: Accounting,
    pub(crate) warmup: Accounting,
    pub(crate) metrics: Metrics,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) sessions: Sessions,
    pub(crate) punctuality: Punctuality,
    /// When the last measured message ended, or was left in flight.
    pub(crate) last_end: Moment,
    /// The end of the time that the rate is of: load was offered until then, or the last
    /// accepted message ended then.
    pub(crate) offered_until: Moment,
    pub(crate) work: Option<Work>,
    pub(crate) interval: Interval,
    /// Messages of this interval that were late because they waited for a connection;
    /// if the interval turns out starved, they were late because of the generator.
    waiting_late: u64,
    /// What was due before this moment was held up by the generator standing still.
    stalled_until: Option<Moment>,
    open_loop: bool,
    measured_from: Moment,
    late_after: Duration,
}

impl Tally {
    pub(crate) fn new(plan: &crate::plan::Plan) -> Tally {
        Tally {
            measured: Accounting::default(),
            warmup: Accounting::default(),
            metrics: Metrics::new(),
            ledger: plan.keep_ledger.then(Ledger::default),
            sessions: Sessions::default(),
            punctuality: Punctuality::default(),
            last_end: Moment::ZERO,
            offered_until: Moment::ZERO,
            work: None,
            interval: Interval::new(0),
            waiting_late: 0,
            stalled_until: None,
            open_loop: matches!(plan.load, crate::plan::Load::Open { .. }),
            measured_from: Moment::ZERO.after(plan.warmup),
            late_after: plan.late_after,
        }
    }

    /// Counts the start of a message. `able_since` is when the generator could have
    /// started it, had it been due.
    pub(crate) fn start(&mut self, arrival: Arrival, now: Moment, able_since: Moment) -> Flight {
        let measured = arrival.intended >= self.measured_from;
        self.account(measured).started += 1;
        self.interval.started += 1;
        if self.open_loop {
            self.judge_start(arrival.intended, now, able_since, measured);
        }
        Flight { seq: arrival.seq, intended: arrival.intended, started: now, measured }
    }

    fn judge_start(&mut self, intended: Moment, now: Moment, able_since: Moment, measured: bool) {
        if !measured {
            return;
        }
        let own = now.since(intended.max(able_since));
        record(&mut self.metrics.lag, own);
        if own > self.late_after {
            self.stall(now);
        }
        if now.since(intended) <= self.late_after {
            return;
        }
        // The queue that a stall left behind is the generator's, even where it then waits
        // for connections.
        if self.stalled_until.is_some_and(|until| intended <= until) {
            self.punctuality.late += 1;
        } else {
            self.waiting_late += 1;
        }
    }

    /// The generator stood still until `now`, longer than it may be late.
    pub(crate) fn stall(&mut self, now: Moment) {
        self.stalled_until = Some(now);
    }

    /// Counts the end of a message.
    pub(crate) fn settle(&mut self, flight: Flight, outcome: Outcome, now: Moment) {
        self.account(flight.measured).settle(outcome);
        let end = match outcome {
            Outcome::Accepted => End::Ok,
            Outcome::Refused { .. } | Outcome::Aborted { .. } => End::Failed,
            Outcome::TimedOut { .. } => End::CutOff,
        };
        if end == End::Ok {
            self.interval.accepted += 1;
            record(&mut self.interval.latency, now.since(flight.intended));
            if flight.measured {
                self.offered_until = self.offered_until.max(now);
            }
        } else {
            self.interval.errors += 1;
        }
        self.measure(flight, end, now);
        self.note(flight.seq, fate_of(outcome));
    }

    /// Counts a message that has no final reply at the end of the run: an error that has
    /// lasted as long as it has waited.
    pub(crate) fn leave_in_flight(&mut self, flight: Flight, phase: Option<Phase>, now: Moment) {
        self.account(flight.measured).in_flight += 1;
        self.interval.errors += 1;
        self.measure(flight, End::CutOff, now);
        let in_doubt = phase == Some(Phase::Dot);
        self.note(flight.seq, if in_doubt { Fate::InDoubt } else { Fate::NotDelivered });
    }

    fn measure(&mut self, flight: Flight, end: End, now: Moment) {
        if flight.measured {
            self.last_end = now;
            self.metrics.message.record(end, now.since(flight.intended));
            if self.open_loop {
                self.metrics.uncorrected.record(end, now.since(flight.started));
            }
        }
    }

    /// Load was offered until `end`; messages that are accepted later extend that.
    pub(crate) fn end_offer(&mut self, end: Moment) {
        self.offered_until = self.offered_until.max(end);
    }

    /// Counts an arrival that was due and never started; its wait is a failure's latency.
    pub(crate) fn leave_unsent(&mut self, arrival: Arrival, now: Moment) {
        let measured = arrival.intended >= self.measured_from;
        self.account(measured).unsent += 1;
        self.interval.errors += 1;
        if measured {
            self.metrics.message.record(End::CutOff, now.since(arrival.intended));
        }
    }

    /// The account a message belongs to.
    pub(crate) fn account(&mut self, measured: bool) -> &mut Accounting {
        if measured { &mut self.measured } else { &mut self.warmup }
    }

    /// Ends the interval and hands it out.
    pub(crate) fn end_interval(
        &mut self,
        length: Duration,
        in_flight: u64,
        starved: Option<bool>,
    ) -> Interval {
        if let Some(starved) = starved {
            self.punctuality.judged += 1;
            self.punctuality.starved += u64::from(starved);
        }
        let starved = starved == Some(true);
        if starved {
            self.punctuality.late += self.waiting_late;
        }
        self.waiting_late = 0;
        let following = Interval::new(self.interval.index + 1);
        let mut ended = std::mem::replace(&mut self.interval, following);
        ended.length = length;
        ended.in_flight = in_flight;
        ended.starved = starved;
        ended
    }

    /// Adds what another thread knows; intervals are merged elsewhere.
    pub(crate) fn merge(&mut self, other: &Tally) {
        self.measured.merge(&other.measured);
        self.warmup.merge(&other.warmup);
        self.metrics.merge(&other.metrics);
        self.sessions.merge(&other.sessions);
        self.punctuality.late += other.punctuality.late;
        self.punctuality.starved += other.punctuality.starved;
        self.punctuality.judged += other.punctuality.judged;
        self.last_end = self.last_end.max(other.last_end);
        self.offered_until = self.offered_until.max(other.offered_until);
        self.work = match (self.work, other.work) {
            (Some(mine), Some(theirs)) => {
                Some(Work { ran: mine.ran + theirs.ran, waited: mine.waited + theirs.waited })
            }
            _ => None,
        };
        if let (Some(mine), Some(theirs)) = (&mut self.ledger, &other.ledger) {
            mine.merge(theirs);
        }
    }

    fn note(&mut self, seq: u64, fate: Fate) {
        if let Some(ledger) = &mut self.ledger {
            ledger.set(seq, fate);
        }
    }
}

fn fate_of(outcome: Outcome) -> Fate {
    match outcome {
        Outcome::Accepted => Fate::Accepted,
        Outcome::Aborted { phase: Phase::Dot, .. } | Outcome::TimedOut { phase: Phase::Dot } => Fate::InDoubt,
        Outcome::Refused { .. } | Outcome::Aborted { .. } | Outcome::TimedOut { .. } => Fate::NotDelivered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn open_loop() -> Tally {
        let typed = ["smtpload", "127.0.0.1:1", "--rate", "10/s", "--late-after", "10ms"];
        let cli = crate::cli::Cli::try_parse_from(typed).unwrap();
        Tally::new(&cli.run.plan(|| 1).unwrap())
    }

    fn at(ms: u64) -> Moment {
        Moment::ZERO.after(Duration::from_millis(ms))
    }

    fn start(tally: &mut Tally, intended: u64, now: u64, able_since: u64) {
        tally.start(Arrival { seq: 0, intended: at(intended) }, at(now), at(able_since));
    }

    #[test]
    fn waiting_for_a_session_is_the_targets_doing() {
        let mut tally = open_loop();
        start(&mut tally, 100, 900, 900);
        tally.end_interval(Duration::from_secs(1), 1, Some(false));
        assert_eq!(tally.punctuality.late, 0);
    }

    #[test]
    fn waiting_for_a_session_while_the_thread_starves_is_the_generators() {
        let mut tally = open_loop();
        start(&mut tally, 100, 900, 900);
        start(&mut tally, 895, 900, 900);
        tally.end_interval(Duration::from_secs(1), 1, Some(true));
        assert_eq!(tally.punctuality.late, 1, "the second was in time");
        start(&mut tally, 1100, 1900, 1900);
        tally.end_interval(Duration::from_secs(1), 1, Some(false));
        assert_eq!(tally.punctuality.late, 1, "each interval is judged by itself");
    }

    #[test]
    fn the_queue_a_stall_leaves_behind_is_the_generators() {
        let mut tally = open_loop();
        // Able all the time, and 400 ms late: the loop stood still.
        start(&mut tally, 100, 500, 0);
        // Due during the stall, started when a session was free again.
        start(&mut tally, 200, 600, 600);
        // Due after it.
        start(&mut tally, 550, 700, 700);
        assert_eq!(tally.punctuality.late, 2);
    }
}
