//! Formatting of figures in findings.

/// A number and a noun whose plural ends with s.
pub(super) fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// A part in percent of a whole, which is not zero.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", part as f64 * 100.0 / whole as f64)
}
