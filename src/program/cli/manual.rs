//! The commands `man` and `completions SHELL`: files that packages install with the program.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use smtpmock::manual::{SHELLS, completions, page};

use super::flag::{Arity, Flag};
use super::{Action, Failure, flags, help};

pub(super) const MAN: &str = "man";
pub(super) const COMPLETIONS: &str = "completions";

/// The manual page.
///
/// # Errors
/// An argument follows the command.
pub(super) fn man(mut arguments: impl Iterator<Item = OsString>) -> Result<Action, Failure> {
    match arguments.next() {
        None => Ok(Action::Print(page(documented()))),
        Some(argument) => Err(Failure::Usage(format!(
            "unexpected argument {argument:?} behind {MAN}: expected smtpmock man, whose output man(1) reads"
        ))),
    }
}

/// The completions for the shell in the next argument.
///
/// # Errors
/// The shell is missing or not supported.
pub(super) fn completions_for(mut arguments: impl Iterator<Item = OsString>) -> Result<Action, Failure> {
    let expected = || format!("expected smtpmock {COMPLETIONS} {}", SHELLS.join("|"));
    let Some(shell) = arguments.next() else {
        return Err(Failure::Usage(format!("{COMPLETIONS} needs a shell: {}", expected())));
    };
    if let Some(argument) = arguments.next() {
        return Err(Failure::Usage(format!(
            "unexpected argument {argument:?} behind {COMPLETIONS}: {}",
            expected()
        )));
    }
    let script = completions(documented(), &shell.to_string_lossy());
    script
        .map(Action::Print)
        .ok_or_else(|| Failure::Usage(format!("unknown shell {shell:?}: {}", expected())))
}

/// The flags, and the commands that precede them.
fn documented() -> Command {
    let table = flags::table();
    let command = help::command(&table).version(env!("CARGO_PKG_VERSION")).after_help(help_and_more(&table));
    let file = || Arg::new("FILE").value_hint(ValueHint::FilePath).num_args(1..).required(true);
    let commands = [
        Command::new("merge")
            .about("Merge JSON reports into one, and check it; flags of reports may follow")
            .override_usage("smtpmock merge FILE... [FLAGS]")
            .arg(file())
            .args(table.iter().filter(|flag| flags::OF_REPORTS.contains(&&*flag.kebab)).map(completed)),
        Command::new("ready")
            .about("Ask a server with --http whether it is ready: exit code 0, or 1 with the reason")
            .override_usage("smtpmock ready URL [--wait[=DURATION]]")
            .arg(Arg::new("URL").value_hint(ValueHint::Url).required(true))
            .arg(Arg::new("wait").long("wait").value_name("DURATION").num_args(0..=1).require_equals(true)),
        Command::new(MAN).about("Print this page for man(1)").override_usage("smtpmock man"),
        Command::new(COMPLETIONS)
            .about("Print the completions for a shell")
            .override_usage(format!("smtpmock {COMPLETIONS} {}", SHELLS.join("|")))
            .arg(Arg::new("SHELL").required(true).value_parser(PossibleValuesParser::new(SHELLS))),
    ];
    let completed_if_flag =
        |argument: Arg| match table.iter().find(|flag| argument.get_id() == flag.kebab.as_str()) {
            Some(flag) => completed(flag),
            None => argument,
        };
    command
        .mut_args(completed_if_flag)
        .disable_help_subcommand(true)
        .subcommands(commands.map(|command| command.disable_help_flag(true)))
}

/// The end of the help, and sections that only the page has.
fn help_and_more(table: &[Flag]) -> String {
    let mut text = format!("{}\nEnvironment:\n", help::AFTER);
    for flag in table {
        for variable in flag.variables() {
            text.push_str(&format!("  {variable}  --{}\n", flag.kebab));
        }
    }
    text + MORE
}

const MORE: &str = "\
  NO_COLOR
      if it is not empty, --show prints without colours; so it does if TERM is
      not set, or is dumb
  MP_*
      with --compat mailpit: Mailpit's variables, with its meaning

Files:
  /etc/smtpmock.toml
      the settings of the service of the Debian package, by --config; without
      that flag no file is read
  /etc/ssl/certs
      not read: the certificates that clients are verified by are those of
      --tls-client-ca

See also:
  smtpload(1), a load generator for SMTP
";

/// The flag with completions: files, or one of a few words.
fn completed(flag: &Flag) -> Arg {
    // The help already names the words.
    let argument = help::argument(flag).hide_possible_values(true);
    match flag.placeholder {
        "PATH" | "FILE" => argument.value_hint(ValueHint::FilePath),
        _ if flag.arity == Arity::Switch => argument.value_parser(["true", "false"]),
        _ if !flag.words.is_empty() => argument.value_parser(PossibleValuesParser::new(&flag.words)),
        _ => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(action: Result<Action, Failure>) -> String {
        match action {
            Ok(Action::Print(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    fn given(arguments: &[&str]) -> std::vec::IntoIter<OsString> {
        arguments.iter().map(OsString::from).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn every_flag_and_every_command_is_in_the_page_and_in_all_completions() {
        let page = printed(man(given(&[]))).replace("\\-", "-");
        let scripts = SHELLS.iter().map(|shell| printed(completions_for(given(&[shell]))));
        let texts: Vec<_> = std::iter::once(page).chain(scripts).collect();
        for flag in flags::table() {
            for (text, of) in texts.iter().zip(["man"].iter().chain(SHELLS)) {
                // fish writes the name without dashes.
                let is_there = text.contains(&format!("--{}", flag.kebab))
                    || text.contains(&format!(" -l {} ", flag.kebab))
                    || text.contains(&format!(" -l {}\n", flag.kebab));
                assert!(is_there, "{} in {of}", flag.kebab);
            }
        }
        for variable in flags::table().iter().flat_map(Flag::variables) {
            assert!(texts[0].contains(&format!("{variable}  --")), "{variable}");
        }
        for command in ["merge", "ready", MAN, COMPLETIONS] {
            assert!(texts.iter().all(|text| text.contains(command)), "{command}");
        }
    }

    #[test]
    fn sections_of_the_help_are_sections_of_the_page() {
        let page = printed(man(given(&[])));
        let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "COMMANDS",
            "VALUES",
            "SIGNALS",
            "EXAMPLES",
            "ENVIRONMENT",
            "FILES",
        ] {
            let count = sections.iter().filter(|found| found.trim_matches('"') == section).count();
            assert_eq!(count, 1, "{section}: {sections:?}");
        }
        assert!(sections.contains(&"\"EXIT CODES\""), "{sections:?}");
    }

    #[test]
    fn what_is_no_shell_is_refused() {
        for (arguments, expected) in [
            (&[][..], "completions needs a shell: expected smtpmock completions bash|zsh|fish|powershell"),
            (&["csh"], "unknown shell \"csh\": expected smtpmock completions bash"),
            (&["bash", "zsh"], "unexpected argument \"zsh\" behind completions"),
        ] {
            let Err(Failure::Usage(text)) = completions_for(given(arguments)) else {
                panic!("{arguments:?}")
            };
            assert!(text.starts_with(expected), "{text}");
        }
        assert!(matches!(man(given(&["1"])), Err(Failure::Usage(_))));
    }
}
