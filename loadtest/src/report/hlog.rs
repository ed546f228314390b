//! HdrHistogram's interval log, for its own tools.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use smtpmock::report::hlog::IntervalLog;

use crate::report::Report;

/// Divides nanoseconds into the milliseconds of the log's maximum column.
const MAX_DIVISOR: f64 = 1e6;

/// The intervals, one histogram per line under the tag `message`.
pub(crate) fn render(report: &Report) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(report, &mut bytes)?;
    Ok(bytes)
}

fn write(report: &Report, bytes: &mut Vec<u8>) -> io::Result<()> {
    let start = UNIX_EPOCH + Duration::from_millis(report.started_at_ms);
    let program = format!("smtpload {}, target {}", report.version, report.settings.target);
    let what = "latencies of accepted messages from their intended start, in nanoseconds";
    let mut log = IntervalLog::with_comments(bytes, start, &[&program, what], MAX_DIVISOR)?;
    for row in &report.intervals {
        let at = Duration::from_secs_f64(row.at_s);
        let length = Duration::from_secs_f64(row.length_s);
        log.write_histogram("message", &row.latency.unpack().0, at, length)?;
    }
    Ok(())
}
