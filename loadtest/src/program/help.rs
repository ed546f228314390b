//! The command line as clap builds it, and its `--help`. No line of the help breaks within backticks, so that
//! examples can be copied.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _};
use smtpmock::build;

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

/// The end of the help. No line exceeds 80 columns.
pub(crate) const AFTER: &str = "\
Exit codes:
  0   the run is complete, and all gates passed
  1   the run failed, or an output was lost
  2   wrong flag or value
  10  a gate failed
  11  a regression against --baseline
  12  the generator was saturated";

/// What only the manual page has.
const MORE: &str = "

Signals:
  SIGINT, SIGTERM, SIGQUIT, and SIGHUP unless it was ignored at the start: end
  the run with its report so far; messages in flight have --grace, or none if it
  has begun already. A second one ends the program at once, with code 128 + its
  number; a repeated signal counts as a second one from 300 ms after the first.

Environment:
  SSL_CERT_FILE, SSL_CERT_DIR
      certificates to verify servers by, in place of the system's; --ca
      overrides both

Files:
  /etc/ssl/certs
      the system's certificates, unless --ca or --insecure is there

Examples:
  As fast as the server replies, over 16 connections:
    smtpload 127.0.0.1:2525 --count 100000 -c 16
  A steady rate, whatever the server does:
    smtpload 127.0.0.1:2525 --rate 5000/s --duration 60s
  How much it takes, as a page:
    smtpload 127.0.0.1:2525 --ramp '100/s..5000/s over 60s' \\
      --report-html ramp.html
  For a CI job, the exit code is the verdict:
    smtpload 127.0.0.1:2525 --rate 500/s --fail-if 'p99(message) > 5ms' \\
      --fail-if 'errors > 0.1%'
  Compare what was sent with what smtpmock captured:
    smtpload 127.0.0.1:2525 --count 1000 --verify capture.jsonl
  Encrypted from the start, by a login:
    smtpload smtps://mx.example --auth ann:secret --count 100
  Merge the reports of two runs:
    smtpload merge one.json two.json --report-json both.json
  This page, and completions:
    smtpload man | man -l -
    smtpload completions bash > /etc/bash_completion.d/smtpload

See also:
  smtpmock(1), a server to send to
";

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
    smtpmock::manual::page(command().after_help(format!("{AFTER}{MORE}"))).replace(NO_BREAK, " ")
}

/// The completions for one of the shells that there are any for.
pub(crate) fn completions(shell: &str) -> String {
    smtpmock::manual::completions(command(), shell).unwrap_or_default().replace(NO_BREAK, " ")
}

fn command() -> Command {
    let version = Arg::new("version")
        .short('V')
        .short_alias('v')
        .long("version")
        .action(ArgAction::Version)
        .help("Print the version, the commit and when it was built");
    whole(Cli::command().version(version_and_origin()).disable_version_flag(true).arg(version))
}

/// The version in the first line, and what it was built from behind it.
fn version_and_origin() -> String {
    format!("{}\n{}", env!("CARGO_PKG_VERSION"), build::origin())
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

    /// The flags of a command and of those in front of which it stands, by their long names.
    fn flags(command: &Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned));
        own.chain(command.get_subcommands().flat_map(flags)).collect()
    }

    #[test]
    fn every_flag_and_every_command_is_in_the_page_and_in_all_completions() {
        let page = manual_page().replace("\\-", "-");
        let shells = smtpmock::manual::SHELLS.iter().map(|shell| completions(shell));
        let texts: Vec<_> = std::iter::once(page).chain(shells).collect();
        let names = command();
        for flag in flags(&names) {
            // fish writes the name without dashes.
            let is_in =
                |text: &String| text.contains(&format!("--{flag}")) || text.contains(&format!(" -l {flag}"));
            assert!(texts.iter().all(is_in), "{flag}");
        }
        for name in names.get_subcommands().map(Command::get_name) {
            assert!(texts.iter().all(|text| text.contains(name)), "{name}");
        }
    }

    #[test]
    fn the_page_has_what_the_help_leaves_out() {
        let page = manual_page();
        let sections: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|name| name.trim_matches('"'))
            .collect();
        for section in ["SYNOPSIS", "OPTIONS", "EXIT CODES", "SIGNALS", "ENVIRONMENT", "FILES", "EXAMPLES"] {
            assert_eq!(
                sections.iter().filter(|found| **found == section).count(),
                1,
                "{section}: {sections:?}"
            );
        }
    }

    #[test]
    fn examples_are_valid() {
        let lines = MORE.replace("\\\n", " ");
        let mut count = 0;
        for example in lines.lines().map(str::trim).filter(|line| line.starts_with("smtpload ")) {
            let line = example.split(['|', '>']).next().unwrap_or(example);
            // Conditions hold a > within quotes.
            let line = if example.contains('\'') { example } else { line };
            let words = line.split('\'').enumerate().flat_map(|(place, part)| match place % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            });
            let parsed = command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{example}: {parsed:?}");
            count += 1;
        }
        assert!(count >= 9, "{count}");
    }

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
