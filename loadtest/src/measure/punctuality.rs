//! How well the generator follows its own schedule, and which messages it delayed itself. Pure.
//!
//! The event loop stalls when the process is stopped, starved of a processor, or busy for longer than a message may
//! be late. A message that was due during a stall is late because of the generator, whether it is started later or
//! never; so is a message whose reply was unread during a stall. All other late messages waited for the target.

use std::collections::VecDeque;
use std::time::Duration;

use crate::load::plan::{Load, Plan};
use crate::measure::tally::Flight;
use crate::time::clock::Moment;

/// A closed loop uses all of its processor time, and a busy machine preempts it for some tens of milliseconds. Only
/// longer pauses are stalls.
const CLOSED_LOOP_STALL: Duration = Duration::from_millis(100);

/// The most stalls recorded at once. A stall is dropped when no pending message was due before its end, so only a
/// long backlog needs many; beyond the limit the oldest two are merged.
const STALLS_LIMIT: usize = 64;

/// A period without progress of the event loop.
#[derive(Clone, Copy, Debug)]
struct Stall {
    from: Moment,
    until: Moment,
}

/// The punctuality of one thread.
#[derive(Debug)]
pub(crate) struct Punctuality {
    /// Measured messages that the generator delayed: started late, never started, or answered during a stall.
    pub(crate) late: u64,
    /// Those of them that were never started.
    pub(crate) late_unsent: u64,
    /// Time of stalls while there was load, without the warm-up.
    pub(crate) stalled_for: Duration,
    /// Intervals without processor time left, and all intervals judged.
    pub(crate) starved: u64,
    pub(crate) judged: u64,
    /// Stalls in which pending messages may have been due, in order, without overlap.
    stalls: VecDeque<Stall>,
    /// The end of the last stall.
    stalled_until: Moment,
    /// Messages of this interval that were late because they waited for a connection, and those of them that were
    /// never started. If the interval turns out to be starved, the generator delayed them.
    waiting: u64,
    waiting_unsent: u64,
    late_after: Duration,
    stall_after: Duration,
    measured_from: Moment,
}

impl Punctuality {
    pub(crate) fn new(plan: &Plan) -> Punctuality {
        let stall_after = match plan.load {
            Load::Closed => plan.late_after.max(CLOSED_LOOP_STALL),
            Load::Open { .. } => plan.late_after,
        };
        Punctuality {
            late: 0,
            late_unsent: 0,
            stalled_for: Duration::ZERO,
            starved: 0,
            judged: 0,
            stalls: VecDeque::new(),
            stalled_until: Moment::ZERO,
            waiting: 0,
            waiting_unsent: 0,
            late_after: plan.late_after,
            stall_after,
            measured_from: Moment::ZERO.after(plan.warmup),
        }
    }

    /// Notes that the loop, which was to act at `from`, did so at `until`. Returns whether that is a stall.
    pub(crate) fn note_pause(&mut self, from: Moment, until: Moment) -> bool {
        if until.since(from) <= self.stall_after {
            return false;
        }
        let from = from.max(self.stalled_until);
        if until.since(from) <= self.stall_after {
            return false;
        }
        self.stalled_for += until.since(from.max(self.measured_from));
        self.stalls.push_back(Stall { from, until });
        self.stalled_until = until;
        if self.stalls.len() > STALLS_LIMIT
            && let Some(oldest) = self.stalls.pop_front()
            && let Some(next) = self.stalls.front_mut()
        {
            next.from = oldest.from;
        }
        debug_assert!(self.stalls.iter().zip(self.stalls.iter().skip(1)).all(|(a, b)| a.until <= b.from));
        true
    }

    /// Judges the start of a measured message of an open loop. `able_since` is when it could have been started, had
    /// it been due. Returns the delay by the generator, and whether the message counts as late.
    pub(crate) fn judge_start(
        &mut self,
        intended: Moment,
        now: Moment,
        able_since: Moment,
    ) -> (Duration, bool) {
        let able = intended.max(able_since);
        let stalled = self.note_pause(able, now);
        let lag = now.since(able).max(self.stalled(intended));
        let own = stalled || self.is_own(intended, now);
        let waited = !own && now.since(intended) > self.late_after;
        self.late += u64::from(own);
        self.waiting += u64::from(waited);
        (lag, own || waited)
    }

