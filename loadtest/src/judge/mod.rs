//! Verdicts on a report: gates (`--expect`, `--fail-if`), the steps of a changing rate, and an earlier report
//! (`--baseline`). Pure. Imports `account`, `client` and `report`; runs on the main thread.

pub(crate) mod baseline;
pub(crate) mod gate;
pub(crate) mod steps;
