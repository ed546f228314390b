//! Reading rates, sizes, durations and ramps as people write them. Pure.

use std::time::Duration;

use smtpmock::smtp::rules::MAX_DURATION;

use crate::load::schedule::{Profile, RATE_LIMIT, Segment};

/// The most steps a ramp may be cut into.
const STEPS_LIMIT: u32 = 10_000;

/// Reads `5ms`, `1m30s`, `2h`; a bare number is seconds, as everywhere in the server.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().ok().filter(|&seconds| seconds <= MAX_DURATION.as_secs());
        return seconds.map(Duration::from_secs).ok_or_else(|| "must be at most 365 days".to_owned());
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a duration like 500ms, 10s or 1m30s"))
}

/// Reads a duration that is not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        some => Ok(some),
    }
}

/// Reads `5000/s`, `300/m`, `5000`: messages per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (number, per) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match per.trim() {
        "s" | "sec" | "second" => 1.0,
        "m" | "min" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        other => return Err(format!("`/{other}` is no unit of a rate; use /s, /m or /h")),
    };
    let number: f64 = number
        .trim()
        .replace('_', "")
        .parse()
        .map_err(|_| format!("`{}` is no number; write a rate like 5000/s", number.trim()))?;
    let rate = number / seconds;
    if rate.is_finite() && rate > 0.0 && rate <= RATE_LIMIT {
        Ok(rate)
    } else {
        Err(format!("must be above 0 and at most {RATE_LIMIT}/s"))
    }
}

/// Reads `1KiB` or `1KiB..64KiB` as bytes, lowest and highest.
pub(crate) fn sizes(text: &str) -> Result<(u64, u64), String> {
    match text.split_once("..") {
        None => size(text).map(|size| (size, size)),
        Some((min, max)) => {
            let (min, max) = (size(min)?, size(max)?);
            if min > max {
                return Err("the range goes from large to small; put the smaller size first".to_owned());
            }
            Ok((min, max))
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    text.trim()
        .parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("`{}` is no size; write bytes or a size like 1KiB or 64kB", text.trim()))
}

/// Reads `100/s..5000/s over 60s`, with `in 6 steps` after it if wanted.
pub(crate) fn ramp(text: &str) -> Result<Profile, String> {
    const FORM: &str = "write a ramp like `100/s..5000/s over 60s` or `100/s..600/s over 60s in 6 steps`";
    let (rates, rest) = text.split_once(" over ").ok_or(FORM)?;
    let (from, to) = rates.split_once("..").ok_or(FORM)?;
    let (from, to) = (rate(from)?, rate(to)?);
    let (over, steps) = match rest.split_once(" in ") {
        None => (rest, None),
        Some((over, steps)) => {
            let count =
                steps.trim().strip_suffix("steps").or(steps.trim().strip_suffix("step")).ok_or(FORM)?;
            (over, Some(count.trim().parse::<u32>().map_err(|_| FORM)?))
        }
    };
    let over = positive_duration(over)?;
    let segments = match steps {
        None => vec![Segment { from, to, over }],
        Some(steps @ 2..=STEPS_LIMIT) => stairs(from, to, over, steps),
        Some(_) => return Err(format!("a ramp has 2 to {STEPS_LIMIT} steps")),
    };
    Ok(Profile { segments, then: to })
}

fn stairs(from: f64, to: f64, over: Duration, steps: u32) -> Vec<Segment> {
    (0..steps)
        .map(|step| {
            let rate = from + (to - from) * f64::from(step) / f64::from(steps - 1);
            Segment { from: rate, to: rate, over: over / steps }
        })
        .collect()
}

/// Reads `100/s:10s,500/s:10s`: rates and how long each holds.
pub(crate) fn steps(text: &str) -> Result<Profile, String> {
    let mut segments = Vec::new();
    for step in text.split(',') {
        let (at, over) = step
            .split_once(':')
            .ok_or_else(|| format!("`{step}` is no step; write steps like `100/s:10s,500/s:30s`"))?;
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
    fn rates_sizes_and_ramps_are_read_as_people_write_them() {
        assert_eq!(rate("5000/s"), Ok(5000.0));
        assert_eq!(rate("300/m"), Ok(5.0));
        assert_eq!(rate("10_000"), Ok(10_000.0));
        assert_eq!(sizes("1KiB"), Ok((1024, 1024)));
        assert_eq!(sizes("1KiB..64KiB"), Ok((1024, 65536)));
        assert_eq!(sizes("300"), Ok((300, 300)));
        assert_eq!(duration("30"), duration("30s"));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("99999999999999999999").is_err() && duration("").is_err());
        let profile = ramp("100/s..5000/s over 60s").unwrap();
        assert_eq!(profile.segments.len(), 1);
        assert_eq!(profile.then, 5000.0);
        let stairs = ramp("100/s..600/s over 60s in 6 steps").unwrap();
        let rates: Vec<f64> = stairs.segments.iter().map(|segment| segment.from).collect();
        assert_eq!(rates, [100.0, 200.0, 300.0, 400.0, 500.0, 600.0]);
        assert_eq!(stairs.length(), Duration::from_secs(60));
        assert_eq!(steps("100/s:10s,500/s:5s").unwrap().length(), Duration::from_secs(15));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        assert!(rate("fast").unwrap_err().contains("5000/s"));
        assert!(rate("5/d").unwrap_err().contains("/s, /m or /h"));
        assert!(rate("0/s").unwrap_err().contains("above 0"));
        assert!(rate("NaN").is_err() && rate("inf").is_err() && rate("-1").is_err());
        assert!(sizes("64KiB..1KiB").unwrap_err().contains("smaller size first"));
        assert!(sizes("big").unwrap_err().contains("1KiB"));
        assert!(ramp("100..200").unwrap_err().contains("over 60s"));
        assert!(ramp("100/s..200/s over 10s in 1 steps").unwrap_err().contains("2 to"));
        assert!(duration("5 parsecs").unwrap_err().contains("500ms"));
        assert!(positive_duration("0s").is_err());
    }
}
