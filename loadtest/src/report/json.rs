//! Reports as JSON. The schema is described in `SCHEMA.md`.

use std::io::Write as _;
use std::path::Path;

use crate::report::span::Span;
use crate::report::{Report, SCHEMA, counts};

/// The largest report read, in bytes: a day of intervals is about a third of it.
const FILE_LIMIT: u64 = 512 << 20;

/// Writes a report; `-` is the standard output.
pub(crate) fn write(report: &Report, path: &Path) -> Result<(), String> {
    let mut text = serde_json::to_string_pretty(report).map_err(|error| format!("--json: {error}"))?;
    text.push('\n');
    super::json::put("--json", path, text.as_bytes())
}

/// Writes an output file, or to the standard output for `-`.
pub(crate) fn put(flag: &str, path: &Path, bytes: &[u8]) -> Result<(), String> {
    let written = if path == Path::new("-") {
        std::io::stdout().lock().write_all(bytes)
    } else {
        std::fs::write(path, bytes)
    };
    written.map_err(|error| format!("{flag} {}: {error}", path.display()))
}

/// Reads a report back.
pub(crate) fn read(path: &Path) -> Result<Report, String> {
    let name = path.display();
    let len = std::fs::metadata(path).map_err(|error| format!("{name}: {error}"))?.len();
    if len > FILE_LIMIT {
        return Err(format!("{name}: larger than {} MiB, which no report is", FILE_LIMIT >> 20));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{name}: not JSON: {error}"))?;
    match value.get("schema").and_then(serde_json::Value::as_str) {
        Some(SCHEMA) => {}
        Some(other) => {
            return Err(format!("{name}: its schema is {other}; this program reads {SCHEMA}"));
        }
        None => return Err(format!("{name}: no report of smtpload: it has no `schema`")),
    }
    serde_json::from_value(value)
        .map_err(|error| error.to_string())
        .and_then(settle)
        .map_err(|error| format!("{name}: {error}"))
}

/// Checks what a report's types leave open, and derives what follows from other fields.
fn settle(mut report: Report) -> Result<Report, String> {
    if report.spans.is_empty() {
        report.spans =
            vec![Span::new(report.settings.warmup_s, report.measured_s, report.sessions.most_open)];
    }
    if let Some(index) = report.spans.iter().position(|span| !span.is_sound()) {
        return Err(format!("spans.{index}: a run begins, is measured and ends in this order, from 0 on"));
    }
    if let Some((name, split)) =
        report.latency.named().into_iter().find(|(_, split)| split.censored > split.failed.count())
    {
        let (censored, failed) = (split.censored, split.failed.count());
        return Err(format!("latency.{name}.censored is {censored}, of {failed} failed samples"));
    }
    counts::check(&report)?;
    report.derive();
    Ok(report)
}
