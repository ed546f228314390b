//! Whether a run should be given up. Pure.
//!
//! A success is an accepted message. A run should be given up when no message was accepted for `--give-up-after`,
//! counted from the last success, and in all that time a message waited for the target (for a connection, the greeting
//! or any other reply) or messages failed. Time without a message due does not count, nor do stalls of the generator
//! itself.

use std::time::Duration;

use crate::load::plan::{Load, Plan};
use crate::time::clock::Moment;

/// Failures required in an open loop, where the interval between messages may be long.
const FAILURES: u64 = 5;

/// What one thread has seen since the last success.
#[derive(Debug)]
pub(crate) struct Outlook {
    give_up_after: Duration,
    failures_needed: u64,
    last_success: Moment,
    /// The start of the first message that has failed since.
    failing_since: Option<Moment>,
    failures: u64,
    /// Time of the generator's own stalls since the last success, which the target did not have.
    stalled: Duration,
}

impl Outlook {
    pub(crate) fn new(plan: &Plan) -> Outlook {
        Outlook {
            give_up_after: plan.give_up_after,
            failures_needed: if matches!(plan.load, Load::Closed) { 1 } else { FAILURES },
            last_success: Moment::ZERO,
            failing_since: None,
            failures: 0,
            stalled: Duration::ZERO,
        }
    }

    /// The last success, or the start of the run.
    pub(crate) fn last_success(&self) -> Moment {
        self.last_success
    }

    /// A message was accepted, by this thread or another.
    pub(crate) fn on_success(&mut self, at: Moment) {
        if at > self.last_success {
            (self.last_success, self.stalled) = (at, Duration::ZERO);
        }
        if self.failing_since.is_some_and(|since| since < at) {
            (self.failing_since, self.failures) = (None, 0);
        }
    }

    /// A message failed that was started at `started`.
    pub(crate) fn on_failure(&mut self, started: Moment) {
        self.failing_since.get_or_insert(started.max(self.last_success));
        self.failures += 1;
    }

    /// The generator stalled for this long.
    pub(crate) fn on_stall(&mut self, time: Duration) {
        self.stalled += time;
    }

    /// The time without a success after which the run is given up.
    fn patience(&self) -> Duration {
        self.give_up_after.saturating_add(self.stalled)
    }

    /// Whether the last success is long enough ago to ask [`should_give_up`](Self::should_give_up).
    pub(crate) fn is_overdue(&self, now: Moment) -> bool {
        now.since(self.last_success) >= self.patience()
    }

    /// Whether the conditions for giving up hold. `waiting_since` is the start of the oldest message in flight.
    pub(crate) fn should_give_up(&self, now: Moment, waiting_since: Option<Moment>) -> bool {
        let lasts = |since: Moment| now.since(since.max(self.last_success)) >= self.patience();
        let is_failing = self.failures >= self.failures_needed && self.failing_since.is_some_and(lasts);
        is_failing || waiting_since.is_some_and(lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    /// An outlook that gives up after ten seconds.
    fn outlook(load: &[&str]) -> Outlook {
        let typed = [&["smtpload", "127.0.0.1:1"], load].concat();
        let cli = crate::program::cli::Cli::try_parse_from(typed).unwrap();
        Outlook::new(&cli.run.plan(|| 1).unwrap())
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn failures_for_the_time_without_a_success_are_hopeless() {
        let mut outlook = outlook(&[]);
        assert!(!outlook.should_give_up(at(100), None), "nothing was tried");
        outlook.on_success(at(5));
        outlook.on_failure(at(6));
        assert!(!outlook.should_give_up(at(15), None));
        assert!(outlook.should_give_up(at(16), None));
        outlook.on_success(at(17));
        assert!(!outlook.should_give_up(at(30), None), "nothing has failed since");
        outlook.on_failure(at(12));
        outlook.on_success(at(17));
        assert!(!outlook.should_give_up(at(26), None), "counted from the success");
        assert!(outlook.should_give_up(at(27), None));
    }

    #[test]
    fn a_message_that_waits_is_hopeless_from_the_last_success_on() {
        let mut outlook = outlook(&["--rate", "1/s"]);
        assert!(!outlook.should_give_up(at(12), Some(at(3))));
        assert!(outlook.should_give_up(at(13), Some(at(3))), "no failure is needed");
        assert!(!outlook.is_overdue(at(9)) && outlook.is_overdue(at(10)));
        outlook.on_success(at(5));
        assert!(!outlook.should_give_up(at(14), Some(at(3))), "others are accepted");
        assert!(outlook.should_give_up(at(15), Some(at(3))));
    }

    #[test]
    fn failures_while_others_are_accepted_are_not_hopeless() {
        let mut outlook = outlook(&[]);
        for second in 0..100 {
            outlook.on_failure(at(second));
            if second % 9 == 0 {
                outlook.on_success(at(second + 1));
            }
            assert!(!outlook.should_give_up(at(second + 1), Some(at(second.saturating_sub(8)))));
        }
    }

    #[test]
    fn stalls_of_the_generator_are_not_the_targets_time() {
        let mut outlook = outlook(&[]);
        outlook.on_stall(Duration::from_secs(20));
        assert!(!outlook.should_give_up(at(29), Some(at(0))) && !outlook.is_overdue(at(29)));
        assert!(outlook.should_give_up(at(30), Some(at(0))) && outlook.is_overdue(at(30)));
        outlook.on_success(at(30));
        assert!(outlook.should_give_up(at(40), Some(at(0))), "stalls before a success do not count");
    }

    #[test]
    fn in_an_open_loop_one_failure_is_not_enough() {
        let mut outlook = outlook(&["--rate", "1/m"]);
        for minute in 0..4 {
            outlook.on_failure(at(60 * minute));
            assert!(!outlook.should_give_up(at(60 * minute + 59), None));
        }
        outlook.on_failure(at(240));
        assert!(outlook.should_give_up(at(240), None));
    }

    #[test]
    fn never_is_never() {
        let mut outlook = outlook(&["--give-up-after", "never"]);
        outlook.on_failure(at(0));
        assert!(!outlook.should_give_up(at(1_000_000), Some(at(0))));
    }
}
