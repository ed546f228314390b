//! Merging reports instead of running a server.

use std::path::Path;
use std::{fmt, io};

use smtpmock::report::Report;

use super::flags::{MERGE_REPORTS, OF_REPORTS, Options};
use super::goflags::Given;
use super::{Action, Failure, outputs, typed_as};

/// The merged report; as text if no other output is requested. Server settings in variables and files are ignored.
///
/// # Errors
/// A flag that configures a server was typed, or a report can't be read or merged.
pub(super) fn report(
    options: Options,
    typed: &[Given],
    given: &[Given],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Action, Failure> {
    refuse_flags_of_servers(typed)?;
    let of_reports: Vec<Given> = given.iter().filter(|given| is_of_reports(given)).cloned().collect();
    let claims = outputs::claims(&of_reports);
    let typed_as = typed_as(MERGE_REPORTS, typed);
    let Options { merged, mut reporting, .. } = options;
    let mut whole: Option<Report<'static>> = None;
    for path in &merged {
        let failure = |expected, error: &dyn fmt::Display| {
            Failure::Usage(format!("invalid value {path:?} for {typed_as}: expected {expected}: {error}"))
        };
        let text = read_file(path).map_err(|error| failure("a readable file", &error))?;
        let report = Report::read(&text).map_err(|error| failure("a report in JSON", &error))?;
        whole = Some(match whole {
            None => report,
            Some(whole) => whole.merge(&report).map_err(|error| failure("another run", &error))?,
        });
    }
    reporting.text |= reporting.json.is_none() && reporting.html.is_none();
    let whole = whole.ok_or_else(|| Failure::Usage("there is no report to merge".to_owned()))?;
    Ok(Action::Report(Box::new(whole), reporting, claims))
}

fn is_of_reports(given: &Given) -> bool {
    OF_REPORTS.contains(&given.kebab.as_str())
}

/// They would have no effect.
fn refuse_flags_of_servers(typed: &[Given]) -> Result<(), Failure> {
    let Some(of_server) = typed.iter().find(|given| !is_of_reports(given)) else { return Ok(()) };
    let others = OF_REPORTS.iter().filter(|&&kebab| kebab != MERGE_REPORTS);
    let others: Vec<_> = others.map(|kebab| format!("--{kebab}")).collect();
    Err(Failure::Usage(format!(
        "{} starts no server: {} has no effect with it: expected only {} beside it",
        typed_as(MERGE_REPORTS, typed),
        of_server.typed,
        others.join(", "),
    )))
}
