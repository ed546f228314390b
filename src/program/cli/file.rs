//! The settings file of `--config`: the settings of the flags, with the same names, in TOML.
//!
//! Pure: the text is passed in as a value. This module reports errors of TOML and of names; values are checked like
//! those of flags.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::flag::{Arity, Flag};
use super::flags::{
    AUTH, AUTH_TOKEN, CONFIG, HTTP_AUTH, HTTP_TOKEN, LISTEN, MERGE_REPORTS, OF_DEFAULT_LISTENER,
    PRINT_CONFIG, VERSION,
};
use super::goflags::Given;
use super::{implied, letters};

/// Reads the settings from the text of a file. The name is used in errors.
///
/// # Errors
/// The first mistake, with file, line and what would be right.
pub(super) fn read(name: &str, text: &str, table: &[Flag]) -> Result<Vec<Given>, FileError> {
    let file = File { name, text };
    let settings = DeTable::parse(text).map_err(|error| {
        file.error(error.span().unwrap_or(0..0), Mistake::Toml(error.message().to_owned()))
    })?;
    let mut settings: Vec<_> = settings.get_ref().iter().collect();
    // Sorted by position in the file, so that the first mistake is reported.
    settings.sort_by_key(|(key, _)| key.span().start);
    let mut given: Vec<Given> = Vec::new();
    for (key, value) in settings {
        let flag = find(key.get_ref(), table).map_err(|mistake| file.error(key.span(), mistake))?;
        if given.iter().any(|given| given.kebab == flag.kebab) {
            return Err(file.error(key.span(), Mistake::Repeated(flag.kebab.clone())));
        }
        let typed = format!("{} in {name}, line {}", key.get_ref(), file.line(&key.span()));
        for value in texts(value, flag).map_err(|mistake| file.error(value.span(), mistake))? {
            given.push(Given { kebab: flag.kebab.clone(), value: value.into(), typed: typed.clone() });
        }
    }
    Ok(given)
}

struct File<'f> {
    name: &'f str,
    text: &'f str,
}

impl File<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        self.text[..span.start.min(self.text.len())].matches('\n').count() + 1
    }

    fn error(&self, span: Range<usize>, mistake: Mistake) -> FileError {
        let start = span.start.min(self.text.len());
        let line_start = self.text[..start].rfind('\n').map_or(0, |end| end + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let marked = self.text.get(start..span.end.min(line_start + line.len())).unwrap_or_default();
        FileError {
            name: self.name.to_owned(),
            number: self.line(&span),
            line: self.shown_line(line),
            indent: self.text[line_start..start].chars().count(),
            width: marked.chars().count().max(1),
            mistake,
        }
    }
}

impl File<'_> {
    /// A line for an error, without secrets. In a file with secrets any text may be one, even after its key.
    fn shown_line(&self, line: &str) -> String {
        let keys = self.text.lines().filter_map(|line| line.split('=').next());
        if !keys.map(str::trim).any(super::flags::is_secret) {
            return line.to_owned();
        }
        let mut quote = None;
        let mask = |letter: char| match quote {
            Some(open) if open != letter => '*',
            Some(_) => {
                quote = None;
                letter
            }
            None => {
                quote = matches!(letter, '"' | '\'').then_some(letter);
                letter
            }
        };
        line.chars().map(mask).collect()
    }
}

/// A mistake in a settings file and its position. Displays as the mistake, the line, and carets under the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileError {
    name: String,
    /// From 1.
    number: usize,
    line: String,
    /// In characters.
    indent: usize,
    width: usize,
    mistake: Mistake,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mistake {
    Toml(String),
    /// An unknown flag, and the one that was probably meant.
    Unknown(String, Option<String>),
    /// A flag that is allowed on the command line only.
    OnlyFlag(String),
    /// A setting that occurs twice.
    Repeated(String),
    /// The value has the wrong type or is out of range; expected this.
    Expected(&'static str),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml(reason) => write!(f, "invalid TOML: {reason}"),
            Self::Unknown(key, Some(meant)) => write!(f, "unknown setting {key}: did you mean {meant}?"),
            Self::Unknown(key, None) => write!(f, "unknown setting {key}: expected the name of a flag"),
            Self::OnlyFlag(key) => write!(f, "{key} is allowed on the command line only"),
            Self::Repeated(key) => write!(f, "{key} is set twice"),
            Self::Expected(phrase) => write!(f, "expected {phrase}"),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, number, line, indent, width, mistake } = self;
        let (indent, carets) = (" ".repeat(*indent), "^".repeat(*width));
        write!(f, "{name}, line {number}: {mistake}\n  {line}\n  {indent}{carets}")
    }
}

impl std::error::Error for FileError {}

fn find<'t>(key: &str, table: &'t [Flag]) -> Result<&'t Flag, Mistake> {
    match table.iter().find(|flag| flag.is_called(key)) {
        Some(flag) if !may_stand_in_file(flag) => Err(Mistake::OnlyFlag(key.to_owned())),
        Some(flag) => Ok(flag),
        None => {
            let is_same = |flag: &&Flag| letters(&flag.name) == letters(key);
            let nearest = table.iter().find(is_same).map(|flag| flag.kebab.clone());
            let meant = nearest.or_else(|| super::suggestion(key, table).map(str::to_owned));
            Err(Mistake::Unknown(key.to_owned(), meant))
        }
    }
}

