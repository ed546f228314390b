//! Values of the command line: durations, sizes, rates and ramps. Pure.
//!
//! Durations, sizes and the units of rates follow the grammar of `smtpmock`'s flags and comparisons
//! ([`smtpmock::smtp::rules`]): one grammar in both programs.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use smtpmock::smtp::rules::{A_DURATION, A_SIZE, compared_number, parse_duration, parse_size, split_rate};

use crate::client::phase::{Phase, UnknownPhase};
use crate::load::part::PARTS_LIMIT;
use crate::load::schedule::{Profile, RATE_LIMIT, Segment};

/// The most steps a ramp may be divided into.
const STEPS_LIMIT: u32 = 10_000;

/// Why a value can't be read; displays as the values that are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueError {
    Duration,
    /// Zero, where time is required.
    NoTime,
    /// Neither a duration nor `never`.
    DurationOrNever,
    Rate,
    RateOutOfRange,
    Size,
    /// A chunk of nothing.
    NoChunk,
    /// A range with the larger size first.
    SizesReversed,
    Ramp,
    RampSteps,
    /// Not in the form `RATE:TIME`.
    Step(String),
    Percentage,
    Helo,
    Phase(UnknownPhase),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::Duration => write!(f, "expected {A_DURATION}"),
            ValueError::NoTime => f.write_str("must be longer than zero"),
            ValueError::DurationOrNever => write!(f, "expected {A_DURATION}, or never"),
            ValueError::Rate => f.write_str("expected a rate, like 5000/s, 300/m or 10/h"),
            ValueError::RateOutOfRange => {
                write!(f, "must be above 0 and at most {RATE_LIMIT}/s for each part")
            }
            ValueError::Size => write!(f, "expected {A_SIZE}"),
            ValueError::NoChunk => f.write_str("must be at least one byte"),
            ValueError::SizesReversed => {
                f.write_str("the range goes from large to small; put the smaller size first")
            }
            ValueError::Ramp => f.write_str(
                "expected a ramp, like `100/s..5000/s over 60s` or `100/s..600/s over 60s in 6 steps`",
            ),
            ValueError::RampSteps => write!(f, "a ramp has 2 to {STEPS_LIMIT} steps"),
            ValueError::Step(text) => {
                write!(f, "`{text}` is no step; expected steps, like `100/s:10s,500/s:30s`")
            }
            ValueError::Percentage => f.write_str("expected a percentage, like 10%"),
            ValueError::Helo => f.write_str("must be 1 to 255 characters without blanks"),
            ValueError::Phase(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ValueError {}

/// Reads `5ms`, `1m30s`, `2h`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, ValueError> {
    parse_duration(text.trim()).ok_or(ValueError::Duration)
}

/// Reads a duration that is not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, ValueError> {
    match duration(text)? {
        Duration::ZERO => Err(ValueError::NoTime),
        some => Ok(some),
    }
}

/// Reads a duration that is not zero, or `never`, which is `Duration::MAX`.
pub(crate) fn duration_or_never(text: &str) -> Result<Duration, ValueError> {
    if text.trim() == "never" {
        return Ok(Duration::MAX);
    }
    positive_duration(text).map_err(|error| match error {
        ValueError::Duration => ValueError::DurationOrNever,
        other => other,
    })
}

/// Reads `5s` for all phases, or `dot=5s` for one.
pub(crate) fn timeout(text: &str) -> Result<(Option<Phase>, Duration), ValueError> {
    match text.split_once('=') {
        None => Ok((None, positive_duration(text)?)),
        Some((phase, time)) => {
            let phase = phase.trim().parse().map_err(ValueError::Phase)?;
            Ok((Some(phase), positive_duration(time)?))
        }
    }
}

/// Reads `5000/s`, `300/m`, `10/h`, `5000`: messages per second.
pub(crate) fn rate(text: &str) -> Result<f64, ValueError> {
    let (number, seconds) = split_rate(text.trim()).ok_or(ValueError::Rate)?;
    let rate = compared_number(number).ok_or(ValueError::Rate)? / seconds;
    if rate > 0.0 && rate <= RATE_LIMIT * PARTS_LIMIT as f64 {
        Ok(rate)
    } else {
        Err(ValueError::RateOutOfRange)
    }
}

/// Reads `1KiB` or `1KiB..64KiB` in bytes: the smallest and the largest size.
pub(crate) fn sizes(text: &str) -> Result<(u64, u64), ValueError> {
    let Some((min, max)) = text.split_once("..") else {
        return size(text).map(|size| (size, size));
    };
    let (min, max) = (size(min)?, size(max)?);
    if min > max { Err(ValueError::SizesReversed) } else { Ok((min, max)) }
}

fn size(text: &str) -> Result<u64, ValueError> {
    parse_size(text.trim()).map(|size| size as u64).ok_or(ValueError::Size)
}

/// Reads the size of a chunk in bytes.
pub(crate) fn chunk_size(text: &str) -> Result<NonZeroUsize, ValueError> {
    NonZeroUsize::new(usize::try_from(size(text)?).unwrap_or(usize::MAX)).ok_or(ValueError::NoChunk)
}

/// Reads `10%` or `10`.
pub(crate) fn percentage(text: &str) -> Result<f64, ValueError> {
    let number = text.trim().trim_end_matches('%').trim_end();
    compared_number(number).ok_or(ValueError::Percentage)
}

/// Reads a domain or address literal fit for EHLO (RFC 5321 section 4.1.1.1).
pub(crate) fn helo(text: &str) -> Result<String, ValueError> {
    if text.is_empty() || text.len() > 255 || text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(ValueError::Helo);
    }
    Ok(text.to_owned())
}

