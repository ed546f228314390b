//! Manual pages, and completions for shells, from a command line as clap has it. For the programs `smtpmock` and `smtpload`,
//! which may change with it.

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use roff::{Roff, roman};

/// The manual page of a command, in section 1, as text for `man`. Its help's end is divided at lines that stand at the margin
/// and end with a colon: each begins a section of the page, whose lines are not filled.
pub fn page(mut command: Command) -> String {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let version = command.get_version().map(str::to_owned).unwrap_or_default();
    let source = format!("{} {version}", command.get_name());
    command.build();
    let commands = commands(&command);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let summary = about.split(['.', ':']).next().unwrap_or_default().to_owned();
    let man = Man::new(command.clone()).manual("User Commands").source(source.trim_end().to_owned());
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
        .and_then(|()| sections(&after).to_writer(&mut page));
    debug_assert!(written.is_ok(), "a vector takes all: {written:?}");
    String::from_utf8_lossy(&page).into_owned()
}

/// How a command is used, one form in each line.
fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").trim().to_owned()
}

/// The commands that stand in front of flags, with how each is used.
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

/// The sections of the text behind the flags.
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

/// The completions of a command for one of [`SHELLS`]; `None` for any other.
pub fn completions(mut command: Command, shell: &str) -> Option<String> {
    let shell = SHELLS.contains(&shell).then(|| shell.parse::<Shell>().ok())??;
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8(script).ok()
}

/// The shells that there are completions for.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish", "powershell"];
