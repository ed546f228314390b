//! Escaping of untrusted text: names and lines from clients, text from report files. Every log line, table, error and
//! page uses it.

use std::borrow::Cow;

/// Whether a character affects the display instead of being visible: control characters, which terminals interpret,
/// line and paragraph separators, and characters that change the direction of text.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with each [hidden](is_hidden) character escaped as in a Rust string literal: `\r`, `\u{1b}`. The result
/// is one line.
///
/// Backslashes are not escaped: the result is for people, not for parsing.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, is_hidden)
}

/// The same for several lines: line feeds are not escaped.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| c != '\n' && is_hidden(c))
}

/// The same for octets; invalid UTF-8 becomes replacement characters.
pub fn escape_octets(octets: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(octets) {
        Cow::Borrowed(text) => escape(text),
        Cow::Owned(text) => Cow::Owned(escape(&text).into_owned()),
    }
}

fn escape_where(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    // This simple loop compiles to vector instructions.
    let is_plain = text.bytes().fold(true, |plain, octet| plain & matches!(octet, b' '..=b'~'));
    if is_plain || !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_escaped(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_as_an_escape() {
        for (text, shown) in [
            ("MAIL FROM:<ann@example.com>", "MAIL FROM:<ann@example.com>"),
            ("NOOP \u{1b}[2J", "NOOP \\u{1b}[2J"),
            ("x\rINFO: 2099/01/01 forged", "x\\rINFO: 2099/01/01 forged"),
            ("\0\t\n\u{7f}", "\\u{0}\\t\\n\\u{7f}"),
            // CSI as one character, which some terminals obey too.
            ("\u{9b}2J", "\\u{9b}2J"),
            ("one\u{2028}two\u{2029}", "one\\u{2028}two\\u{2029}"),
            ("\u{202e}moc.elpmaxe", "\\u{202e}moc.elpmaxe"),
            ("Grüße, 你好, \\ and 🦀", "Grüße, 你好, \\ and 🦀"),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(escape_octets(text.as_bytes()), shown);
        }
        assert_eq!(escape_lines("one\r\ntwo\n"), "one\\r\ntwo\n");
        assert_eq!(escape_octets(b"\xff\x1b"), "\u{fffd}\\u{1b}");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_the_rest_stays(text in any::<String>()) {
            let shown = escape(&text);
            prop_assert!(!shown.contains(is_hidden));
            if !text.contains(is_hidden) {
                prop_assert_eq!(&shown, &text);
            }
            prop_assert!(!escape_lines(&text).contains(|c| c != '\n' && is_hidden(c)));
        }
    }
}
