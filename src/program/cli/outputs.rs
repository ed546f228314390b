//! The files that a command line reads and writes, each with its flag. No two may be the same file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use smtpmock::output::Claims;

use super::flags::{CAPTURE_FORMATS, CONFIG, MERGE_REPORTS, REPORT, SHOW};
use super::goflags::Given;
use super::values;

/// The names of the outputs, and the flags that name their files.
pub(crate) const CAPTURE: &str = "the capture";
pub(crate) const JSON_REPORT: &str = "the JSON report";
pub(crate) const HTML_REPORT: &str = "the HTML report";
pub(crate) const INTERVAL_LOG: &str = "the interval log";
pub(super) const OUTPUTS: &[(&str, &str)] = &[
    ("capture", CAPTURE),
    ("report-json", JSON_REPORT),
    ("report-html", HTML_REPORT),
    ("hlog", INTERVAL_LOG),
];

/// The flags that print text to standard output.
pub(super) const TEXTS: &[&str] = &[REPORT, SHOW, LOG];
const LOG: &str = "log";

/// The flags that name files which are read or replaced.
pub(super) const INPUTS: &[&str] = &[
    CONFIG,
    MERGE_REPORTS,
    "ready-file",
    "auth-file",
    "tls-ca-out",
    "tls-ca-cert",
    "tls-ca-key",
    "tls-cert",
    "tls-key",
    "tls-client-ca",
];

/// Repeatable flags: every value counts; of other flags the last.
const REPEATED_INPUTS: &[&str] = &[MERGE_REPORTS, "tls-cert", "tls-key", "tls-client-ca"];

/// The files of a command line.
pub(super) fn claims(given: &[Given]) -> Claims {
    let mut claims = Claims::default();
    let last = |kebab: &str| given.iter().rfind(|given| given.kebab == kebab);
    let formats = CAPTURE_FORMATS.iter().filter(|(_, format)| format.is_folder());
    let folders: Vec<&OsStr> = formats.map(|(word, _)| OsStr::new(word)).collect();
    let is_folder = last("capture-format").is_some_and(|given| folders.contains(&given.value.as_os_str()));
    for &(kebab, what) in OUTPUTS {
        // Opening refuses a folder in place of a file.
        if what == CAPTURE && is_folder {
            continue;
        }
        if let Some(given) = last(kebab) {
            claims.output(&given.typed, what, Path::new(&given.value));
        }
    }
    for &kebab in TEXTS {
        let is_on = |value: &OsStr| values::boolean(value).is_ok_and(|on| on);
        // The log moves to standard error if standard output carries data for programs.
        if let Some(given) = last(kebab).filter(|given| is_on(&given.value))
            && (kebab != LOG || !claims.has_standard_output())
        {
            claims.text(&given.typed);
        }
    }
    for &kebab in INPUTS {
        let named = given.iter().filter(|given| given.kebab == kebab);
        let is_repeated = REPEATED_INPUTS.contains(&kebab);
        let skipped = if is_repeated { 0 } else { named.clone().count().saturating_sub(1) };
        for given in named.skip(skipped) {
            // A variable has one value per line.
            let paths = values::paths(&given.value).ok().filter(|_| is_repeated);
            let paths = paths.unwrap_or_else(|| vec![PathBuf::from(&given.value)]);
            paths.iter().for_each(|path| claims.input(&given.typed, path));
        }
    }
    claims
}
