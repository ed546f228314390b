//! The instant at which a run starts, by the clock of the machine. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// An instant: the time since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StartAt(Duration);

impl StartAt {
    /// The time since 1970-01-01 UTC.
    pub(crate) fn elapsed(self) -> Duration {
        self.0
    }
}

impl From<Duration> for StartAt {
    /// The instant so long after 1970-01-01 UTC.
    fn from(since: Duration) -> StartAt {
        StartAt(since)
    }
}

impl fmt::Display for StartAt {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX);
        match DateTime::<Utc>::from_timestamp(seconds, self.0.subsec_nanos()) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} s after 1970", self.0.as_secs()),
        }
    }
}

/// Why a text is no instant; displays as what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartError {
    Form,
    /// A time from now on.
    Relative,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = "2026-11-27T10:00:00Z (RFC 3339), or seconds since 1970, like $(($(date +%s) + 10))";
        match self {
            StartError::Form => write!(f, "expected an instant: {form}"),
            StartError::Relative => {
                write!(f, "parts start together at an instant, not some time from now on; expected {form}")
            }
        }
    }
}

impl std::error::Error for StartError {}

impl FromStr for StartAt {
    type Err = StartError;

    fn from_str(text: &str) -> Result<StartAt, StartError> {
        let text = text.trim();
        if text.starts_with('+') {
            return Err(StartError::Relative);
        }
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            let seconds = u64::try_from(at.timestamp()).map_err(|_| StartError::Form)?;
            // The leap second has up to two seconds of nanoseconds.
            return Ok(StartAt(
                Duration::from_secs(seconds) + Duration::from_nanos(at.timestamp_subsec_nanos().into()),
            ));
        }
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(seconds) || !is_number(fraction) || fraction.len() > 9 {
            return Err(StartError::Form);
        }
        let seconds: u64 = seconds.parse().map_err(|_| StartError::Form)?;
        let nanos: u32 = format!("{fraction:0<9}").parse().map_err(|_| StartError::Form)?;
        // What no calendar has is no instant.
        let shown =
            i64::try_from(seconds).ok().and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
        shown.map(|_| StartAt(Duration::new(seconds, nanos))).ok_or(StartError::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_a_date_or_seconds_since_1970() {
        for (text, nanos, shown) in [
            ("2026-11-27T10:00:00Z", 1_795_773_600_000_000_000, "2026-11-27T10:00:00Z"),
            ("2026-11-27T12:00:00.25+02:00", 1_795_773_600_250_000_000, "2026-11-27T10:00:00.250Z"),
            ("1795773600", 1_795_773_600_000_000_000, "2026-11-27T10:00:00Z"),
            ("1795773600.000000001", 1_795_773_600_000_000_001, "2026-11-27T10:00:00.000000001Z"),
        ] {
            let start: StartAt = text.parse().unwrap();
            assert_eq!(start, StartAt(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(start.to_string(), shown);
            assert_eq!(shown.parse(), Ok(start));
        }
    }

    #[test]
    fn what_is_no_instant_says_what_is() {
        for text in [
            "",
            "soon",
            "10:00",
            "2026-11-27",
            "-5",
            "1.",
            ".5",
            "1795773600s",
            "99999999999999999999",
            "9999999999999999",
        ] {
            assert_eq!(text.parse::<StartAt>(), Err(StartError::Form), "{text}");
        }
        let error = "+10s".parse::<StartAt>().unwrap_err().to_string();
        assert!(error.contains("not some time from now on") && error.contains("$(date +%s)"), "{error}");
    }
}
