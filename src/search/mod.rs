//! Searching messages: Mailpit's grammar, and terms for what only the server knows: envelope, parameters, user, TLS, session,
//! peer. Pure. Imports `mime`, `records`, `smtp` and `text`.
//!
//! A query is a list of terms, separated by spaces, all of which must match. `"…"` keeps spaces within a term, `-` or `!` in front
//! negates it, and case never matters. A term without a prefix, or with one that is not known, is a text that the mail contains.

mod index;
mod term;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

use crate::records::Message;

pub(crate) use index::Index;
use term::Term;

/// Octets of a query.
const LONGEST: usize = 4096;
/// Terms of a query.
const MOST_TERMS: usize = 64;

/// A query; without terms it matches every message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query {
    terms: Vec<Term>,
}

/// What is searched of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'c> {
    pub(crate) message: &'c Message,
    pub(crate) index: &'c Index,
}

/// Why a query has no meaning. Displays as what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryError {
    /// The term, as it was typed; empty where it is the whole query.
    pub(crate) term: String,
    pub(crate) expected: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.term.is_empty() {
            true => f.write_str(&self.expected),
            false => write!(f, "{}: expected {}", self.term, self.expected),
        }
    }
}

impl Query {
    /// # Errors
    /// A term has a prefix that is known, and a value that it can't have.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        let too_long = |expected: String| QueryError { term: String::new(), expected };
        if text.len() > LONGEST {
            return Err(too_long(format!("a query of at most {LONGEST} octets")));
        }
        let terms = words(text).iter().map(Term::parse).collect::<Result<Vec<_>, _>>()?;
        match terms.len() > MOST_TERMS {
            true => Err(too_long(format!("a query of at most {MOST_TERMS} terms"))),
            false => Ok(Self { terms }),
        }
    }

    /// Every message matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a message matches all terms.
    pub(crate) fn matches(&self, candidate: Candidate<'_>) -> bool {
        self.terms.iter().all(|term| term.matches(candidate))
    }

    /// The terms that a message does not match, each with what it has instead.
    pub(crate) fn missed(&self, candidate: Candidate<'_>) -> Vec<String> {
        let missed = self.terms.iter().filter(|term| !term.matches(candidate));
        missed.map(|term| term.explain(candidate)).collect()
    }
}

/// A word of a query, without its quotes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Word {
    text: String,
    /// `-` or `!` was in front.
    is_negated: bool,
    /// A quote was in front: it has no prefix.
    is_phrase: bool,
}

/// Splits at white space that is not within quotes. A quote that is not closed reaches to the end.
fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut is_quoted = false;
    for c in text.chars() {
        if c.is_whitespace() && !is_quoted {
            words.extend(word.take());
            continue;
        }
        let is_first = word.as_ref().is_none_or(|word| word.text.is_empty() && !word.is_phrase);
        let word = word.get_or_insert_default();
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.is_phrase |= is_first;
            }
            '-' | '!' if is_first && !word.is_negated => word.is_negated = true,
            c => word.text.push(c),
        }
    }
    words.extend(word);
    words.retain(|word| !word.text.trim().is_empty());
    words
}
