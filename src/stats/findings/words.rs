//! Figures as findings say them.

use std::time::Duration;

/// Longer than that is told in minutes.
const MINUTES_FROM: Duration = Duration::from_secs(120);

/// A duration to three digits or so.
pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration {
        _ if duration >= MINUTES_FROM => format!("{:.1} minutes", seconds / 60.0),
        _ if duration.as_secs() > 0 => format!("{seconds:.1} s"),
        _ if duration.as_millis() >= 10 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{:.1} ms", seconds * 1e3),
    }
}

/// How many of something whose plural ends with s.
pub(super) fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// A part of a whole that is not empty, in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", part as f64 * 100.0 / whole as f64)
}
