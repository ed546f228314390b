//! Go's conventions for flags (package `flag`), normalised to one spelling: `--kebab-name=value`.
//!
//! Pure. One dash or two, `=` or a following argument, go-smtp-mock's name or the kebab-case one;
//! a boolean takes no following argument; parsing ends at the first argument that is not a flag.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::flag::{Arity, Flag};
use super::flags::MERGE_REPORTS;
use super::stray::Stray;

/// The command that merges reports: the same as [`MERGE_REPORTS`] before each of them.
const MERGE: &str = "merge";

/// One value of one flag and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// The flag's kebab-case name.
    pub(super) kebab: String,
    pub(super) value: OsString,
    /// As the user wrote it: `-port`, `--port`, or `SMTPMOCK_PORT`.
    pub(super) typed: String,
}

impl Given {
    /// The argument as clap expects it.
    pub(super) fn argument(&self) -> OsString {
        let mut argument = OsString::from(format!("--{}=", self.kebab));
        argument.push(&self.value);
        argument
    }
}

/// Why parsing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All arguments were read.
    Complete,
    /// An argument that is not a flag.
    Stray(Stray),
    /// `-h`, `-help` or `--help`.
    Help,
    /// An unknown flag, as typed.
    Unknown(Typed),
    /// A flag without its value, as typed.
    NoValue { typed: String, kebab: String },
    /// `merge` without a report after it.
    NoReport,
    /// Dashes without a name after them.
    NoName(String),
}

/// A flag as typed, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// `-` or `--`.
    pub(super) dashes: &'static str,
    pub(super) name: String,
}

/// Reads the arguments up to the first that is not a flag or can't be parsed.
pub(super) fn normalise(arguments: impl IntoIterator<Item = OsString>, flags: &[Flag]) -> (Vec<Given>, End) {
    let mut arguments = arguments.into_iter().peekable();
    // `merge a.json b.json`, as in the load generator: each argument that is not a flag is a report.
    let merges = arguments.next_if(|first| first == MERGE).is_some();
    let mut given = Vec::new();
    // The preceding flag, if it has no value.
    let mut switch = None;
    let end = loop {
        let Some(argument) = arguments.next() else {
            if merges && !given.iter().any(|given: &Given| given.kebab == MERGE_REPORTS) {
                break End::NoReport;
            }
            break End::Complete;
        };
        let Some((typed, value)) = split(&argument) else {
            if merges {
                given.push(Given {
                    kebab: MERGE_REPORTS.to_owned(),
                    value: argument,
                    typed: MERGE.to_owned(),
                });
                continue;
            }
            break End::Stray(Stray { argument, switch, rest: arguments.collect() });
        };
        if typed.name.is_empty() || typed.name.starts_with('-') {
            break End::NoName(argument.to_string_lossy().into_owned());
        }
        if matches!(typed.name.as_str(), "h" | "help") {
            break End::Help;
        }
        let Some(flag) = flags.iter().find(|flag| flag.is_called(&typed.name)) else {
            break End::Unknown(typed);
        };
        let is_alone = value.is_none() && flag.arity == Arity::Switch;
        let value = match (value, flag.arity) {
            (Some(value), _) => Some(value),
            (None, Arity::Switch) => Some(OsString::from("true")),
            (None, Arity::Value | Arity::List | Arity::Repeated) => arguments.next(),
        };
        let (kebab, typed) = (flag.kebab.clone(), format!("{}{}", typed.dashes, typed.name));
        switch = is_alone.then(|| typed.clone());
        let Some(value) = value else {
            break End::NoValue { typed, kebab };
        };
        given.push(Given { kebab, value, typed });
    };
    (given, end)
}

/// Name and `=value` of an argument; `None` if it is not a flag: `-`, `--`, or without a dash.
pub(super) fn split(argument: &OsStr) -> Option<(Typed, Option<OsString>)> {
    let bytes = argument.as_bytes();
    let rest = bytes.strip_prefix(b"-").filter(|rest| !rest.is_empty())?;
    let (dashes, rest) = match rest.strip_prefix(b"-") {
        Some([]) => return None,
        Some(rest) => ("--", rest),
        None => ("-", rest),
    };
    let (name, value) = match rest.iter().position(|&octet| octet == b'=') {
        Some(at) => (&rest[..at], Some(OsStr::from_bytes(&rest[at + 1..]).to_owned())),
        None => (rest, None),
    };
    let name = String::from_utf8_lossy(name).into_owned();
    Some((Typed { dashes, name }, value))
}

#[cfg(test)]
mod tests;
