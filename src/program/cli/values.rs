//! Values of flags: Go's integers and booleans, durations, sizes, lists, choices.
//!
//! Pure. Every reader takes the text untrimmed; its error gives the expected form.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use smtpmock::smtp::auth::Credential;
use smtpmock::smtp::rules::{Delay, GrammarError, MAX_DURATION, duration_with_units, parse_size};

const A_BOOLEAN: &str = "true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)";
const AN_INTEGER: &str = "a whole number, like 2525 (also 0x9dd, 0o4735, 0b1001, 2_525)";
const A_DURATION: &str =
    "a whole number of seconds, like 30, or a number with a unit, like 250ms, 1.5s, 2m, 1h or 1m30s";
const A_SIZE: &str =
    "a number of bytes, like 1048576, or a whole number with a unit, like 10MB, 64KiB, 10MiB or 1GiB";
const UTF_8: &str = "text in UTF-8";

/// The expected form: "expected a whole number, like 2525".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected(Cow<'static, str>);

impl Expected {
    /// A phrase like "a whole number, like 2525".
    pub(super) fn new(phrase: impl Into<Cow<'static, str>>) -> Self {
        Self(format!("expected {}", phrase.into()).into())
    }
}

impl From<GrammarError> for Expected {
    fn from(error: GrammarError) -> Self {
        // If the whole text is wrong, carets would not help.
        let is_all_wrong = error.span() == (0..error.text().len());
        Self(if is_all_wrong { error.fault().to_string() } else { error.to_string() }.into())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Expected {}

/// A duration as typed. The meaning of zero and negative durations depends on the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignedSpan {
    Negative,
    Zero,
    /// From a nanosecond to [`MAX_DURATION`]; longer ones are reduced to that.
    Positive(Duration),
}

impl SignedSpan {
    fn new(is_negative: bool, length: Duration) -> Self {
        match (length.is_zero(), is_negative) {
            (true, _) => Self::Zero,
            (false, true) => Self::Negative,
            (false, false) => Self::Positive(length.min(MAX_DURATION)),
        }
    }
}

/// Go's spellings of a boolean (`strconv.ParseBool`).
pub(super) fn boolean(raw: &OsStr) -> Result<bool, Expected> {
    match raw.as_bytes() {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(Expected::new(A_BOOLEAN)),
    }
}

/// Go's integers (`strconv.ParseInt` with base 0): sign, base prefix, underscores between digits.
pub(super) fn integer(raw: &OsStr) -> Result<i64, Expected> {
    raw.to_str()
        .ok_or(NotAnInteger::Malformed)
        .and_then(go_integer)
        .map_err(|error| error.expected(AN_INTEGER))
}

/// An integer of at least zero.
pub(super) fn count(raw: &OsStr) -> Result<usize, Expected> {
    usize::try_from(integer(raw)?).map_err(|_| Expected::new("a whole number of at least 0"))
}

/// A duration: an integer in seconds, or numbers with units as Go's `time.ParseDuration` takes them.
pub(super) fn span(raw: &OsStr) -> Result<SignedSpan, Expected> {
    let text = raw.to_str().ok_or(Expected::new(A_DURATION))?;
    match go_integer(text) {
        Ok(seconds) => Ok(SignedSpan::new(seconds < 0, Duration::from_secs(seconds.unsigned_abs()))),
        Err(NotAnInteger::OutOfRange) => Err(NotAnInteger::OutOfRange.expected(A_DURATION)),
        Err(NotAnInteger::Malformed) => {
            let (is_negative, text) = split_sign(text);
            let length = duration_with_units(text).ok_or(Expected::new(A_DURATION))?;
            Ok(SignedSpan::new(is_negative, length))
        }
    }
}

/// A delay: as in [`span`], or a distribution. A negative delay is none.
pub(super) fn delay(raw: &OsStr) -> Result<Delay, Expected> {
    match (span(raw), raw.to_str()) {
        (Ok(SignedSpan::Positive(delay)), _) => Ok(delay.into()),
        (Ok(SignedSpan::Negative | SignedSpan::Zero), _) | (_, Some("")) => Ok(Delay::NONE),
        (Err(_), Some(text)) => Ok(text.parse::<Delay>()?),
        (Err(_), None) => Err(Expected::new(UTF_8)),
    }
}

/// A value with its own grammar; `None` for the empty text.
pub(super) fn parsed<T: FromStr<Err = GrammarError>>(raw: &OsStr) -> Result<Option<T>, Expected> {
    match raw.to_str().ok_or(Expected::new(UTF_8))?.trim() {
        "" => Ok(None),
        text => Ok(Some(text.parse::<T>()?)),
    }
}

/// Values with their own grammar, one per line.
pub(super) fn lines<T: FromStr<Err = GrammarError>>(raw: &OsStr) -> Result<Vec<T>, Expected> {
    let text = raw.to_str().ok_or(Expected::new(UTF_8))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.parse::<T>().map_err(Expected::from)).collect()
}

