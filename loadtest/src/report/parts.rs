//! The parts of a run in a report.

use serde::{Deserialize, Serialize};

use crate::report::show_ns;

/// One part of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartRow {
    /// The id of the run, the same for all of its parts.
    pub(crate) run: String,
    /// Its index, and the number of parts of the run; 0 of 1 for a run that is not cut.
    pub(crate) index: u64,
    pub(crate) of: u64,
    /// The instant of `--start-at` (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start_at: Option<String>,
    /// How much later its last event loop began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_late_ms: Option<f64>,
}

impl PartRow {
    /// For people: `2/5, started at 2026-11-27T10:00:00Z, 120 us late`.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}/{}", self.index, self.of);
        if let (Some(start), Some(late)) = (&self.start_at, self.started_late_ms) {
            text.push_str(&format!(", started at {start}, {} late", show_ns((late * 1e6) as u64)));
        }
        text
    }
}
