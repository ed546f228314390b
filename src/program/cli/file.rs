//! The file of `--config`: the same settings as the flags, by the same names, in TOML.
//!
//! Pure: the text comes in as a value. What is read from it is judged where the flags are; only what TOML or
//! the names get wrong is found here.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::flag::{Arity, Flag};
use super::flags::{CONFIG, LISTEN, MERGE_REPORTS, OF_DEFAULT_LISTENER, PRINT_CONFIG, VERSION};
use super::goflags::Given;
use super::letters;

/// Reads the settings of a file. The name is for errors.
///
/// # Errors
/// The first thing in it that is wrong: file, line, what it is and what would be right.
pub(super) fn read(name: &str, text: &str, table: &[Flag]) -> Result<Vec<Given>, FileError> {
    let file = File { name, text };
    let settings = DeTable::parse(text).map_err(|error| {
        file.error(error.span().unwrap_or(0..0), Mistake::Toml(error.message().to_owned()))
    })?;
    let mut settings: Vec<_> = settings.get_ref().iter().collect();
    // In the order of the file, so that the first mistake is the one that is reported.
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
            line: line.to_owned(),
            indent: self.text[line_start..start].chars().count(),
            width: marked.chars().count().max(1),
            mistake,
        }
    }
}

/// What is wrong in a file of settings, and where. Displays as the mistake, the line, and carets under the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileError {
    name: String,
    /// The first line is 1.
    number: usize,
    line: String,
    /// In characters, as are the carets.
    indent: usize,
    width: usize,
    mistake: Mistake,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mistake {
    Toml(String),
    /// A setting that no flag has, and the one that may be meant.
    Unknown(String, Option<String>),
    /// A flag that can stand on a command line only.
    OnlyFlag(String),
    /// A setting that is there twice.
    Repeated(String),
    /// Another value belongs there.
    Expected(&'static str),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml(reason) => write!(f, "no valid TOML: {reason}"),
            Self::Unknown(key, Some(meant)) => write!(f, "unknown setting {key}: did you mean {meant}?"),
            Self::Unknown(key, None) => write!(f, "unknown setting {key}: expected the name of a flag"),
            Self::OnlyFlag(key) => write!(f, "{key} can only be a flag"),
            Self::Repeated(key) => write!(f, "{key} is there already"),
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

/// The value as it would be typed; several where the flag may be repeated.
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

/// The settings that were given, in the order of the table; the values of a repeated flag as in its variable, one
/// in each line.
pub(super) fn given_settings(given: &[Given], table: &[Flag]) -> Vec<(String, String)> {
    let is_given = |flag: &&Flag| given.iter().any(|given| given.kebab == flag.kebab);
    let setting = |flag: &Flag| {
        let values = effective(flag, given);
        let lines: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
        (!lines.is_empty()).then(|| (flag.kebab.clone(), lines.join("\n")))
    };
    table.iter().filter(|flag| may_stand_in_file(flag)).filter(is_given).filter_map(setting).collect()
}

/// The settings in effect as such a file. What has no value unless it is given stands there as a comment.
pub(super) fn print(given: &[Given], table: &[Flag]) -> String {
    let mut text = String::from(
        "# The settings in effect. Comments name those that have no value unless they are set.\n",
    );
    let mut heading = "";
    for flag in table.iter().filter(|flag| may_stand_in_file(flag)) {
        if heading != flag.heading {
            heading = flag.heading;
            text += &format!("\n# {heading}\n");
        }
        let literals: Vec<_> = effective(flag, given).iter().map(|value| literal(flag, value)).collect();
        text += &match (literals.as_slice(), flag.arity) {
            ([], _) => format!("# {}: {}\n", flag.kebab, flag.help),
            (all, Arity::Repeated) => format!("{} = [\n  {},\n]\n", flag.kebab, all.join(",\n  ")),
            ([.., last], _) => format!("{} = {last}\n", flag.kebab),
        };
    }
    text
}

/// What counts of a flag: all that was given where it may be repeated, otherwise the last, or the default.
fn effective(flag: &Flag, given: &[Given]) -> Vec<OsString> {
    let mut values = given.iter().filter(|given| given.kebab == flag.kebab).map(|given| given.value.clone());
    if flag.arity == Arity::Repeated {
        // One in each line, as in a variable.
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

/// A value as TOML writes it: switches as booleans, lists as arrays, all else as a basic string, which every
/// setting takes.
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
