//! Errors of the grammars of rules: their kind and position, a caret under the position, and the nearest known word.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// What is wrong with a text. It is displayed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// This is expected here, as in "a closing quote".
    Expected(Cow<'static, str>),
    /// An unknown word.
    Unknown {
        /// What kind of word: "stage".
        what: &'static str,
        /// The word as it was typed.
        word: String,
        /// A hint at the intended word.
        instead: Instead,
    },
    /// A known term that is not allowed here.
    Unfit {
        /// What it is, as in "messages is a count".
        what: String,
        /// The allowed terms.
        expected: String,
    },
    /// A term that may occur only once.
    Repeated(Cow<'static, str>),
}

/// A hint at the intended word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instead {
    /// A similar known word.
    Like(String),
    /// No word is similar; the known words, as in "one of connect, helo".
    Expected(String),
}

impl Instead {
    pub(crate) fn of<'w>(
        word: &str,
        known: impl IntoIterator<Item = &'w str>,
        expected: impl FnOnce() -> String,
    ) -> Self {
        nearest(word, known).map_or_else(|| Self::Expected(expected()), |known| Self::Like(known.to_owned()))
    }
}

impl Fault {
    pub(crate) fn expected(phrase: impl Into<Cow<'static, str>>) -> Self {
        Self::Expected(phrase.into())
    }

    /// The fault of an unknown word.
    pub(in crate::smtp) fn unknown(what: &'static str, word: &str, known: &[&str]) -> Self {
        let instead = Instead::of(word, known.iter().copied(), || format!("one of {}", known.join(", ")));
        Self::Unknown { what, word: word.to_owned(), instead }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(phrase) => write!(f, "expected {phrase}"),
            Self::Unknown { what, word, instead: Instead::Like(known) } => {
                write!(f, "unknown {what} {word:?}: did you mean {known}?")
            }
            Self::Unknown { what, word, instead: Instead::Expected(phrase) } => {
                write!(f, "unknown {what} {word:?}: expected {phrase}")
            }
            Self::Unfit { what, expected } => write!(f, "{what}: expected {expected}"),
            Self::Repeated(what) => write!(f, "{what} is there already: once is enough"),
        }
    }
}

/// A text that does not follow its grammar. It is displayed as the fault, the text, and a caret under the error; the
/// latter two are omitted if the text is blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrammarError {
    text: String,
    /// The octets of `text` that are wrong; empty at its end if something is missing.
    span: Range<usize>,
    fault: Fault,
}

impl GrammarError {
    pub(crate) fn new(text: &str, span: Range<usize>, fault: Fault) -> Self {
        Self { text: text.to_owned(), span, fault }
    }

    /// Something else is expected, or something is missing.
    pub(crate) fn expected(text: &str, span: Range<usize>, phrase: impl Into<Cow<'static, str>>) -> Self {
        Self::new(text, span, Fault::expected(phrase))
    }

    /// The text that was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong, and the valid form.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The octets of the text that are wrong; empty if something is missing.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The text, and a caret under the error, on two lines with the same indentation.
    pub fn marked(&self) -> String {
        let line = |part: &str| part.replace(char::is_control, " ");
        let columns = |range: Range<usize>| self.text.get(range).map_or(0, |part| part.chars().count());
        let indent = columns(0..self.span.start);
        let carets = columns(self.span.clone()).max(1);
        format!("  {}\n  {}{}", line(&self.text), " ".repeat(indent), "^".repeat(carets))
    }

    /// The same error in a longer text, in which this text begins at `offset`.
    pub(super) fn within(self, text: &str, offset: usize) -> Self {
        let span = self.span.start + offset..self.span.end + offset;
        Self { text: text.to_owned(), span, fault: self.fault }
    }
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.trim().is_empty() {
            // The text is blank.
            return write!(f, "{}", self.fault);
        }
        write!(f, "{}\n{}", self.fault, self.marked())
    }
}

impl std::error::Error for GrammarError {}

/// The known word that is most similar to `typed`, ignoring case, if any is similar enough: at most one error in three
/// letters and at most three in all, where an error is a letter omitted, inserted, replaced or swapped with its
/// neighbour.
///
/// Hidden: used by both programs for flags and variables.
#[doc(hidden)]
pub fn nearest<'w>(typed: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed = typed.to_lowercase();
    let most = (typed.chars().count() / 3).clamp(1, 3);
    let slips = |word: &str| strsim::osa_distance(&typed, &word.to_lowercase());
    let measured = known.into_iter().map(|word| (slips(word), word)).filter(|(slips, _)| *slips <= most);
    measured.min_by_key(|(slips, _)| *slips).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_is_under_the_wrong_place() {
        let error = GrammarError::expected("rcpt dely=2s", 5..9, "no");
        assert_eq!(error.to_string(), "expected no\n  rcpt dely=2s\n       ^^^^");
        let missing = GrammarError::expected("é", 2..2, "no");
        assert_eq!(missing.marked(), "  é\n   ^");
    }

    #[test]
    fn a_blank_text_has_no_caret() {
        for text in ["", " ", "\t"] {
            assert_eq!(GrammarError::expected(text, 0..0, "a figure").to_string(), "expected a figure");
        }
    }

    #[test]
    fn misspelled_words_are_found_and_unrelated_words_are_not() {
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
