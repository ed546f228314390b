//! Durations, sizes, probabilities and rates as text. Each printed value parses to the same value.

use std::fmt;
use std::time::Duration;

/// Longest duration of a rule or setting, 365 days: the span of the server's timing wheel, rounded down.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);
/// Largest number of digits after a point: further ones are less than a nanosecond.
const MAX_FRACTION_DIGITS: usize = 18;

/// The texts that [`parse_duration`] accepts, for messages.
pub const A_DURATION: &str = "a number of seconds, like 2, or with a unit, like 250ms, 1.5s or 2m";
/// The texts that [`parse_size`] accepts, for messages.
pub const A_SIZE: &str = "a number of bytes, like 1048576, or with a unit, like 64KiB or 1MiB";
pub(super) const A_CHANCE: &str = "a percentage from 0.0001% to 100%, like 5%";
const A_RATE: &str = "a size per second, like 100B/s or 10KiB/s";

const DURATION_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    // The micro sign, and the Greek letter mu.
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    // Not in Go's format.
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The units of time of a rate, each with its seconds.
pub(super) const PERIODS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3600)];

const SIZE_UNITS: &[(&str, usize)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A duration of at most [`MAX_DURATION`]: whole seconds without a unit, or numbers with units.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs).filter(|&span| span <= MAX_DURATION);
    }
    duration_with_units(text).filter(|&span| span <= MAX_DURATION)
}

/// A duration in the format of Go's `time.ParseDuration`, without a sign: one or more numbers, each with a unit, as in
/// `250ms`, `1.5s` or `1m30s`. Beyond Go's format, blanks may precede a unit, and `min` is minutes. Fractions of a
/// nanosecond are truncated. `None` for any other text, and for more than 584 years.
///
/// The grammar of all durations of both programs. Limits on figures require a unit: a bare number could be read as
/// milliseconds.
pub fn duration_with_units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = (!text.is_empty()).then_some(Duration::ZERO)?;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c| !is_decimal(c))?);
        let behind = behind.trim_start();
        let (unit, behind) = behind.split_at(behind.find(is_decimal).unwrap_or(behind.len()));
        let nanoseconds = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(Duration::from_nanos(times(number, nanoseconds)?))?;
        rest = behind;
    }
    Some(total)
}

fn is_decimal(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// A decimal number of units, truncated to the smallest.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || fraction.len() > MAX_FRACTION_DIGITS || !digits(fraction) {
        return None;
    }
    let value = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole = u128::from(value(whole)?) * u128::from(unit);
    u64::try_from(whole + u128::from(value(fraction)?) * u128::from(unit) / scale).ok()
}

/// Prints a duration in the largest unit in which it is a whole number.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let fits = |unit: u128| nanoseconds.is_multiple_of(unit);
        match () {
            () if nanoseconds == 0 => f.write_str("0s"),
            () if fits(1_000_000_000) => write!(f, "{}s", nanoseconds / 1_000_000_000),
            () if fits(1_000_000) => write!(f, "{}ms", nanoseconds / 1_000_000),
            () if fits(1_000) => write!(f, "{}us", nanoseconds / 1_000),
            () => write!(f, "{nanoseconds}ns"),
        }
    }
}

/// A number of octets, with or without a unit, ignoring case: `1048576`, `1_000KB`, `10 MiB`. `None` for any other
/// text, and for a number that exceeds `usize`.
pub fn parse_size(text: &str) -> Option<usize> {
    let with_unit = SIZE_UNITS.iter().find_map(|&(unit, octets)| {
        let (number, suffix) = text.split_at_checked(text.len().checked_sub(unit.len())?)?;
        suffix.eq_ignore_ascii_case(unit).then_some((number.trim_end(), octets))
    });
    let (number, octets) = with_unit.unwrap_or((text, 1));
    whole_number(number)?.checked_mul(octets)
}

/// Decimal digits, optionally with single underscores between them.
fn whole_number(text: &str) -> Option<usize> {
    let is_run = |digits: &str| !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    if text.split('_').all(is_run) { text.replace('_', "").parse().ok() } else { None }
}

/// Prints a size in the largest binary unit in which it is a whole number.
pub(super) struct Size(pub(super) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1_usize << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, octets)| self.0 > 0 && self.0.is_multiple_of(*octets)) {
            Some((unit, octets)) => write!(f, "{}{unit}", self.0 / octets),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A number of at least zero, optionally with a fraction, an exponent, and underscores between digits.
pub fn compared_number(text: &str) -> Option<f64> {
    let number: f64 = text.replace('_', "").parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// Splits a rate into its amount and its seconds: `300/m` is `300` in 60. Without a unit of time it is per second.
/// `None` for a unit other than `/s`, `/m` and `/h`.
pub fn split_rate(text: &str) -> Option<(&str, f64)> {
    let Some((amount, unit)) = text.rsplit_once('/') else { return Some((text, 1.0)) };
    let (_, seconds) = PERIODS.iter().find(|(name, _)| *name == unit.trim())?;
    Some((amount.trim_end(), *seconds as f64))
}

/// A probability in parts per million, which its text represents exactly. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chance(u32);

/// A probability of 1.
const WHOLE: u32 = 1_000_000;

impl Chance {
    /// From a percentage; `None` above 100, or if it rounds to zero.
    pub fn percent(percent: f64) -> Option<Self> {
        let parts = (percent * 10_000.0).round();
        (1.0..=f64::from(WHOLE)).contains(&parts).then_some(Self(parts as u32))
    }

    /// From 0 to 1.
    pub fn probability(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = times(text.strip_suffix('%')?, 10_000)?;
        u32::try_from(parts).ok().filter(|parts| (1..=WHOLE).contains(parts)).map(Self)
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, format!("{:04}", self.0 % 10_000));
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}%"),
            digits => write!(f, "{whole}.{digits}%"),
        }
    }
}

/// Bytes per second, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRate(u64);

impl ByteRate {
    /// `None` for zero: no octet would ever arrive.
    pub fn per_second(bytes: u64) -> Option<Self> {
        (bytes > 0).then_some(Self(bytes))
    }

    /// Bytes per second.
    pub fn bytes_per_second(self) -> u64 {
        self.0
    }

    /// The time that this many bytes take.
    pub fn time_for(self, bytes: usize) -> Duration {
        let nanoseconds = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(self.0));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)).min(MAX_DURATION)
    }
}

impl std::str::FromStr for ByteRate {
    type Err = super::GrammarError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.trim().strip_suffix("/s").and_then(parse_size);
        bytes
            .and_then(|bytes| Self::per_second(bytes as u64))
            .ok_or_else(|| super::GrammarError::expected(text, 0..text.len(), A_RATE))
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Size(usize::try_from(self.0).unwrap_or(usize::MAX)).to_string();
        let unit = if text.ends_with('B') { "" } else { "B" };
        write!(f, "{text}{unit}/s")
    }
}
