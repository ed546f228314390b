//! Values of terms: sizes and times.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

pub(super) const A_SIZE: &str = "a size, like 1048576, 200kb or 1.5m";
pub(super) const A_MOMENT: &str = "a moment, like 2026-11-27, 2026-11-27 10:00, 2026-11-27T10:00:00Z, or seconds since 1970 (UTC where no zone is given)";

/// Octets: `1.5m`, `200kb`; each unit is 1024 times the previous one.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1_u64 << 30,
        _ => return None,
    };
    let octets = number.parse::<f64>().ok()? * factor as f64;
    (octets <= 2_f64.powi(53)).then_some(octets as u64)
}

pub(crate) fn moment(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.into());
    }
    if let Ok(seconds) = text.parse::<u64>() {
        // Too large for seconds: milliseconds, as in JavaScript.
        let is_milliseconds = seconds > 100_000_000_000;
        let since =
            if is_milliseconds { Duration::from_millis(seconds) } else { Duration::from_secs(seconds) };
        return SystemTime::UNIX_EPOCH.checked_add(since);
    }
    let date = |text: &str| {
        ["%Y-%m-%d", "%Y/%m/%d"].iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok())
    };
    let at = match text.split_once(['T', ' ']) {
        None => date(text)?.and_time(NaiveTime::MIN),
        Some((day, time)) => {
            let formats = ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f"];
            let time =
                formats.iter().find_map(|format| NaiveTime::parse_from_str(time.trim(), format).ok())?;
            NaiveDateTime::new(date(day)?, time)
        }
    };
    Some(DateTime::<Utc>::from_naive_utc_and_offset(at, Utc).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, octets) in [
            ("1048576", Some(1 << 20)),
            ("1.5m", Some(3 << 19)),
            ("200kb", Some(200 << 10)),
            ("2 KiB", Some(2048)),
            ("1G", Some(1 << 30)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("-1", None),
            ("1.2.3", None),
            ("99999999999999999999g", None),
        ] {
            assert_eq!(size(text), octets, "{text}");
        }
    }

    #[test]
    fn moments_are_read_in_the_usual_forms() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_773_600);
        for text in [
            "2026-11-27T10:00:00Z",
            "2026-11-27T11:00:00+01:00",
            "2026-11-27 10:00",
            "2026/11/27 10:00:00",
            "1795773600",
            "1795773600000",
        ] {
            assert_eq!(moment(text), Some(expected), "{text}");
        }
        assert_eq!(moment("2026-11-27"), Some(expected - Duration::from_secs(36_000)));
        for text in ["", "yesterday", "2026-13-01", "2026-11-27 25:00", "18446744073709551615000"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
