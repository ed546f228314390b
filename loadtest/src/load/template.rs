//! Address templates: `user{{seq}}@example.com`.
//!
//! Parsed once; rendering appends to a buffer and allocates nothing.

use std::fmt;
use std::str::FromStr;

/// The longest template, in bytes: RFC 5321 section 4.5.3.1.3 allows 256 for a path, and placeholders are longer than
/// their values.
const TEMPLATE_LIMIT: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The message's sequence number, from 0.
    Seq,
    /// The recipient's index in its message, from 0.
    Rcpt,
    /// The run's id, eight hexadecimal digits.
    Run,
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    source: String,
    parts: Vec<Part>,
}

/// Values of the placeholders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    pub(crate) seq: u64,
    pub(crate) rcpt: u16,
    pub(crate) run: &'a str,
}

impl Template {
    /// The template as it was given.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the text differs between messages.
    pub(crate) fn names_the_message(&self) -> bool {
        self.parts.contains(&Part::Seq)
    }

    /// Appends the text with `values` in place of the placeholders.
    pub(crate) fn render(&self, values: Values<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Seq => write_number(out, values.seq),
                Part::Rcpt => write_number(out, u64::from(values.rcpt)),
                Part::Run => out.extend_from_slice(values.run.as_bytes()),
            }
        }
    }
}

/// Appends a number in decimal digits. Formatting of the standard library would cost as much as a command.
pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] += (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// Longer than [`TEMPLATE_LIMIT`].
    TooLong,
    /// A character that is not allowed in an address.
    NoAddress(char),
    /// A `{{` without its `}}`.
    Unclosed,
    UnknownPlaceholder(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::TooLong => write!(f, "longer than {TEMPLATE_LIMIT} bytes"),
            TemplateError::NoAddress(bad) => write!(f, "an address can't have {bad:?}"),
            TemplateError::Unclosed => f.write_str("`{{` has no `}}`"),
            TemplateError::UnknownPlaceholder(name) => {
                write!(f, "`{{{{{name}}}}}` is unknown; use {{{{seq}}}}, {{{{rcpt}}}} or {{{{run}}}}")
            }
        }
    }
}

impl std::error::Error for TemplateError {}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        if text.len() > TEMPLATE_LIMIT {
            return Err(TemplateError::TooLong);
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || matches!(c, '<' | '>' | ' ')) {
            return Err(TemplateError::NoAddress(bad));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err(TemplateError::Unclosed);
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "seq" => Part::Seq,
                "rcpt" => Part::Rcpt,
                "run" => Part::Run,
                other => return Err(TemplateError::UnknownPlaceholder(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { source: text.to_owned(), parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, seq: u64, rcpt: u16) -> String {
        let mut out = Vec::new();
        let values = Values { seq, rcpt, run: "0a1b2c3d" };
        text.parse::<Template>().unwrap().render(values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_formats_them() {
        let powers = (0..64).map(|bits| 1u64 << bits).chain((0..20).map(|digits| 10u64.pow(digits)));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            let mut out = b"x".to_vec();
            write_number(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }

    #[test]
    fn placeholders_are_replaced_anywhere() {
        assert_eq!(render("user{{seq}}@example.com", 42, 0), "user42@example.com");
        assert_eq!(render("{{run}}.{{rcpt}}@{{seq}}.test", 7, 3), "0a1b2c3d.3@7.test");
        assert_eq!(render("plain@example.com", 1, 1), "plain@example.com");
        assert_eq!(render("", 1, 1), "");
    }

    #[test]
    fn what_cannot_be_an_address_is_named() {
        let error = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert!(error("a{{sequence}}@b").contains("{{sequence}}"));
        assert!(error("a{{seq@b").contains("}}"));
        assert!(error("a\r\nRSET@b").contains("'\\r'"));
        assert_eq!("<a@b>".parse::<Template>(), Err(TemplateError::NoAddress('<')));
    }
}
