//! Figures as findings say them.

/// How many of something whose plural ends with s.
pub(super) fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// A part of a whole that is not empty, in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", part as f64 * 100.0 / whole as f64)
}