/// Reads `100/s..5000/s over 60s`, optionally followed by `in 6 steps`.
pub(crate) fn ramp(text: &str) -> Result<Profile, ValueError> {
    let (rates, rest) = text.split_once(" over ").ok_or(ValueError::Ramp)?;
    let (from, to) = rates.split_once("..").ok_or(ValueError::Ramp)?;
    let (from, to) = (rate(from)?, rate(to)?);
    let (over, steps) = match rest.split_once(" in ") {
        None => (rest, None),
        Some((over, steps)) => (over, Some(count_of_steps(steps).ok_or(ValueError::Ramp)?)),
    };
    let over = positive_duration(over)?;
    let segments = match steps {
        None => vec![Segment { from, to, over }],
        Some(steps @ 2..=STEPS_LIMIT) => stairs(from, to, over, steps),
        Some(_) => return Err(ValueError::RampSteps),
    };
    Ok(Profile { segments, then: to })
}

fn count_of_steps(text: &str) -> Option<u32> {
    let count = text.trim().strip_suffix("steps").or(text.trim().strip_suffix("step"))?;
    count.trim().parse().ok()
}

fn stairs(from: f64, to: f64, over: Duration, steps: u32) -> Vec<Segment> {
    (0..steps)
        .map(|step| {
            let rate = from + (to - from) * f64::from(step) / f64::from(steps - 1);
            Segment { from: rate, to: rate, over: over / steps }
        })
        .collect()
}

/// Reads `100/s:10s,500/s:10s`: rates and their durations.
pub(crate) fn steps(text: &str) -> Result<Profile, ValueError> {
    let mut segments = Vec::new();
    for step in text.split(',') {
        let (at, over) = step.split_once(':').ok_or_else(|| ValueError::Step(step.to_owned()))?;
        let at = rate(at)?;
        segments.push(Segment { from: at, to: at, over: positive_duration(over)? });
    }
    let then = segments.last().map_or(1.0, |segment| segment.to);
    Ok(Profile { segments, then })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_sizes_and_ramps_are_read() {
        assert_eq!(rate("5000/s"), Ok(5000.0));
        assert_eq!(rate("300/m"), Ok(5.0));
        assert_eq!(rate(" 7200 / h "), Ok(2.0));
        assert_eq!(rate("10_000"), Ok(10_000.0));
        assert_eq!(sizes("1KiB"), Ok((1024, 1024)));
        assert_eq!(sizes("1KiB..64 KiB"), Ok((1024, 65536)));
        assert_eq!(sizes("300"), Ok((300, 300)));
        assert_eq!(sizes("64kB"), Ok((64_000, 64_000)));
        let profile = ramp("100/s..5000/s over 60s").unwrap();
        assert_eq!(profile.segments.len(), 1);
        assert_eq!(profile.then, 5000.0);
        let stairs = ramp("100/s..600/s over 60s in 6 steps").unwrap();
        let rates: Vec<f64> = stairs.segments.iter().map(|segment| segment.from).collect();
        assert_eq!(rates, [100.0, 200.0, 300.0, 400.0, 500.0, 600.0]);
        assert_eq!(stairs.length(), Duration::from_secs(60));
        assert_eq!(steps("100/s:10s,500/s:5s").unwrap().length(), Duration::from_secs(15));
    }

    /// Whether a gate on a latency accepts this limit.
    fn gate_takes(text: &str) -> bool {
        crate::judge::gate::Gate::fail_if(&format!("p99(message) > {text}")).is_ok()
    }

    #[test]
    fn a_duration_is_the_same_in_a_flag_and_in_a_gate() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("2 m", 120_000),
            ("0.25min", 15_000),
            ("1h5 min", 3_900_000),
            ("1h", 3_600_000),
            ("500ms", 500),
            ("3000us", 3),
            ("3000\u{b5}s", 3),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
            assert!(gate_takes(text), "{text}");
        }
        for text in ["2days", "1y", "5 parsecs", "", "1s30", "99999999999999999999s", "-1s"] {
            assert_eq!(duration(text), Err(ValueError::Duration), "{text}");
            assert!(!gate_takes(text), "{text}");
        }
        // A number alone is seconds in a flag, and an error in a gate.
        assert_eq!(duration("30"), duration("30s"));
        assert!(!gate_takes("30"));
        assert_eq!(duration("366000h"), Err(ValueError::Duration), "longer than a year");
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let error = |error: ValueError| error.to_string();
        assert!(error(rate("fast").unwrap_err()).contains("5000/s"));
        assert!(error(rate("5/d").unwrap_err()).contains("300/m or 10/h"));
        assert!(error(rate("0/s").unwrap_err()).contains("above 0"));
        assert!(rate("NaN").is_err() && rate("inf").is_err() && rate("-1").is_err());
        assert!(error(sizes("64KiB..1KiB").unwrap_err()).contains("smaller size first"));
        assert!(error(sizes("big").unwrap_err()).contains("64KiB"));
        assert!(error(ramp("100..200").unwrap_err()).contains("over 60s"));
        assert!(error(ramp("100/s..200/s over 10s in 1 steps").unwrap_err()).contains("2 to"));
        assert!(error(duration("5 parsecs").unwrap_err()).contains("250ms"));
        assert!(error(duration_or_never("soon").unwrap_err()).ends_with("or never"));
        assert!(error(timeout("dots=5s").unwrap_err()).contains("dot"));
        assert_eq!(positive_duration("0s"), Err(ValueError::NoTime));
    }
}
