//! The definition of a flag: its names, its help, and how a value changes the settings.

use std::ffi::OsStr;
use std::sync::Arc;

use super::flags::{Options, VERSION};
use super::values::{self, Expected};

/// The change that one value makes to the settings.
pub(super) type Change = Arc<dyn Fn(Options) -> Options + Send + Sync>;
/// Parses a value; `None` if it requests the default.
pub(super) type Read = Arc<dyn Fn(&OsStr) -> Result<Option<Change>, Expected> + Send + Sync>;

/// Whether a flag takes the following argument as its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arity {
    /// Never: a boolean, `-log` or `-log=false`.
    Switch,
    Value,
    /// Always: entries separated by commas.
    List,
    /// Always, and each occurrence adds a value.
    Repeated,
}

pub(super) struct Flag {
    /// Name in go-smtp-mock's style: `sessionTimeout`.
    pub(super) name: String,
    /// Name as shown by `--help`: `session-timeout`.
    pub(super) kebab: String,
    /// Environment variable: `SMTPMOCK_SESSION_TIMEOUT`. `--merge-reports` has none, because a variable must not
    /// prevent a server from starting. `--version` has none, because container images commonly set a variable of that
    /// name to the image's version.
    pub(super) variable: Option<String>,
    /// Name of the setting in `Config`'s errors; empty without one.
    pub(super) setting: String,
    /// Group in `--help`.
    pub(super) heading: &'static str,
    /// Placeholder of the value in `--help`.
    pub(super) placeholder: &'static str,
    /// All values, if it takes one of a few words.
    pub(super) words: Vec<&'static str>,
    pub(super) help: String,
    /// The default as typed. `None` if it can't be typed or depends on another setting.
    pub(super) default: Option<String>,
    pub(super) arity: Arity,
    /// Whether an empty value is an error, also in the variable. An empty value usually comes from an unset variable
    /// of a script; ignoring it would omit a check or a limit.
    pub(super) refuses_empty: bool,
    /// The switch that this flag turns on.
    pub(super) turns_on: Option<&'static str>,
    /// Whether values from arguments, variable and file accumulate. For other flags arguments override the variable,
    /// and both override the file.
    pub(super) adds_up: bool,
    pub(super) read: Read,
}

impl Flag {
    pub(super) fn new(
        name: impl Into<String>,
        placeholder: &'static str,
        help: impl Into<String>,
        read: Read,
    ) -> Self {
        let name = name.into();
        let kebab = kebab_case(&name);
        Self {
            variable: Some(variable(&kebab)),
            name,
            kebab,
            setting: String::new(),
            heading: "",
            placeholder,
            words: Vec::new(),
            help: help.into(),
            default: None,
            arity: Arity::Value,
            refuses_empty: false,
            turns_on: None,
            adds_up: false,
            read,
        }
    }

    pub(super) fn switch(name: &str, help: &str, set: fn(Options, bool) -> Options) -> Self {
        Self {
            arity: Arity::Switch,
            default: Some("false".to_owned()),
            ..Self::new(name, "BOOL", help, reading(values::boolean, set))
        }
    }

    /// Its value is one of several words; the empty text requests the default.
    pub(super) fn choosing<T: Copy + Send + Sync + 'static>(
        name: &str,
        placeholder: &'static str,
        help: &str,
        choices: &'static [(&'static str, T)],
        set: impl Fn(Options, T) -> Options + Send + Sync + 'static,
    ) -> Self {
        let read = reading_or_default(move |raw| values::choice(raw, choices), set);
        Self {
            words: choices.iter().map(|(word, _)| *word).collect(),
            ..Self::new(name, placeholder, help, read)
        }
    }

    pub(super) fn checked_as(self, setting: impl Into<String>) -> Self {
        Self { setting: setting.into(), ..self }
    }

    /// Its value is a list of entries separated by commas.
    pub(super) fn listing(self) -> Self {
        Self { arity: Arity::List, ..self }
    }

    /// Sets the default, which the help shows unless it is empty.
    pub(super) fn defaults_to(self, default: &str) -> Self {
        let help = if default.is_empty() { self.help } else { format!("{}. Default {default}", self.help) };
        Self { help, default: Some(default.to_owned()), ..self }
    }

    /// Whether the value requests the default: zero or the empty text.
    pub(super) fn asks_for_default(&self, value: &OsStr) -> bool {
        (self.read)(value).is_ok_and(|change| change.is_none())
    }

    /// Whether this is the flag's name, in either style.
    pub(super) fn is_called(&self, name: &str) -> bool {
        name == self.name || name == self.kebab || self.aliases().contains(&name)
    }

    /// The names of its variables: its own first, then those of aliases of more than one letter.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        let aliases = self.aliases().iter().filter(|alias| self.variable.is_some() && alias.len() > 1);
        self.variable.clone().into_iter().chain(aliases.map(|alias| variable(&kebab_case(alias))))
    }

    /// Other accepted names: those of the load generator's flags.
    pub(super) fn aliases(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            VERSION => &["v"],
            "quiet" => &["q"],
            "reportJson" => &["json"],
            "reportHtml" => &["html"],
            "hlog" => &["report-hlog", "reportHlog"],
            _ => &[],
        }
    }
}

fn variable(kebab: &str) -> String {
    format!("SMTPMOCK_{}", kebab.replace('-', "_").to_uppercase())
}

/// A reader that parses a value with `read` and applies it with `set`.
pub(super) fn reading<T: Clone + Send + Sync + 'static>(
    read: impl Fn(&OsStr) -> Result<T, Expected> + Send + Sync + 'static,
    set: impl Fn(Options, T) -> Options + Send + Sync + 'static,
) -> Read {
    reading_or_default(move |raw| read(raw).map(Some), set)
}

/// As [`reading`](Self::reading), but `read` returns `None` for a value that requests the default.
pub(super) fn reading_or_default<T: Clone + Send + Sync + 'static>(
    read: impl Fn(&OsStr) -> Result<Option<T>, Expected> + Send + Sync + 'static,
    set: impl Fn(Options, T) -> Options + Send + Sync + 'static,
) -> Read {
    let set = Arc::new(set);
    Arc::new(move |raw| {
        let change = |value: T| {
            let set = Arc::clone(&set);
            Arc::new(move |options| set(options, value.clone())) as Change
        };
        Ok(read(raw)?.map(change))
    })
}

/// `sessionTimeout` to `session-timeout`.
pub(super) fn kebab_case(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}
