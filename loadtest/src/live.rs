//! What is shown while a run goes on, on the standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::Plan;
use crate::reactor::INTERVAL;
use crate::report::show_ns;
use crate::tally::Interval;

/// A view of the run, told of every interval.
#[derive(Debug)]
pub(crate) enum Live {
    Quiet,
    /// One plain line per interval.
    Lines,
    Bar {
        bar: ProgressBar,
        seen: u64,
        by: Progress,
    },
}

/// What the bar's length stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Messages,
    Seconds,
}

impl Live {
    pub(crate) fn new(plan: &Plan, quiet: bool) -> Live {
        if quiet {
            return Live::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Live::Lines;
        }
        let (length, by) = match (plan.limit.duration, plan.limit.count) {
            (Some(duration), _) => (duration.as_secs_f64().ceil() as u64, Progress::Seconds),
            (None, count) => (count.unwrap_or(0), Progress::Messages),
        };
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {percent:>3}%  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(250));
        Live::Bar { bar, seen: 0, by }
    }

    /// Shows an interval that has ended.
    pub(crate) fn show(&mut self, interval: &Interval) {
        match self {
            Live::Quiet => {}
            // Not being able to show is no reason to end a run.
            Live::Lines => drop(writeln!(
                std::io::stderr().lock(),
                "{:>5} s  {}",
                interval.index + 1,
                describe(interval)
            )),
            Live::Bar { bar, seen, by } => {
                *seen += match by {
                    Progress::Messages => interval.accepted + interval.errors,
                    Progress::Seconds => INTERVAL.as_secs(),
                };
                bar.set_position(*seen);
                bar.set_message(describe(interval));
            }
        }
    }

    /// Takes the view off the terminal.
    pub(crate) fn end(&self) {
        if let Live::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn describe(interval: &Interval) -> String {
    let at = |quantile| {
        if interval.latency.is_empty() {
            "-".to_owned()
        } else {
            show_ns(interval.latency.value_at_quantile(quantile))
        }
    };
    // The last interval may be short; what it saw is then made a rate, too.
    let length = interval.length.as_secs_f64().max(0.001);
    format!(
        "{:.0}/s  {} in flight  {} errors  p50 {}  p99 {}{}",
        interval.accepted as f64 / length,
        interval.in_flight,
        interval.errors,
        at(0.5),
        at(0.99),
        if interval.starved { "  generator starved" } else { "" }
    )
}
