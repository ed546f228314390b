//! The parts of runs in a report, and which are missing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::{Report, plans, show_ns};

/// The most parts of a run in a report.
const PARTS_LIMIT: u64 = 10_000;

/// The most missing parts that a sentence names.
const NAMED_LIMIT: usize = 20;

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

    /// Whether it is the same part of the same run.
    pub(crate) fn is_same(&self, other: &PartRow) -> bool {
        (&self.run, self.index, self.of) == (&other.run, other.index, other.of)
    }

    /// Whether it can be a part.
    pub(crate) fn is_sound(&self) -> bool {
        self.index < self.of && self.of <= PARTS_LIMIT
    }
}

/// Parts of one run that are not in a merged report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) run: String,
    pub(crate) of: u64,
    /// Their indexes, in order.
    pub(crate) parts: Vec<u64>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> =
            self.parts.iter().take(NAMED_LIMIT).map(|index| format!("{index}/{}", self.of)).collect();
        let more = self.parts.len().saturating_sub(NAMED_LIMIT);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        write!(f, "{}{rest} of run {}", named.join(", "), self.run)
    }
}

/// The parts that are missing from those of a merged report, by run.
pub(crate) fn missing(parts: &[PartRow]) -> Vec<Missing> {
    let mut runs: Vec<(&str, u64)> = parts.iter().map(|part| (part.run.as_str(), part.of)).collect();
    runs.dedup();
    let absent = |(run, of): (&str, u64)| {
        let mut is_there = vec![false; usize::try_from(of.min(PARTS_LIMIT)).unwrap_or(0)];
        for part in parts.iter().filter(|part| part.run == run) {
            if let Some(there) = usize::try_from(part.index).ok().and_then(|index| is_there.get_mut(index)) {
                *there = true;
            }
        }
        let parts: Vec<u64> =
            (0..).zip(is_there).filter(|(_, is_there)| !is_there).map(|(index, _)| index).collect();
        (!parts.is_empty()).then(|| Missing { run: run.to_owned(), of, parts })
    };
    runs.into_iter().filter_map(absent).collect()
}

/// Whether parts of several runs would be all parts of one: each index is there once. Then they were meant to be.
pub(crate) fn are_of_one(missing: &[Missing]) -> bool {
    let Some(first) = missing.first() else { return false };
    let is_there_once =
        |index: u64| missing.iter().filter(|row| row.parts.binary_search(&index).is_err()).count() == 1;
    missing.iter().all(|row| row.of == first.of) && (0..first.of).all(is_there_once)
}

/// Why reports are not of parts of the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartsError {
    /// This run is in two of them, and not in parts.
    Run(String),
    /// This part is in two of them.
    Part { run: String, index: u64, of: u64 },
    /// The parts of this run are of different numbers of parts.
    Cuts { run: String, of: u64, other: u64 },
    /// They differ in these settings of the whole run.
    Settings { run: String, names: String },
}

impl fmt::Display for PartsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartsError::Run(run) => write!(f, "run {run} is in two of the reports; give each run once"),
            PartsError::Part { run, index, of } => {
                write!(f, "part {index}/{of} of run {run} is in two of the reports; give each part once")
            }
            PartsError::Cuts { run, of, other } => {
                write!(f, "run {run} is cut into {of} parts in one report and into {other} in another")
            }
            PartsError::Settings { run, names } => {
                write!(
                    f,
                    "the parts of run {run} differ in their {names}: use the same flags and the same files for each part"
                )
            }
        }
    }
}

/// Whether `other` continues a run of `whole`, which has its plans, with another part of it. `Err` if a part is in both, or
/// they do not fit.
pub(crate) fn continues(whole: &Report, other: &Report) -> Result<bool, PartsError> {
    let mut continues = false;
    for run in other.settings.runs.iter().filter(|run| whole.settings.runs.contains(run)) {
        let parts_of = |report: &Report| -> Vec<PartRow> {
            report.parts.iter().filter(|part| part.run == *run).cloned().collect()
        };
        let (mine, theirs) = (parts_of(whole), parts_of(other));
        if mine.is_empty() || theirs.is_empty() || mine[0].of == 1 {
            return Err(PartsError::Run(run.clone()));
        }
        if let Some(odd) = theirs.iter().find(|part| part.of != mine[0].of) {
            return Err(PartsError::Cuts { run: run.clone(), of: mine[0].of, other: odd.of });
        }
        if let Some(twice) = theirs.iter().find(|part| mine.iter().any(|one| one.index == part.index)) {
            return Err(PartsError::Part { run: run.clone(), index: twice.index, of: twice.of });
        }
        let names = plans::differences(run, &whole.plans, &plans::of(other));
        if !names.is_empty() {
            return Err(PartsError::Settings { run: run.clone(), names });
        }
        continues = true;
    }
    Ok(continues)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_are_named_by_run() {
        let part = |run: &str, index, of| PartRow {
            run: run.to_owned(),
            index,
            of,
            start_at: None,
            started_late_ms: None,
        };
        assert_eq!(missing(&[part("a", 0, 1)]), []);
        assert_eq!(missing(&[part("a", 1, 2), part("a", 0, 2)]), []);
        let some = missing(&[part("a", 0, 3), part("a", 2, 3), part("b", 1, 2)]);
        let shown: Vec<String> = some.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["1/3 of run a", "0/2 of run b"]);
        let many = missing(&[part("c", 0, 30)])[0].to_string();
        assert!(many.starts_with("1/30, 2/30") && many.ends_with(" and 9 more of run c"), "{many}");
        assert!(!part("d", 3, 3).is_sound() && !part("d", 0, 20_000).is_sound());
    }
}