/// Users with passwords, one per line. White space around a password is part of it.
pub(super) fn credentials(raw: &OsStr) -> Result<Vec<Credential>, Expected> {
    let lines = texts(raw)?;
    if lines.is_empty() {
        return Ok(vec!["".parse()?]);
    }
    lines.iter().map(|line| Ok(line.parse()?)).collect()
}

/// Tokens, one per line, in the syntax of RFC 6750 section 2.1.
pub(super) fn tokens(raw: &OsStr) -> Result<Vec<Credential>, Expected> {
    let lines = texts(raw)?;
    let is_token = |line: &String| line.bytes().all(|octet| octet.is_ascii_graphic());
    match !lines.is_empty() && lines.iter().all(is_token) {
        true => Ok(lines.iter().map(Credential::token).collect()),
        false => Err(Expected::new("a token of visible characters of ASCII, without spaces")),
    }
}

/// Texts, one per line.
pub(super) fn texts(raw: &OsStr) -> Result<Vec<String>, Expected> {
    let text = raw.to_str().ok_or(Expected::new(UTF_8))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Lines of the reply to EHLO, without CR, which would also be a line end.
pub(super) fn ehlo_lines(raw: &OsStr) -> Result<Vec<String>, Expected> {
    let lines = texts(raw)?;
    match raw.as_encoded_bytes().contains(&b'\r') {
        true => Err(Expected::new("one line of text, without code and line end, like XCLIENT NAME ADDR")),
        false => Ok(lines),
    }
}

/// Checks with their own grammar, one per line. No check, or an empty line, is an error.
pub(super) fn checks<T>(
    raw: &OsStr,
    check: impl Fn(&str) -> Result<T, Expected>,
) -> Result<Vec<T>, Expected> {
    let text = raw.to_str().ok_or(Expected::new(UTF_8))?;
    if text.trim().is_empty() {
        return check("").map(|check| vec![check]);
    }
    text.lines().map(|line| check(line.trim())).collect()
}

/// A seed; `None` for the empty text.
pub(super) fn seed(raw: &OsStr) -> Result<Option<u64>, Expected> {
    match raw.to_str() {
        Some("") => Ok(None),
        text => text
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or(Expected::new("a whole number from 0 to 18446744073709551615")),
    }
}

/// A duration that is not negative.
pub(super) fn positive_span(raw: &OsStr) -> Result<SignedSpan, Expected> {
    match span(raw)? {
        SignedSpan::Negative => Err(Expected::new("a duration of at least 0, like 30, 250ms or 10m")),
        span => Ok(span),
    }
}

/// A number of bytes: an integer, or a whole decimal number with a unit.
pub(super) fn size(raw: &OsStr) -> Result<usize, Expected> {
    let text = raw.to_str().ok_or(Expected::new(A_SIZE))?;
    let bytes = match go_integer(text) {
        Ok(bytes) => bytes,
        Err(NotAnInteger::OutOfRange) => return Err(NotAnInteger::OutOfRange.expected(A_SIZE)),
        Err(NotAnInteger::Malformed) => {
            let (is_negative, text) = split_sign(text);
            let bytes = parse_size(text).and_then(|bytes| i64::try_from(bytes).ok());
            let bytes = bytes.ok_or(Expected::new(A_SIZE))?;
            if is_negative { -bytes } else { bytes }
        }
    };
    usize::try_from(bytes).map_err(|_| Expected::new("a number of bytes of at least 0, like 64MiB"))
}

/// The text unchanged, as bytes.
pub(super) fn verbatim(raw: &OsStr) -> Vec<u8> {
    raw.as_bytes().to_vec()
}

/// A path. The empty text is an error: it usually comes from an unset variable of a script, and the file would be
/// missing without notice.
pub(super) fn path(raw: &OsStr) -> Result<PathBuf, Expected> {
    match raw.is_empty() {
        true => Err(Expected::new("the path of a file; leave the flag out for no file")),
        false => Ok(PathBuf::from(raw)),
    }
}

/// Paths, one per line; at least one.
pub(super) fn paths(raw: &OsStr) -> Result<Vec<PathBuf>, Expected> {
    match texts(raw)? {
        lines if lines.is_empty() => Ok(vec![path(raw)?]),
        lines => Ok(lines.into_iter().map(PathBuf::from).collect()),
    }
}

/// The entries between the commas, untrimmed; none for the empty text.
pub(super) fn list(raw: &OsStr) -> Result<Vec<String>, Expected> {
    let text = raw.to_str().ok_or(Expected::new(UTF_8))?;
    match text {
        "" => Ok(Vec::new()),
        text => Ok(text.split(',').map(str::to_owned).collect()),
    }
}

/// [`list`] without blank entries, as after a trailing comma: they would match the null reverse-path.
pub(super) fn entries(raw: &OsStr) -> Result<Vec<String>, Expected> {
    let entries = list(raw)?.into_iter();
    Ok(entries.filter(|entry| !entry.trim().is_empty()).collect())
}

/// The names between the commas, trimmed; none for the empty text. An empty name is an error: it usually comes from an
/// unset variable of a script.
pub(super) fn names(raw: &OsStr) -> Result<Vec<String>, Expected> {
    let names: Vec<String> = list(raw)?.iter().map(|name| name.trim().to_owned()).collect();
    match names.iter().any(String::is_empty) {
        true => Err(Expected::new("names separated by single commas, none of them empty")),
        false => Ok(names),
    }
}

/// Names between commas with their own grammar; none for the empty text.
pub(super) fn parsed_names<T: FromStr<Err = GrammarError>>(raw: &OsStr) -> Result<Vec<T>, Expected> {
    names(raw)?.iter().map(|name| name.parse::<T>().map_err(Expected::from)).collect()
}

/// One of several words; `None` for the empty text.
pub(super) fn choice<T: Copy>(raw: &OsStr, choices: &[(&str, T)]) -> Result<Option<T>, Expected> {
    if raw.is_empty() {
        return Ok(None);
    }
    choices.iter().find(|(word, _)| raw == *word).map(|&(_, value)| Some(value)).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|&(word, _)| word).collect();
        Expected::new(words.join(" or "))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotAnInteger {
    Malformed,
    OutOfRange,
}

impl NotAnInteger {
    fn expected(self, phrase: &'static str) -> Expected {
        match self {
            Self::Malformed => Expected::new(phrase),
            Self::OutOfRange => Expected::new(format!("{phrase}; this one is out of range")),
        }
    }
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn go_integer(text: &str) -> Result<i64, NotAnInteger> {
    let (is_negative, unsigned) = split_sign(text);
    let (radix, digits, is_prefixed) = split_base_prefix(unsigned);
    if !is_digit_run(digits, radix, is_prefixed) {
        return Err(NotAnInteger::Malformed);
    }
    let magnitude = digits
        .chars()
        .filter_map(|c| c.to_digit(radix))
        .try_fold(0_i128, |sum, digit| {
            let sum = sum * i128::from(radix) + i128::from(digit);
            (sum <= 1 << 63).then_some(sum)
        })
        .ok_or(NotAnInteger::OutOfRange)?;
    i64::try_from(if is_negative { -magnitude } else { magnitude }).map_err(|_| NotAnInteger::OutOfRange)
}

/// The base, the text after the prefix, and whether it had a prefix that an underscore may follow.
fn split_base_prefix(unsigned: &str) -> (u32, &str, bool) {
    let bytes = unsigned.as_bytes();
    match bytes {
        [b'0', b'b' | b'B', _, ..] => (2, &unsigned[2..], true),
        [b'0', b'o' | b'O', _, ..] => (8, &unsigned[2..], true),
        [b'0', b'x' | b'X', _, ..] => (16, &unsigned[2..], true),
        [b'0', _, ..] => (8, &unsigned[1..], true),
        _ => (10, unsigned, false),
    }
}

/// Whether these are digits, with single underscores between them or after the prefix.
fn is_digit_run(digits: &str, radix: u32, is_prefixed: bool) -> bool {
    let mut after_digit = is_prefixed;
    for c in digits.chars() {
        match c {
            '_' if after_digit => after_digit = false,
            c if c.is_digit(radix) => after_digit = true,
            _ => return false,
        }
    }
    after_digit && !digits.is_empty()
}

#[cfg(test)]
mod tests;