fn may_stand_in_file(flag: &Flag) -> bool {
    ![CONFIG, PRINT_CONFIG, MERGE_REPORTS, VERSION].contains(&flag.kebab.as_str())
}

/// The value as it would be typed; several values if the flag is repeatable.
fn texts(value: &Spanned<DeValue<'_>>, flag: &Flag) -> Result<Vec<String>, Mistake> {
    const TEXTS: &str = "a text or an array of texts";
    let takes_several = matches!(flag.arity, Arity::List | Arity::Repeated);
    match value.get_ref() {
        DeValue::Array(items) if items.is_empty() && flag.refuses_empty => {
            Err(Mistake::Expected("at least one"))
        }
        DeValue::Array(items) if takes_several => {
            let texts = items.iter().map(|item| text(item.get_ref(), TEXTS));
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            Ok(if flag.arity == Arity::Repeated { texts } else { vec![texts.join(",")] })
        }
        value if takes_several => Ok(vec![text(value, TEXTS)?]),
        value => Ok(vec![text(value, "a text, a whole number, true or false")?]),
    }
}

fn text(value: &DeValue<'_>, expected: &'static str) -> Result<String, Mistake> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| Mistake::Expected("a smaller number")),
        _ => Err(Mistake::Expected(expected)),
    }
}

/// The given settings in the order of the table, for reports, without secrets. Values of a repeatable flag are joined
/// by line ends, as in its variable.
pub(super) fn given_settings(given: &[Given], table: &[Flag]) -> Vec<(String, String)> {
    let is_given = |flag: &&Flag| given.iter().any(|given| given.kebab == flag.kebab);
    let setting = |flag: &Flag| {
        let values = effective(flag, given);
        let lines: Vec<_> =
            values.iter().map(|value| without_secret(flag, value.to_string_lossy())).collect();
        (!lines.is_empty()).then(|| (flag.kebab.clone(), lines.join("\n")))
    };
    table.iter().filter(|flag| may_stand_in_file(flag)).filter(is_given).filter_map(setting).collect()
}

/// The value for a report.
fn without_secret<'v>(flag: &Flag, value: Cow<'v, str>) -> Cow<'v, str> {
    match (flag.name.as_str(), value.split_once(':')) {
        (AUTH | HTTP_AUTH, Some((user, _))) => format!("{user}:<redacted>").into(),
        (AUTH_TOKEN | HTTP_TOKEN, _) => "<redacted>".into(),
        _ => value,
    }
}

/// The settings in effect, in the format of such a file. Settings without a value are listed in comments.
pub(super) fn print(given: &[Given], table: &[Flag]) -> String {
    let mut text = String::from(
        "# The settings in effect. Comments list the settings that are not set and have no default.\n",
    );
    let mut heading = "";
    for flag in table.iter().filter(|flag| may_stand_in_file(flag)) {
        if heading != flag.heading {
            heading = flag.heading;
            text += &format!("\n# {heading}\n");
        }
        let mut literals: Vec<_> = effective(flag, given).iter().map(|value| literal(flag, value)).collect();
        if flag.arity == Arity::Switch && implied::is_turned_on(flag, given, table) {
            literals = vec!["true".to_owned()];
        }
        text += &match (literals.as_slice(), flag.arity) {
            ([], _) => format!("# {}: {}\n", flag.kebab, flag.help),
            (all, Arity::Repeated) => format!("{} = [\n  {},\n]\n", flag.kebab, all.join(",\n  ")),
            ([.., last], _) => format!("{} = {last}\n", flag.kebab),
        };
    }
    text
}

/// The effective values of a flag: all given values if it is repeatable, otherwise the last one or the default.
pub(super) fn effective(flag: &Flag, given: &[Given]) -> Vec<OsString> {
    let mut values = given.iter().filter(|given| given.kebab == flag.kebab).map(|given| given.value.clone());
    if flag.arity == Arity::Repeated {
        // One value per line, as in a variable.
        let texts: Vec<String> = values.map(|value| value.to_string_lossy().into_owned()).collect();
        let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
        return lines.filter(|line| !line.is_empty()).map(OsString::from).collect();
    }
    let has_urls = || given.iter().any(|given| given.kebab == LISTEN && !given.value.is_empty());
    let has_default = !OF_DEFAULT_LISTENER.contains(&flag.kebab.as_str()) || !has_urls();
    let default = flag.default.as_ref().filter(|_| has_default).map(OsString::from);
    let is_meant =
        |value: &OsString| !value.is_empty() && (default.is_none() || !flag.asks_for_default(value));
    values.next_back().filter(is_meant).or(default).into_iter().collect()
}

/// A value in TOML: a boolean for a switch, an array for a list, otherwise a basic string, which every setting accepts.
fn literal(flag: &Flag, value: &OsString) -> String {
    let value = value.to_string_lossy();
    match flag.arity {
        Arity::Switch if value.starts_with(['1', 't', 'T']) => "true".to_owned(),
        Arity::Switch => "false".to_owned(),
        Arity::List if value.is_empty() => "[]".to_owned(),
        Arity::List => {
            let entries: Vec<_> = value.split(',').map(quoted).collect();
            format!("[{}]", entries.join(", "))
        }
        Arity::Value | Arity::Repeated => quoted(&value),
    }
}

fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text + "\""
}
