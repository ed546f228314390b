//! Merging reports instead of running a server.

use std::path::Path;
use std::{fmt, io};

use smtpmock::report::Report;

use super::flags::{HTTP_TOKEN, MERGE_REPORTS, OF_REPORTS, Options};
use super::goflags::Given;
use super::{Action, Failure, letters, outputs, ready, typed_as};
use crate::program::probe;

/// The path of the report of a server with `--http`.
const REPORT_PATH: &str = "/v1/report";
/// Most octets of such a report.
const REPORT_LIMIT: u64 = 64 << 20;

/// The merged report; as text if no other output is requested. Server settings in variables and files are ignored,
/// except the token for running servers.
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
        let text = match path.to_str().filter(|text| text.starts_with("http://") || is_https(text)) {
            Some(url) if is_https(url) => {
                return Err(failure(
                    "the URL of a server",
                    &"http://HOST:PORT: https is not supported, so fetch the report by other means, like curl, into a file",
                ));
            }
            None => read_file(path).map_err(|error| failure("a readable file", &error))?,
            Some(url) => {
                let (at, path) = ready::target(url, REPORT_PATH).ok_or_else(|| {
                    failure("the URL of a server", &"http://HOST:PORT, with or without a path")
                })?;
                let token = given.iter().rfind(|given| letters(&given.kebab) == letters(HTTP_TOKEN));
                let token = token.and_then(|token| token.value.to_str());
                let text = probe::report(&at, &path, token, REPORT_LIMIT);
                text.map_err(|error| failure("the report of a running server", &error))?
            }
        };
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

fn is_https(text: &str) -> bool {
    text.starts_with("https://")
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
