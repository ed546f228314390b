//! Whether a run still gets anywhere, or is to be given up. Pure.
//!
//! Success is a message that is accepted. A run is hopeless when nothing has succeeded for a
//! time and messages have failed, or connections are not even answered. A slow target is none:
//! while a message waits for a reply that may still come, others may fail.

use std::time::Duration;

use crate::clock::Moment;
use crate::plan::{Load, Plan};

/// Failures that it takes in an open loop, where there may be long between two messages.
const FAILURES: u64 = 5;

/// What one thread has seen since a message was last accepted.
#[derive(Debug)]
pub(crate) struct Outlook {
    give_up_after: Duration,
    failures_needed: u64,
    last_success: Moment,
    /// When the first message that has failed since was started.
    failing_since: Option<Moment>,
    failures: u64,
    /// Whether one of them had no reply in time.
    has_timed_out: bool,
}

/// The messages of a thread that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// When the oldest was started that has no connection yet.
    pub(crate) connecting: Option<Moment>,
    /// When the oldest was started that has one.
    pub(crate) connected: Option<Moment>,
}

impl Outlook {
    pub(crate) fn new(plan: &Plan) -> Outlook {
        Outlook {
            give_up_after: plan.give_up_after,
            failures_needed: if matches!(plan.load, Load::Closed) { 1 } else { FAILURES },
            last_success: Moment::ZERO,
            failing_since: None,
            failures: 0,
            has_timed_out: false,
        }
    }

    /// When a message was last accepted; the start of the run if none was.
    pub(crate) fn last_success(&self) -> Moment {
        self.last_success
    }

    /// A message was accepted, by this thread or another.
    pub(crate) fn on_success(&mut self, at: Moment) {
        self.last_success = self.last_success.max(at);
        if self.failing_since.is_some_and(|since| since < at) {
            (self.failing_since, self.failures, self.has_timed_out) = (None, 0, false);
        }
    }

    /// A message failed that was started then.
    pub(crate) fn on_failure(&mut self, started: Moment, has_timed_out: bool) {
        self.failing_since.get_or_insert(started.max(self.last_success));
        self.failures += 1;
        self.has_timed_out |= has_timed_out;
    }

    /// Whether it is worth asking [`is_hopeless`](Self::is_hopeless).
    pub(crate) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Whether nothing has succeeded for so long that nothing will.
    pub(crate) fn is_hopeless(&self, now: Moment, waiting: Waiting) -> bool {
        let lasts = |since: Option<Moment>, time| since.is_some_and(|since| now.since(since) >= time);
        let unanswered = waiting.connecting.map(|since| since.max(self.last_success));
        if lasts(unanswered, self.give_up_after) && waiting.connected.is_none() {
            return true;
        }
        // What has waited for a large part of the time may just be slow, unless that was
        // waited for in vain before.
        let may_succeed = !self.has_timed_out && lasts(waiting.connected, self.give_up_after / 2);
        self.failures >= self.failures_needed && lasts(self.failing_since, self.give_up_after) && !may_succeed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    /// One that gives up after ten seconds.
    fn outlook(load: &[&str]) -> Outlook {
        let typed = [&["smtpload", "127.0.0.1:1"], load].concat();
        let cli = crate::cli::Cli::try_parse_from(typed).unwrap();
        Outlook::new(&cli.run.plan(|| 1).unwrap())
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO.after(Duration::from_secs(seconds))
    }

    const NONE: Waiting = Waiting { connecting: None, connected: None };

    #[test]
    fn what_fails_for_the_time_without_a_success_is_hopeless() {
        let mut outlook = outlook(&[]);
        assert!(!outlook.is_hopeless(at(100), NONE), "nothing was tried");
        outlook.on_success(at(5));
        outlook.on_failure(at(6), false);
        assert!(!outlook.is_hopeless(at(15), NONE));
        assert!(outlook.is_hopeless(at(16), NONE));
        outlook.on_success(at(17));
        assert!(!outlook.is_hopeless(at(30), NONE), "nothing has failed since");
        outlook.on_failure(at(12), false);
        outlook.on_success(at(17));
        assert!(!outlook.is_hopeless(at(26), NONE), "counted from the success");
        assert!(outlook.is_hopeless(at(27), NONE));
    }

    #[test]
    fn a_slow_target_is_not_hopeless_whatever_else_fails() {
        let mut outlook = outlook(&[]);
        outlook.on_failure(at(0), false);
        let slow = Waiting { connecting: None, connected: Some(at(1)) };
        assert!(!outlook.is_hopeless(at(29), slow));
        // It is waited for in vain.
        outlook.on_failure(at(1), true);
        assert!(outlook.is_hopeless(at(31), slow));
    }

    #[test]
    fn a_target_that_refuses_everything_at_once_is_hopeless() {
        let mut outlook = outlook(&[]);
        outlook.on_failure(at(0), false);
        assert!(outlook.is_hopeless(at(10), Waiting { connecting: None, connected: Some(at(9)) }));
    }

    #[test]
    fn connections_that_nobody_answers_are_hopeless_before_they_time_out() {
        let mut outlook = outlook(&["--rate", "1/s"]);
        let connecting = Waiting { connecting: Some(at(3)), connected: None };
        assert!(!outlook.is_hopeless(at(12), connecting));
        assert!(outlook.is_hopeless(at(13), connecting));
        assert!(!outlook.is_hopeless(at(13), Waiting { connected: Some(at(12)), ..connecting }));
        outlook.on_success(at(5));
        assert!(!outlook.is_hopeless(at(13), connecting));
    }

    #[test]
    fn in_an_open_loop_one_failure_is_not_enough() {
        let mut outlook = outlook(&["--rate", "1/m"]);
        for minute in 0..4 {
            outlook.on_failure(at(60 * minute), false);
            assert!(!outlook.is_hopeless(at(60 * minute + 59), NONE));
        }
        outlook.on_failure(at(240), false);
        assert!(outlook.is_hopeless(at(240), NONE));
    }

    #[test]
    fn never_is_never() {
        let mut outlook = outlook(&["--give-up-after", "never"]);
        outlook.on_failure(at(0), true);
        assert!(!outlook.is_hopeless(at(1_000_000), NONE));
    }
}
