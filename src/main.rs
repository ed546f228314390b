//! The program `smtpmock`: arguments to settings to a server, signals, exit code.

mod cli;
mod lifetime;
mod outcome;
mod output;
mod ready;
mod teller;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use cli::Action;

fn main() -> ExitCode {
    let outcome =
        cli::parse(env::args_os().skip(1), |name| env::var_os(name), |path| fs::read_to_string(path))
            .and_then(|action| match action {
                Action::Print(text) => {
                    // Whoever closed the pipe has read enough.
                    let _ = io::stdout().write_all(text.as_bytes());
                    Ok(ExitCode::SUCCESS)
                }
                Action::Tell(report, reporting) => outcome::tell(&report, &reporting),
                Action::Run(settings) => lifetime::run(*settings),
            });
    outcome.unwrap_or_else(|failure| {
        // Without a standard error there is nobody to tell but the exit code.
        let _ = writeln!(io::stderr(), "{failure}");
        failure.exit_code()
    })
}
