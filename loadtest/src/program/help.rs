//! The command line as clap builds it, and its `--help`. No line of the help breaks within backticks, so that
//! examples can be copied.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::program::cli::Cli;
#[cfg(feature = "fleet")]
use crate::program::cli::{Instead, RunArgs};

/// Looks like a blank, but no line is broken at it.
const NO_BREAK: char = '\u{a0}';

/// Parses the arguments of the process.
///
/// # Errors
/// The arguments are invalid, or ask for the help or the version; the error holds the text to print.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches().map_err(with_suggestion)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    #[cfg(feature = "fleet")]
    let cli = with_flags(cli, &matches);
    Ok(cli)
}

/// Adds the flags of the run that a coordinator passes on.
#[cfg(feature = "fleet")]
fn with_flags(mut cli: Cli, matches: &clap::ArgMatches) -> Cli {
    if let (Some(Instead::Serve { fleet, .. }), Some((_, given))) = (&mut cli.command, matches.subcommand()) {
        fleet.flags = RunArgs::given(given);
    }
    cli
}

/// Flags of other load generators, with their counterparts here.
const ELSEWHERE: [(&str, &str); 4] = [
    ("--concurrency", "--connections"),
    ("--clients", "--connections"),
    ("--sessions", "--connections"),
    ("--messages", "--count"),
];

/// Adds the suggestion for a flag of another load generator.
fn with_suggestion(mut error: clap::Error) -> clap::Error {
    let typed = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let meant = ELSEWHERE.iter().find(|(name, _)| typed.split('=').next() == Some(name));
    if let Some((_, flag)) = meant.filter(|_| error.kind() == ErrorKind::UnknownArgument) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String((*flag).to_owned()));
    }
    error
}

/// The text of an error, with ordinary blanks.
pub(crate) fn text(error: &clap::Error) -> String {
    error.to_string().replace(NO_BREAK, " ")
}

/// The manual page.
pub(crate) fn manual_page() -> String {
    smtpmock::manual::page(command()).replace(NO_BREAK, " ")
}

/// The completions for one of the shells that there are any for.
pub(crate) fn completions(shell: &str) -> String {
    smtpmock::manual::completions(command(), shell).unwrap_or_default().replace(NO_BREAK, " ")
}

fn command() -> Command {
    whole(Cli::command())
}

fn whole(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_help().map(|help| unbroken(&help.to_string())) {
        Some(help) => arg.help(help),
        None => arg,
    });
    let command = match command.get_after_help().map(|help| unbroken(&help.to_string())) {
        Some(help) => command.after_help(help),
        None => command,
    };
    command.mut_subcommands(whole)
}

/// Replaces the blanks between backticks.
fn unbroken(text: &str) -> String {
    let mut is_quoted = false;
    text.chars()
        .map(|c| {
            is_quoted ^= c == '`';
            if is_quoted && c == ' ' { NO_BREAK } else { c }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_were_broken_within_their_quotes() {
        let broken = |command: Command, width| {
            let help = command.term_width(width).render_long_help().to_string().replace(NO_BREAK, " ");
            help.lines().filter(|line| line.matches('`').count() % 2 == 1).count()
        };
        assert!(
            (40..120).any(|width| broken(Cli::command(), width) > 0),
            "without the replacement some are broken"
        );
        for width in 40..120 {
            assert_eq!(broken(command(), width), 0, "{width} columns");
        }
    }
}
