//! What a flag is: its names, its help, and what a value of it does to the settings.

use std::ffi::OsStr;
use std::sync::Arc;

use smtpmock::Config;

use super::flags::{Options, VERSION};
use super::values::{self, Expected};

/// What one value does to the settings.
pub(super) type Change = Arc<dyn Fn(Options) -> Options + Send + Sync>;
/// Reads a value; `None` where it asks for the default.
pub(super) type Read = Arc<dyn Fn(&OsStr) -> Result<Option<Change>, Expected> + Send + Sync>;

/// Whether a flag takes the following argument for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arity {
    /// Never: a boolean, `-log` or `-log=false`.
    Switch,
    Value,
    /// Always: entries separated by commas.
    List,
    /// Always, and each counts.
    Repeated,
}

/// One flag.
pub(super) struct Flag {
    /// Name in go-smtp-mock's style: `sessionTimeout`.
    pub(super) name: String,
    /// Name as `--help` teaches it: `session-timeout`.
    pub(super) kebab: String,
    /// Environment variable: `SMTPMOCK_SESSION_TIMEOUT`. `--merge-reports` has none, as it must not prevent a
    /// server from starting, nor has `--version`: a variable of that name is common in container images, and means
    /// the image.
    pub(super) variable: Option<String>,
    /// Name of the setting in `Config`'s errors; empty where there is none.
    pub(super) setting: String,
    /// Group in `--help`.
    pub(super) heading: &'static str,
    /// Placeholder of the value in `--help`.
    pub(super) placeholder: &'static str,
    pub(super) help: String,
    /// What not to set the flag means, as it would be typed. `None` where nothing typed means it, or where it
    /// follows from another setting.
    pub(super) default: Option<String>,
    pub(super) arity: Arity,
    /// The empty text is an error, in the variable too: it comes from a script's variable that is not set, and without
    /// the check that it stands for a run would pass, or not end.
    pub(super) refuses_empty: bool,
    /// What is typed, the variable and the file count together; of other flags what is typed
    /// overrides the variable, and both override the file.
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
            variable: Some(format!("SMTPMOCK_{}", kebab.replace('-', "_").to_uppercase())),
            name,
            kebab,
            setting: String::new(),
            heading: "",
            placeholder,
            help: help.into(),
            default: None,
            arity: Arity::Value,
            refuses_empty: false,
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

    pub(super) fn checked_as(self, setting: impl Into<String>) -> Self {
        Self { setting: setting.into(), ..self }
    }

    /// Its value is a list of entries separated by commas.
    pub(super) fn listing(self) -> Self {
        Self { arity: Arity::List, ..self }
    }

    pub(super) fn defaults_to(self, default: &str) -> Self {
        Self { help: format!("{}. Default {default}", self.help), default: Some(default.to_owned()), ..self }
    }

    /// Whether the value asks for the default: zero, or no text.
    pub(super) fn asks_for_default(&self, value: &OsStr) -> bool {
        (self.read)(value).is_ok_and(|change| change.is_none())
    }

    /// Whether this is the flag's name, in either style.
    pub(super) fn is_called(&self, name: &str) -> bool {
        name == self.name || name == self.kebab || self.aliases().contains(&name)
    }

    /// Other names, those that the load generator's users know.
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

/// Reads a value with `read`, and gives it to `set`.
pub(super) fn reading<T: Clone + Send + Sync + 'static>(
    read: impl Fn(&OsStr) -> Result<T, Expected> + Send + Sync + 'static,
    set: impl Fn(Options, T) -> Options + Send + Sync + 'static,
) -> Read {
    reading_or_default(move |raw| read(raw).map(Some), set)
}

/// The same where `read` gives `None` for a value that asks for the default.
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

/// One of a few words; no text asks for the default.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    choices: &'static [(&'static str, T)],
    set: fn(Config, T) -> Config,
) -> Read {
    reading_or_default(
        move |raw| values::choice(raw, choices),
        move |options: Options, value| options.with(|config| set(config, value)),
    )
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
