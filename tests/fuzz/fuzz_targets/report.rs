//! Reports from their JSON: never a panic, and what is read is written so that it reads back as the same.
//!
//! The first four bytes choose a piece of a report without figures; the rest takes its place.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use smtpmock::report::Report;
use smtpmock::report::encoding::decode;
use smtpmock::stats::Stats;

static VALID: LazyLock<String> = LazyLock::new(|| Report::new(&Stats::default()).json());

fuzz_target!(|data: &[u8]| {
    let [start, start_low, length, length_low, replacement @ ..] = data else { return };
    let Ok(replacement) = std::str::from_utf8(replacement) else { return };
    // A histogram stands in it as such text.
    let _ = decode(replacement);
    let at = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([*high, *low]));
    let start = at(start, start_low).min(VALID.len());
    let end = (start + at(length, length_low)).min(VALID.len());
    let (Some(before), Some(behind)) = (VALID.get(..start), VALID.get(end..)) else { return };
    let Ok(report) = Report::read(&format!("{before}{replacement}{behind}")) else { return };
    let json = report.json();
    let again = Report::read(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(again.json(), json);
    assert!(!report.text().is_empty() && !report.html().is_empty());
});
