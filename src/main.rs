//! The program `smtpmock`: arguments to settings to a server, signals, exit code.

mod cli;
mod lifetime;
mod outcome;
mod output;
mod ready;
mod teller;

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use cli::Action;

/// The largest file of settings, and the largest report, in bytes: both take far less. A device has no end.
const FILE_LIMIT: u64 = 64 << 20;

fn main() -> ExitCode {
    let outcome = cli::parse(env::args_os().skip(1), |name| env::var_os(name), read_file).and_then(
        |action| match action {
            Action::Print(text) => {
                // Whoever closed the pipe has read enough.
                let _ = io::stdout().write_all(text.as_bytes());
                Ok(ExitCode::SUCCESS)
            }
            Action::Tell(report, reporting) => outcome::tell(&report, &reporting),
            Action::Run(settings) => lifetime::run(*settings),
        },
    );
    outcome.unwrap_or_else(|failure| {
        // Without a standard error there is nobody to tell but the exit code.
        let _ = writeln!(io::stderr(), "{failure}");
        failure.exit_code()
    })
}

/// A file of settings, or a report.
fn read_file(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(io::Error::other(format!("it is larger than {} MiB", FILE_LIMIT >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}
