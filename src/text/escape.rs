//! Text that others wrote, made safe to show: names and lines that clients sent, what stands in report files. Every log
//! line, table, error and page gets it through here.

use std::borrow::Cow;

/// Whether a character does something where it is shown instead of being seen: control characters (a terminal obeys
/// them, and a line ends at them), the separators of lines and paragraphs, and what turns the direction of text.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with each [hidden](is_hidden) character as in a Rust string literal: `\r`, `\u{1b}`. It is one line then.
///
/// Backslashes are left alone: what is shown is read by people, and not back.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, is_hidden)
}

/// The same for text that has lines on purpose: their ends are left alone.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| c != '\n' && is_hidden(c))
}

/// The same for octets: what is not UTF-8 is shown as replacement characters.
pub fn escape_octets(octets: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(octets) {
        Cow::Borrowed(text) => escape(text),
        Cow::Owned(text) => Cow::Owned(escape(&text).into_owned()),
    }
}

fn escape_where(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    // A loop that only asks for that compiles to vector instructions.
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
