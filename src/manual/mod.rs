//! Manual pages and shell completions from a clap command. For the programs `smtpmock` and `smtpload`; may change with
//! any release. Imports `process`.

use std::io;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::process::build;

/// The manual page of a command, in section 1, as text for `man`. The end of its help is divided at unindented lines
/// that end with a colon: each begins a section of the page, whose lines are not filled. Flags of a single subcommand
/// have a separate section. The page contains the day of the build, if known.
pub fn page(mut command: Command) -> String {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let version = command.get_version().and_then(|text| text.lines().next()).unwrap_or_default();
    let source = format!("{} {version}", command.get_name());
    command.build();
    let commands = commands(&command);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let summary = about.split(['.', ':']).next().unwrap_or_default().to_owned();
    let man = Man::new(command.clone())
        .manual("User Commands")
        .source(source.trim_end().to_owned())
        .date(build::day().unwrap_or_default());
    let name = Man::new(command.clone().about(summary));
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]).control("nf", []);
    for line in usage(&command).lines() {
        synopsis.text([roman(line.trim())]);
    }
    synopsis.control("fi", []);
    let mut page = Vec::new();
    let written = man
        .render_title(&mut page)
        .and_then(|()| name.render_name_section(&mut page))
        .and_then(|()| synopsis.to_writer(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| commands.to_writer(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .and_then(|()| options_of_commands(&command, &mut page))
        .and_then(|()| sections(&after).to_writer(&mut page));
    debug_assert!(written.is_ok(), "a vector takes all: {written:?}");
    let page = without_idle_breaks(&String::from_utf8_lossy(&page));
    // An unknown day is an empty argument.
    page.replacen(" 1  \"", " 1 \"\" \"", 1)
}

/// The flags of each subcommand that no other takes.
fn options_of_commands(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let is_own = |argument: &&Arg| {
            !argument.is_positional()
                && !command.get_arguments().any(|outer| outer.get_id() == argument.get_id())
        };
        let own: Vec<_> = inner.get_arguments().filter(is_own).cloned().collect();
        if own.is_empty() {
            continue;
        }
        let alone = Command::new("").disable_help_flag(true).disable_version_flag(true).args(own);
        let mut section = Vec::new();
        Man::new(alone).render_options_section(&mut section)?;
        let heading = format!(".SH \"OPTIONS OF {}\"", inner.get_name().to_uppercase());
        page.extend(String::from_utf8_lossy(&section).replacen(".SH OPTIONS", &heading, 1).into_bytes());
    }
    Ok(())
}

/// Removes breaks next to an empty line, which breaks anyway.
fn without_idle_breaks(page: &str) -> String {
    let lines: Vec<_> = page.lines().collect();
    let is_blank = |line: Option<&&str>| line.is_some_and(|line| line.is_empty() || *line == ".sp");
    let is_idle = |at: usize| {
        lines[at] == ".br"
            && (is_blank(lines.get(at + 1))
                || at.checked_sub(1).is_some_and(|before| is_blank(lines.get(before))))
    };
    let retained = (0..lines.len())
        .filter(|&at| !is_idle(at))
        .map(|at| if lines[at].is_empty() { ".sp" } else { lines[at] });
    retained.collect::<Vec<_>>().join("\n") + "\n"
}

/// The usage of a command, one form per line.
fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").trim().to_owned()
}

/// The commands that precede flags, with their usage.
fn commands(command: &Command) -> Roff {
    let mut page = Roff::new();
    let visible: Vec<_> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !visible.is_empty() {
        page.control("SH", ["COMMANDS"]);
    }
    for command in visible {
        page.control("TP", []);
        page.text([roff::bold(usage(command))]);
        page.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    page
}

/// The sections of the text after the flags.
fn sections(text: &str) -> Roff {
    let mut page = Roff::new();
    let mut is_open = false;
    for line in text.lines() {
        let heading = line.strip_suffix(':').filter(|heading| !heading.starts_with([' ', '-']));
        if is_open && heading.is_some() {
            page.control("fi", []);
        }
        match heading {
            Some(heading) => {
                page.control("SH", [heading.to_uppercase().as_str()]);
                page.control("nf", []);
            }
            None => {
                if !is_open {
                    page.control("SH", ["NOTES"]);
                    page.control("nf", []);
                }
                page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
        }
        is_open = true;
    }
    if is_open {
        page.control("fi", []);
    }
    page
}

/// The completions of a command for one of [`SHELLS`]; otherwise `None`.
pub fn completions(mut command: Command, shell: &str) -> Option<String> {
    let shell = SHELLS.contains(&shell).then(|| shell.parse::<Shell>().ok())??;
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let script = String::from_utf8(script).ok()?;
    Some(if shell == Shell::Fish { whole_for_fish(&script, &command) } else { script })
}

/// Adds what the generator omits for fish: the words of a flag whose value is not typed yet, and those that a command
/// takes without a flag.
fn whole_for_fish(script: &str, command: &Command) -> String {
    let name = command.get_name();
    let parse = format!("argparse -s (__fish_{name}_global_optspecs) -- $cmd 2>/dev/null");
    let again = format!("or set -e cmd[-1] && {parse}");
    let mut script = script.replacen(&parse, &format!("{parse}\n    {again}"), 1);
    for inner in command.get_subcommands() {
        let words = inner.get_positionals().flat_map(Arg::get_possible_values);
        let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
        if !words.is_empty() {
            let (inner, words) = (inner.get_name(), words.join(" "));
            script += &format!(
                "complete -c {name} -n \"__fish_{name}_using_subcommand {inner}\" -f -a \"{words}\"\n"
            );
        }
    }
    script
}

/// The shells with completions.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish", "powershell"];