    /// Judges a measured message that was due and will never be started. Returns the delay by the generator.
    pub(crate) fn judge_unsent(&mut self, intended: Moment, now: Moment) -> Duration {
        let lag = self.stalled(intended);
        let own = self.is_own(intended, now);
        self.late += u64::from(own);
        self.late_unsent += u64::from(own);
        self.waiting += u64::from(!own);
        self.waiting_unsent += u64::from(!own);
        lag
    }

    /// Judges a message whose reply is read just after a stall: if it was in flight during the stall, its reply was
    /// unread.
    pub(crate) fn judge_unread(&mut self, flight: &mut Flight) {
        if flight.measured && !flight.judged_late && flight.started < self.stalled_until {
            flight.judged_late = true;
            self.late += 1;
        }
    }

    /// Judges a message whose handshake could go on at `since` and does so now: if that is late, other handshakes of the
    /// generator were in front of it.
    pub(crate) fn judge_queued(&mut self, flight: &mut Flight, since: Moment, now: Moment) {
        if flight.measured && !flight.judged_late && now.since(since) > self.late_after {
            flight.judged_late = true;
            self.late += 1;
        }
    }

    /// Ends an interval; `starved` is `None` if unknown.
    pub(crate) fn end_interval(&mut self, starved: Option<bool>) {
        if let Some(starved) = starved {
            self.judged += 1;
            self.starved += u64::from(starved);
        }
        let (waiting, unsent) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.waiting_unsent));
        if starved == Some(true) {
            self.late += waiting;
            self.late_unsent += unsent;
        }
    }

    /// Adds the counts of another thread.
    pub(crate) fn merge(&mut self, other: &Punctuality) {
        self.late += other.late;
        self.late_unsent += other.late_unsent;
        self.stalled_for += other.stalled_for;
        self.starved += other.starved;
        self.judged += other.judged;
    }

    /// Whether the generator delayed a message that was due at `intended` and not started before `now`: it was due
    /// during a stall, or stalls are most of its wait.
    fn is_own(&self, intended: Moment, now: Moment) -> bool {
        let wait = now.since(intended);
        wait > self.late_after
            && (self.stalls.iter().any(|stall| (stall.from..=stall.until).contains(&intended))
                || self.stalls.iter().map(|stall| stall.after(intended)).sum::<Duration>() * 2 > wait)
    }

    /// Time of stalls since `intended`. Earlier stalls are dropped: messages are judged in the order in which they
    /// are due.
    fn stalled(&mut self, intended: Moment) -> Duration {
        while self.stalls.front().is_some_and(|stall| stall.until < intended) {
            self.stalls.pop_front();
        }
        self.stalls.iter().map(|stall| stall.after(intended)).sum()
    }
}

