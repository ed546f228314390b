//! Reports as JSON. The schema is described in `SCHEMA.md`.

use std::borrow::Cow;

use serde::Deserialize;

use crate::report::span::{LATEST_S, Span};
use crate::report::{Report, SCHEMA, counts, steps};

/// A report as JSON.
pub(crate) fn render(report: &Report) -> Result<Vec<u8>, String> {
    let mut text = serde_json::to_vec_pretty(report).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(text)
}

/// What says that a text is a report.
#[derive(Deserialize)]
struct Head<'t> {
    #[serde(borrow, default)]
    schema: Option<Cow<'t, str>>,
}

/// Reads a report back. Fields that are not known take no memory.
pub(crate) fn parse(bytes: &[u8]) -> Result<Report, String> {
    let head: Head<'_> = serde_json::from_slice(bytes).map_err(|error| match error.is_data() {
        false => format!("not JSON: {error}"),
        true => format!("no report of smtpload: {error}"),
    })?;
    match head.schema.as_deref() {
        Some(SCHEMA) => {}
        Some(other) => return Err(format!("its schema is {other}; this program reads {SCHEMA}")),
        None => return Err("no report of smtpload: it has no `schema`".to_owned()),
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string()).and_then(settle)
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
    let lasts = 0.0..=LATEST_S;
    if let Some(index) =
        report.intervals.iter().position(|row| !lasts.contains(&row.at_s) || !lasts.contains(&row.length_s))
    {
        return Err(format!("intervals.{index}: at_s and length_s are seconds from 0 on"));
    }
    if let Some((name, split)) =
        report.latency.named().into_iter().find(|(_, split)| split.censored > split.failed.count())
    {
        let (censored, failed) = (split.censored, split.failed.count());
        return Err(format!("latency.{name}.censored is {censored}, of {failed} failed samples"));
    }
    steps::settle(&mut report.steps)?;
    counts::check(&report)?;
    report.derive();
    Ok(report)
}
