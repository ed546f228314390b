//! Values of settings in JSON: how they are shown and read. Errors are the expected values.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::smtp::rules::{A_DURATION, A_SIZE, Delay, parse_duration, parse_size};

/// The expected value, for errors.
pub(super) type Expected = String;

pub(super) fn texts<T: Display>(all: &[T]) -> Value {
    all.iter().map(ToString::to_string).collect()
}

pub(super) fn text<T: Display>(value: Option<T>) -> Value {
    value.map_or(Value::Null, |value| json!(value.to_string()))
}

pub(super) fn names<T: Display>(list: Option<T>) -> Value {
    list.map_or(Value::Null, |list| list.to_string().split(',').collect())
}

pub(super) fn word<T: Copy + PartialEq>(value: T, words: &[(&'static str, T)]) -> Value {
    words.iter().find(|(_, own)| *own == value).map_or(Value::Null, |(word, _)| json!(word))
}

pub(super) fn span(duration: Duration, zero: &str) -> Value {
    if duration.is_zero() { json!(zero) } else { json!(Delay::from(duration).to_string()) }
}

pub(super) fn some<'v, T>(
    value: &'v Value,
    read: impl Fn(&'v Value) -> Result<T, Expected>,
) -> Result<Option<T>, Expected> {
    if value.is_null() { Ok(None) } else { read(value).map(Some) }
}

pub(super) fn string(value: &Value) -> Result<&str, Expected> {
    value.as_str().ok_or_else(|| "a text".to_owned())
}

pub(super) fn flag(value: &Value) -> Result<bool, Expected> {
    value.as_bool().ok_or_else(|| "true or false".to_owned())
}

/// A text, or a number as it is typed on the command line.
fn typed(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

pub(super) fn number(value: &Value) -> Result<u64, Expected> {
    let number = typed(value).and_then(|text| text.parse().ok());
    number.ok_or_else(|| "a whole number of at least 0".to_owned())
}

pub(super) fn size(value: &Value) -> Result<usize, Expected> {
    typed(value).and_then(|text| parse_size(&text)).ok_or_else(|| A_SIZE.to_owned())
}

pub(in crate::http::api) fn duration(value: &Value) -> Result<Duration, Expected> {
    typed(value).and_then(|text| parse_duration(&text)).ok_or_else(|| A_DURATION.to_owned())
}

/// A negative one closes sessions after the greeting, as the flag does.
pub(super) fn timeout(value: &Value) -> Result<Duration, Expected> {
    match typed(value).as_deref().and_then(|text| text.strip_prefix('-')) {
        Some(text) => duration(&Value::from(text)).map(|_| Duration::ZERO),
        None => duration(value),
    }
}

/// Zero, with or without a unit, which requests the default.
pub(super) fn is_zero(value: &Value) -> bool {
    let Some(text) = typed(value) else { return false };
    let text = text.strip_prefix('-').unwrap_or(&text);
    parse_duration(text).is_some_and(|length| length.is_zero()) || parse_size(text) == Some(0)
}

pub(super) fn choice<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, Expected> {
    let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        words.join(" or ")
    })
}

pub(super) fn parsed<T: FromStr<Err: Display>>(value: &Value) -> Result<T, Expected> {
    string(value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// An array. Errors name the place in it.
pub(super) fn list<T: FromStr<Err: Display>>(value: &Value) -> Result<Vec<T>, Expected> {
    let entries = value.as_array().ok_or_else(|| "an array of texts".to_owned())?.iter();
    let entry = |(index, entry)| parsed(entry).map_err(|expected| format!("at [{index}]: {expected}"));
    entries.enumerate().map(entry).collect()
}

/// `msgQuitCmd` to `msg_quit_cmd`.
pub(super) fn snake_case(name: &str) -> String {
    let letter = |c: char| match c.is_ascii_uppercase() {
        true => format!("_{}", c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    name.chars().map(letter).collect()
}
