//! The program `smtpmock`: arguments to settings to a server, signals, exit code.

mod program;

use std::env;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use program::cli::{self, Action, Failure};
use program::{lifetime, outcome};
use signal_hook::consts::SIGXFSZ;

/// The largest file of settings, and the largest report, in bytes: both take far less. A device has no end.
const FILE_LIMIT: u64 = 64 << 20;

fn main() -> ExitCode {
    // Where a limit of file sizes (`ulimit -f`) is met, the write that fails is an error, and no signal ends the program.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        return outcome::show(&Failure::Server(format!("can't handle signals: {error}")));
    }
    let action = cli::parse(env::args_os().skip(1), env::vars_os(), read_file);
    let ended = action.and_then(|action| match action {
        Action::Print(text) => outcome::print(&text),
        Action::Report(report, reporting, claims) => outcome::report(&report, &reporting, &claims),
        Action::Run(settings) => Ok(lifetime::run(*settings)),
    });
    ended.unwrap_or_else(|failure| outcome::show(&failure))
}

/// A file of settings, or a report.
fn read_file(path: &Path) -> io::Result<String> {
    let bytes = smtpmock::read_bounded(path, FILE_LIMIT)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}
