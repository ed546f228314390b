//! The progress line of a run.

use super::over_stages;
use super::tables::rate;
use crate::stats::{Durations, Stats};
use crate::text::units::duration;

/// Figures since the last line and of the whole run, without a line end.
pub(super) fn line(difference: &Stats, total: &Stats) -> String {
    let think = over_stages(difference, |stage| &stage.think);
    let service = over_stages(difference, |stage| &stage.service);
    let at = |durations: &Durations, share| match durations.count() {
        0 => "-".to_owned(),
        _ => duration(durations.quantile(share)),
    };
    let state = if total.degraded().is_empty() { "" } else { "  DEGRADED" };
    format!(
        "{:>7.1} s  {:>6}/s  {} messages  {} refused  {} aborted  {} open  think p50 {} p99 {}  service p99 {}{state}",
        total.ends.as_secs_f64(),
        rate(difference),
        total.messages.accepted,
        total.messages.refused,
        total.messages.aborted,
        total.sessions_open(),
        at(&think, 0.5),
        at(&think, 0.99),
        at(&service, 0.99),
    )
}
