//! What all texts of this module share: errors with a caret under the wrong place, words, the nearest
//! known word.

use std::fmt;
use std::ops::Range;

/// A text that does not follow its grammar. Displays as the reason, the text, and a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrammarError {
    text: String,
    /// Octets of `text` that are wrong; may be empty at its end, where something is missing.
    span: Range<usize>,
    reason: String,
}

impl GrammarError {
    pub(crate) fn new(text: &str, span: Range<usize>, reason: impl Into<String>) -> Self {
        Self { text: text.to_owned(), span, reason: reason.into() }
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong and what would be right, in one line.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The octets of the text that are wrong; empty where something is missing.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The text, and the caret under the wrong place: two lines, indented alike.
    pub fn marked(&self) -> String {
        let line = |part: &str| part.replace(char::is_control, " ");
        let columns = |range: Range<usize>| self.text.get(range).map_or(0, |part| part.chars().count());
        let indent = columns(0..self.span.start);
        let carets = columns(self.span.clone()).max(1);
        format!("  {}\n  {}{}", line(&self.text), " ".repeat(indent), "^".repeat(carets))
    }

    /// The same error, in a text of which the old one is a part that begins at `offset`.
    pub(super) fn within(self, text: &str, offset: usize) -> Self {
        let span = self.span.start + offset..self.span.end + offset;
        Self { text: text.to_owned(), span, reason: self.reason }
    }
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.reason, self.marked())
    }
}

impl std::error::Error for GrammarError {}

/// The known word that is most like `typed`, in either case, if one is like it at all: one slip in three letters, and no
/// more than three, are letters left out, put in, mistaken, or swapped with their neighbours.
///
/// Both programs use it for flags and variables too; it is no part of the documented interface.
#[doc(hidden)]
pub fn nearest<'w>(typed: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed = typed.to_lowercase();
    let most = (typed.chars().count() / 3).clamp(1, 3);
    let slips = |word: &str| strsim::osa_distance(&typed, &word.to_lowercase());
    let measured = known.into_iter().map(|word| (slips(word), word)).filter(|(slips, _)| *slips <= most);
    measured.min_by_key(|(slips, _)| *slips).map(|(_, word)| word)
}

/// "; did you mean …?" for an unknown word, or what there is.
pub(super) fn unknown(what: &str, typed: &str, known: &[&str]) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(word) => format!("unknown {what} {typed:?}: did you mean {word}?"),
        None => format!("unknown {what} {typed:?}: expected one of {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_wrong_place() {
        let error = GrammarError::new("rcpt dely=2s", 5..9, "no");
        assert_eq!(error.to_string(), "no\n  rcpt dely=2s\n       ^^^^");
        let missing = GrammarError::new("é", 2..2, "no");
        assert_eq!(missing.marked(), "  é\n   ^");
    }

    #[test]
    fn slips_find_their_word_and_strangers_do_not() {
        let known = ["reply", "delay", "drop", "silent"];
        for (typed, word) in
            [("rpely", "reply"), ("dely", "delay"), ("DROP", "drop"), ("silnet", "silent"), ("dorp", "drop")]
        {
            assert_eq!(nearest(typed, known), Some(word), "{typed}");
        }
        for typed in ["zebra", "", "de"] {
            assert_eq!(nearest(typed, known), None, "{typed}");
        }
    }
}
