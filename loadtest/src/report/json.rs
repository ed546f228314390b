//! Reports in JSON. `SCHEMA.md` describes the schema.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use crate::report::pieces::{self, OnlyPieces, Pieces, WithPieces};
use crate::report::sound::{self, Unsound};
use crate::report::span::Span;
use crate::report::{Report, SCHEMA};

/// The largest report that is read, in octets: reports take a few MiB, and a device has no end.
pub(crate) const FILE_LIMIT: u64 = 64 << 20;

/// A report as JSON. Without its pieces, if these make it too large to be read.
pub(crate) fn render(report: &Report) -> serde_json::Result<Vec<u8>> {
    render_within(report, FILE_LIMIT)
}

/// The same with another limit, in octets.
pub(crate) fn render_within(report: &Report, limit: u64) -> serde_json::Result<Vec<u8>> {
    let with = |pieces| serde_json::to_vec_pretty(&WithPieces { report, pieces });
    let mut text = with(report.pieces.as_deref())?;
    if text.len() as u64 >= limit && report.pieces.is_some() {
        text = with(None)?;
    }
    text.push(b'\n');
    Ok(text)
}

/// A report as JSON in one line, for a log.
#[cfg(feature = "fleet")]
pub(crate) fn line(report: &Report) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(&WithPieces { report, pieces: report.pieces.as_deref() })?;
    text.push(b'\n');
    Ok(text)
}

/// Why a text is not a valid report of this program.
#[derive(Debug)]
pub(crate) enum ReportError {
    NotJson(serde_json::Error),
    /// JSON of something else.
    NoReport(serde_json::Error),
    NoSchema,
    OtherSchema(String),
    /// A report of `smtpmock`.
    OfServer,
    /// A field is missing or has another type.
    Field(serde_json::Error),
    /// Pieces of pieces, or a partial report that is not of one lost agent.
    Pieces,
    Unsound(Unsound),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::NotJson(error) => write!(f, "not JSON: {error}"),
            ReportError::NoReport(error) => write!(f, "no report of smtpload: {error}"),
            ReportError::NoSchema => f.write_str("no report of smtpload: it has no `schema`"),
            ReportError::OtherSchema(other) => {
                write!(f, "its schema is {other}; this program reads {SCHEMA}")
            }
            ReportError::OfServer => f.write_str(
                "a report of smtpmock, which `smtpmock merge` merges: expected a report of smtpload",
            ),
            ReportError::Field(error) => error.fmt(f),
            ReportError::Pieces => f.write_str(
                "pieces: each of partial is of one part and of its lost agent, and none has pieces",
            ),
            ReportError::Unsound(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReportError {}

impl<E: Into<Unsound>> From<E> for ReportError {
    fn from(error: E) -> ReportError {
        ReportError::Unsound(error.into())
    }
}

/// The field that identifies a report.
#[derive(Deserialize)]
struct Head<'t> {
    #[serde(borrow, default)]
    schema: Option<Cow<'t, str>>,
}

/// The field that identifies a report of `smtpmock`, whose schema is a number.
#[derive(Deserialize)]
struct ServerHead<'t> {
    #[serde(borrow)]
    program: Cow<'t, str>,
}

fn is_of_server(bytes: &[u8]) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|head: ServerHead<'_>| head.program == "smtpmock")
}

/// Parses a report. Unknown fields take no memory, and however deep it is nested, the stack stays small.
pub(crate) fn parse(bytes: &[u8]) -> Result<Report, ReportError> {
    let head: Head<'_> = serde_json::from_slice(bytes).map_err(|error| match error.is_data() {
        false => ReportError::NotJson(error),
        true if is_of_server(bytes) => ReportError::OfServer,
        true => ReportError::NoReport(error),
    })?;
    match head.schema.as_deref() {
        Some(SCHEMA) => {}
        Some(other) => return Err(ReportError::OtherSchema(other.to_owned())),
        None => return Err(ReportError::NoSchema),
    }
    let mut report: Report = serde_json::from_slice(bytes).map_err(ReportError::Field)?;
    if report.pieces.is_some() {
        let OnlyPieces { pieces } = serde_json::from_slice(bytes).map_err(ReportError::Field)?;
        report.pieces = Some(Box::new(pieces));
    }
    settle(report)
}

/// Checks what the types of a report do not enforce, and computes the derived fields.
///
/// # Errors
/// It can't be the report of a run.
pub(crate) fn settle(mut report: Report) -> Result<Report, ReportError> {
    if let Some(pieces) = report.pieces.take() {
        report.pieces = Some(Box::new(settle_pieces(*pieces)?));
    }
    if report.spans.is_empty() {
        report.spans =
            vec![Span::new(report.settings.warmup_s, report.measured_s, report.sessions.most_open)];
    }
    report.derive();
    sound::check(&report)?;
    Ok(report)
}

/// The same of the pieces, which have none themselves.
fn settle_pieces(pieces: Pieces) -> Result<Pieces, ReportError> {
    let Pieces { whole, partial } = pieces;
    let has_pieces = |report: &Report| report.pieces.is_some();
    if whole.as_ref().is_some_and(has_pieces) || partial.iter().any(has_pieces) {
        return Err(ReportError::Pieces);
    }
    if !partial.iter().all(pieces::is_partial) {
        return Err(ReportError::Pieces);
    }
    let partial = partial.into_iter().map(settle).collect::<Result<_, _>>()?;
    Ok(Pieces { whole: whole.map(settle).transpose()?, partial })
}
