//! What a report with lost agents is the sum of, so that a lost agent's own report can replace what it has reported.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::report::Report;
use crate::report::agents::AgentRow;
use crate::report::parts::PartRow;

/// The reports of which one with lost agents is the sum.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pieces {
    /// The sum of the whole parts; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<Report>,
    /// What each lost agent has reported of its part.
    pub(crate) partial: Vec<Report>,
}

/// A report with its pieces, as it is written.
#[derive(Serialize)]
pub(crate) struct WithPieces<'r> {
    #[serde(flatten)]
    pub(crate) report: &'r Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pieces: Option<&'r Pieces>,
}

/// The pieces of a report, without the rest of it.
#[derive(Deserialize)]
pub(crate) struct OnlyPieces {
    pub(crate) pieces: Pieces,
}

/// Skips pieces in the place of a report where they are not read; empty ones instead mark that there are some.
pub(crate) fn unread<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Pieces>>, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.map(|_| Box::default()))
}

/// Whether a report is what one lost agent has reported.
pub(crate) fn is_partial(report: &Report) -> bool {
    matches!(report.parts.as_slice(), [_])
        && matches!(report.agents.as_slice(), [AgentRow { lost: Some(_), .. }])
}

impl Pieces {
    /// Takes reports apart, and omits what is partial where the whole part is among them.
    pub(crate) fn of(reports: Vec<Report>) -> (Vec<Report>, Vec<Report>) {
        let (mut whole, mut partial) = (Vec::new(), Vec::new());
        for mut report in reports {
            match report.pieces.take() {
                None => whole.push(report),
                Some(pieces) => {
                    whole.extend(pieces.whole);
                    partial.extend(pieces.partial);
                }
            }
        }
        let is_there =
            |part: &PartRow| whole.iter().any(|report| report.parts.iter().any(|row| row.is_same(part)));
        partial.retain(|report| !report.parts.iter().any(is_there));
        (whole, partial)
    }
}