impl Stall {
    /// The part after a moment.
    fn after(&self, moment: Moment) -> Duration {
        self.until.since(self.from.max(moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn of(load: &[&str]) -> Punctuality {
        let typed = [&["smtpload", "127.0.0.1:1"], load].concat();
        let cli = crate::program::cli::Cli::try_parse_from(typed).unwrap();
        Punctuality::new(&cli.run.plan(|| 1).unwrap())
    }

    fn open_loop() -> Punctuality {
        of(&["--rate", "10/s", "--late-after", "10ms"])
    }

    fn at(ms: u64) -> Moment {
        Moment::ZERO.after(Duration::from_millis(ms))
    }

    fn start(punctuality: &mut Punctuality, intended: u64, now: u64, able_since: u64) -> u128 {
        punctuality.judge_start(at(intended), at(now), at(able_since)).0.as_millis()
    }

    #[test]
    fn waiting_for_a_session_is_the_targets_doing() {
        let mut punctuality = open_loop();
        assert_eq!(start(&mut punctuality, 100, 900, 900), 0);
        punctuality.judge_unsent(at(200), at(900));
        punctuality.end_interval(Some(false));
        assert_eq!((punctuality.late, punctuality.late_unsent), (0, 0));
    }

    #[test]
    fn waiting_for_a_session_while_the_thread_starves_is_the_generators() {
        let mut punctuality = open_loop();
        start(&mut punctuality, 100, 900, 900);
        start(&mut punctuality, 895, 900, 900);
        punctuality.judge_unsent(at(896), at(999));
        punctuality.end_interval(Some(true));
        assert_eq!((punctuality.late, punctuality.late_unsent), (2, 1), "the second was in time");
        start(&mut punctuality, 1100, 1900, 1900);
        punctuality.end_interval(Some(false));
        assert_eq!(punctuality.late, 2, "each interval is judged by itself");
    }

    #[test]
    fn the_queue_that_a_stall_leaves_behind_is_the_generators() {
        let mut punctuality = open_loop();
        // Able all the time, and 400 ms late: a stall.
        assert_eq!(start(&mut punctuality, 100, 500, 0), 400);
        // Due during the stall, started when a session was free again.
        assert_eq!(start(&mut punctuality, 200, 600, 600), 300);
        // Due after it.
        assert_eq!(start(&mut punctuality, 550, 700, 700), 0);
        assert_eq!(punctuality.late, 2);
        assert_eq!(punctuality.stalled_for, Duration::from_millis(400));
    }

    #[test]
    fn what_was_due_in_a_stall_and_never_started_is_the_generators() {
        let mut punctuality = open_loop();
        assert!(!punctuality.note_pause(at(0), at(10)), "as long as a message may be late");
        assert!(punctuality.note_pause(at(5000), at(10_000)));
        assert_eq!(punctuality.judge_unsent(at(4990), at(10_000)).as_millis(), 5000);
        assert_eq!(punctuality.judge_unsent(at(8000), at(10_000)).as_millis(), 2000);
        assert_eq!((punctuality.late, punctuality.late_unsent), (2, 2));
    }

    #[test]
    fn a_short_stall_in_a_long_wait_for_the_target_is_not_what_made_it_late() {
        let mut punctuality = open_loop();
        punctuality.note_pause(at(5000), at(5020));
        start(&mut punctuality, 1000, 9000, 9000);
        punctuality.judge_unsent(at(2000), at(9000));
        punctuality.end_interval(Some(false));
        assert_eq!(punctuality.late, 0);
        // A stall counts while a message that was due in it is pending.
        punctuality.note_pause(at(9500), at(9520));
        start(&mut punctuality, 5010, 9600, 9600);
        assert_eq!(punctuality.late, 1);
    }

    #[test]
    fn a_reply_that_lay_unread_makes_its_message_late_once() {
        let mut punctuality = open_loop();
        let flight =
            |judged_late, measured| Flight { seq: 0, intended: at(0), started: at(0), measured, judged_late };
        let mut waited = flight(false, true);
        punctuality.note_pause(at(100), at(200));
        punctuality.judge_unread(&mut Flight { started: at(200), ..waited });
        punctuality.judge_unread(&mut waited);
        punctuality.judge_unread(&mut waited);
        punctuality.judge_unread(&mut flight(true, true));
        punctuality.judge_unread(&mut flight(false, false));
        assert_eq!(punctuality.late, 1);
    }

    #[test]
    fn stalls_of_a_closed_loop_are_longer_and_not_counted_twice() {
        let mut punctuality = of(&["--warmup", "1s"]);
        assert!(!punctuality.note_pause(at(1000), at(1090)));
        assert!(punctuality.note_pause(at(800), at(1200)));
        assert!(!punctuality.note_pause(at(900), at(1250)), "50 ms are new");
        assert_eq!(punctuality.stalled_for, Duration::from_millis(200), "warm-up is left out");
    }

    #[test]
    fn stalls_of_a_long_backlog_are_bounded() {
        let mut punctuality = open_loop();
        for index in 0..1000 {
            punctuality.note_pause(at(index * 100), at(index * 100 + 50));
        }
        assert_eq!(punctuality.stalls.len(), STALLS_LIMIT);
        punctuality.judge_unsent(at(10), at(100_000));
        assert_eq!(punctuality.late, 1);
    }
}
