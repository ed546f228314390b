//! The view of a run in progress, on standard error.

use smtpmock::output::{Progress, Writer};
use smtpmock::units::duration;

use crate::load::plan::Plan;
use crate::measure::interval::{INTERVAL, Interval};
use crate::report::show_ns;

/// Width of the bar, in characters.
const BAR_WIDTH: u64 = 20;

/// The view, updated with every interval: a line each, or on a terminal one line that is rewritten.
#[derive(Debug)]
pub(crate) struct Live {
    /// `None` with `--quiet`.
    progress: Option<Progress>,
    /// The progress of the run and its length, both in `unit`.
    seen: u64,
    length: u64,
    unit: Unit,
}

/// The unit of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Messages,
    Seconds,
}

impl Live {
    pub(crate) fn new(plan: &Plan, quiet: bool, to: &Writer) -> Live {
        let (length, unit) = match (plan.limit.duration, plan.count()) {
            (Some(duration), _) => (duration.as_secs_f64().ceil() as u64, Unit::Seconds),
            (None, count) => (count.unwrap_or(0), Unit::Messages),
        };
        Live { progress: (!quiet).then(|| Progress::new(to.clone())), seen: 0, length, unit }
    }

    /// Shows a completed interval.
    pub(crate) fn show(&mut self, interval: &Interval) {
        self.show_with(interval, "");
    }

    /// Shows a completed interval, and a text behind it.
    pub(crate) fn show_with(&mut self, interval: &Interval, text: &str) {
        self.seen += match self.unit {
            Unit::Messages => interval.accepted + interval.errors,
            Unit::Seconds => INTERVAL.as_secs(),
        };
        let Some(progress) = &self.progress else { return };
        let time = ends_at(interval);
        let bar = if progress.is_rewritten() { bar(self.seen, self.length) } else { String::new() };
        progress.show(&format!("{time}{bar}{}{text}", describe(interval)));
    }

    /// Erases the view from the terminal.
    pub(crate) fn end(&self) {
        if let Some(progress) = &self.progress {
            progress.erase();
        }
    }
}

/// The bar, and the percentage.
fn bar(seen: u64, length: u64) -> String {
    let share =
        |of: u64| (u128::from(seen.min(length)) * u128::from(of) / u128::from(length.max(1))) as usize;
    let (done, width) = (share(BAR_WIDTH), BAR_WIDTH as usize);
    format!("[{}{}] {:>3}%  ", "=".repeat(done), " ".repeat(width - done), share(100))
}

/// When an interval ended, since the start of the run.
fn ends_at(interval: &Interval) -> String {
    if interval.length < INTERVAL {
        let began = interval.index * INTERVAL.as_secs();
        return format!("{:>7.1} s  ", began as f64 + interval.length.as_secs_f64());
    }
    format!("{:>5} s    ", (interval.index + 1) * INTERVAL.as_secs())
}

fn describe(interval: &Interval) -> String {
    let at = |quantile| {
        if interval.latency.is_empty() {
            "-".to_owned()
        } else {
            show_ns(interval.latency.value_at_quantile(quantile))
        }
    };
    // The last interval is shorter: its count is neither a rate nor a total of the run.
    let accepted = match interval.length < INTERVAL {
        true => format!("{} accepted in the last {}", interval.accepted, duration(interval.length)),
        false => format!("{:.0}/s", interval.accepted as f64 / interval.length.as_secs_f64()),
    };
    format!(
        "{accepted}  {} in flight  {} errors  p50 {}  p99 {}{}",
        interval.in_flight,
        interval.errors,
        at(0.5),
        at(0.99),
        if interval.starved { "  generator starved" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_interval_is_not_made_a_rate() {
        let of = |index, length| Interval { accepted: 8, length, ..Interval::new(index) };
        let (whole, part) = (of(3, INTERVAL), of(4, Duration::from_millis(1)));
        assert_eq!(
            format!("{}{}", ends_at(&whole), describe(&whole)),
            "    4 s    8/s  0 in flight  0 errors  p50 -  p99 -"
        );
        assert_eq!(
            format!("{}{}", ends_at(&part), describe(&part)),
            "    4.0 s  8 accepted in the last 1 ms  0 in flight  0 errors  p50 -  p99 -"
        );
    }

    #[test]
    fn a_bar_is_as_long_whatever_is_done() {
        assert_eq!(bar(0, 10), "[                    ]   0%  ");
        assert_eq!(bar(1, 3), "[======              ]  33%  ");
        assert_eq!(bar(11, 10), "[====================] 100%  ");
        assert_eq!(bar(1, 0), "[                    ]   0%  ");
        assert_eq!(bar(u64::MAX, u64::MAX), "[====================] 100%  ");
    }
}
