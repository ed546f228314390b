//! The command line as clap has it, and its `--help`, whose examples stay in one piece: what is broken within quotes
//! can't be copied.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::program::cli::Cli;

/// Looks like a blank, and lines do not end there.
const NO_BREAK: char = '\u{a0}';

/// What the process's arguments ask for.
///
/// # Errors
/// They can't be read, or ask for help or the version; clap's error has what is to be printed.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches().map_err(with_suggestion)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))
}

/// What flags are called in other load generators, and here.
const ELSEWHERE: [(&str, &str); 4] = [
    ("--concurrency", "--connections"),
    ("--clients", "--connections"),
    ("--sessions", "--connections"),
    ("--messages", "--count"),
];

/// An error that names the flag which is meant, if it is known by another name.
fn with_suggestion(mut error: clap::Error) -> clap::Error {
    let typed = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let meant = ELSEWHERE.iter().find(|(name, _)| typed.split('=').next() == Some(name));
    if let Some((_, flag)) = meant.filter(|_| error.kind() == ErrorKind::UnknownArgument) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String((*flag).to_owned()));
    }
    error
}

/// What an error says, with blanks that are blanks.
pub(crate) fn text(error: &clap::Error) -> String {
    error.to_string().replace(NO_BREAK, " ")
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

/// The same with blanks between backticks at which no line ends.
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
            "it can be seen where nothing is done"
        );
        for width in 40..120 {
            assert_eq!(broken(command(), width), 0, "{width} columns");
        }
    }
}
