//! One self-contained page with plots.

use std::path::Path;

use crate::report::Report;

/// Writes the page.
pub(crate) fn write(_report: &Report, path: &Path) -> Result<(), String> {
    Err(format!("--html {}: not built yet", path.display()))
}
