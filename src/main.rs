//! The program `smtpmock`: reads the arguments, runs the server or another action, and returns the exit code.

mod program;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, io};

use program::cli::{self, Action, Failure};
use program::{lifetime, outcome, probe};
use signal_hook::consts::SIGXFSZ;

/// The maximum size of a settings file or a report, in bytes. Real ones are far smaller; a device such as `/dev/zero`
/// never ends.
const FILE_LIMIT: u64 = 64 << 20;

fn main() -> ExitCode {
    // With a handler for SIGXFSZ, a write beyond the file size limit (`ulimit -f`) fails with an error instead of
    // ending the program.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        return outcome::show(&Failure::Server(format!("can't handle signals: {error}")));
    }
    let action = cli::parse(env::args_os().skip(1), env::vars_os(), read_file);
    let ended = action.and_then(|action| match action {
        Action::Print(text) => outcome::print(&text),
        Action::Report(report, reporting, claims) => outcome::report(&report, &reporting, &claims),
        Action::Ready(target) => probe::ask(&target),
        Action::Run(settings) => Ok(lifetime::run(*settings)),
    });
    ended.unwrap_or_else(|failure| outcome::show(&failure))
}

/// Reads a settings file or a report.
fn read_file(path: &Path) -> io::Result<String> {
    let bytes = smtpmock::read_bounded(path, FILE_LIMIT)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}
