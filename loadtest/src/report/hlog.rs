//! HdrHistogram's interval log, readable by its own tools.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::report::Report;

/// Nanoseconds shown as milliseconds in the log's maximum column, as its tools expect.
const MAX_DIVISOR: f64 = 1e6;

/// Writes the intervals, one histogram per line under the tag `message`.
pub(crate) fn write(report: &Report, path: &Path) -> Result<(), String> {
    let bytes = render(report).map_err(|error| format!("--hlog {}: {error}", path.display()))?;
    super::json::put("--hlog", path, &bytes)
}

fn render(report: &Report) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let start = UNIX_EPOCH + Duration::from_millis(report.started_at_ms);
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(&format!("smtpload {}, target {}", report.version, report.settings.target))
        .add_comment("latencies of accepted messages from their intended start, in nanoseconds")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| error.to_string())?;
    for row in &report.intervals {
        let at = Duration::from_secs_f64(row.at_s.max(0.0));
        let length = Duration::from_secs_f64(row.length_s.max(0.0));
        writer
            .write_histogram(&row.latency.0, at, length, Tag::new("message"))
            .map_err(|error| format!("{error:?}"))?;
    }
    drop(writer);
    Ok(bytes)
}
