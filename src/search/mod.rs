//! Searching messages: Mailpit's grammar, and terms for facts of the session: envelope, parameters, user, TLS, session,
//! peer. Pure. Imports `mime`, `records`, `smtp` and `text`.
//!
//! A query is a list of terms, separated by spaces, all of which must match. Quotes (`"…"`) preserve spaces within a
//! term, a leading `-` or `!` negates it, and case is ignored. A term without a prefix is a text that the mail
//! contains.

mod index;
mod term;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::str::FromStr;

use crate::records::Message;

pub(crate) use index::Index;
use term::Term;
#[cfg(feature = "http")]
pub(crate) use value::moment;

/// Longest query in octets.
const LONGEST: usize = 4096;
/// Most terms of a query.
const MOST_TERMS: usize = 64;

/// A query for messages: a list of terms, separated by spaces, all of which must match. [`Query::default`] matches
/// every message; an empty text, as from an unset variable, is an error.
///
/// A term is a text that the mail contains (its addresses, subject, texts and names of files), or has one of these
/// prefixes. Quotes (`"…"`) preserve spaces within a term, a leading `-` or `!` negates it, and case is ignored. A text
/// with a colon must be quoted.
///
/// | term | matches |
/// |---|---|
/// | `from:` `to:` `cc:` `bcc:` `reply-to:` `subject:` `message-id:` | mails whose header field contains this; `bcc:` recipients that are in no field too |
/// | `addressed:ann` | mails with this in one of the fields with addresses |
/// | `header:X-Tag=news` | mails with this field, whose value contains this |
/// | `has:attachment` `has:inline` | mails with such a part |
/// | `larger:1.5m` `smaller:20k` | mails of more, or fewer, octets |
/// | `after:2026-11-27` `before:2026-11-27T10:00:00Z` | mails that arrived since then, or before |
/// | `mail-from:` `rcpt-to:` | mails whose reverse-path, or accepted forward-path, contains this; `mail-from:<>` the null reverse-path |
/// | `param:BODY=8BITMIME` | mails with this parameter of MAIL or RCPT; without `=` with any value |
/// | `inbox:test-1` | mails that [belong](crate::Message::inboxes) to exactly this inbox |
/// | `user:ann` | mails of an authenticated user |
/// | `tls:yes` `tls:no` `tls:1.3` | mails of sessions with TLS, in clear, or with this version |
/// | `session:7` `peer:10.0.0.1` `helo:mx` `protocol:lmtp` | mails of such sessions |
/// | `id:kvt0ytaf-12-1` | the message with this [id](crate::Message::id) |
///
/// ```
/// use std::time::Duration;
/// use smtpmock::{Config, Query, Server};
///
/// let server = Server::start(Config::default())?;
/// // … let the code under test send to server.local_addr()
/// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
/// # std::io::Write::write_all(&mut client, b"HELO a.example\r\nMAIL FROM:<app@example.com>\r\n\
/// #     RCPT TO:<bob@example.com>\r\nDATA\r\nSubject: Welcome, Bob\r\n\r\nHello\r\n.\r\n")?;
/// let welcome: Query = "rcpt-to:bob@example.com subject:welcome".parse()?;
/// let mail = server.wait_for(|mail| welcome.matches(mail), Duration::from_secs(5))?;
/// assert_eq!(mail.reverse_path().as_deref(), Some("app@example.com"));
/// assert_eq!("subject:goodbye".parse::<Query>()?.missed(&mail), ["subject:goodbye: found \"welcome, bob\""]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    terms: Vec<Term>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'c> {
    pub(crate) message: &'c Message,
    pub(crate) index: &'c Index,
}

/// Why a query is invalid. Displays the expected form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryError {
    /// The term as typed; empty if it is the whole query.
    pub term: String,
    /// The expected form.
    pub expected: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.term.is_empty() {
            true => f.write_str(&self.expected),
            false => write!(f, "{}: expected {}", self.term, self.expected),
        }
    }
}

impl std::error::Error for QueryError {}

impl FromStr for Query {
    type Err = QueryError;

    /// # Errors
    /// A term has an unknown prefix, or a missing or invalid value; a quote is not closed; or the query has no terms,
    /// or is too long.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let Words { words, is_closed } = split(text)?;
        if !is_closed {
            return Err(QueryError::of_query("a second quotation mark behind the first"));
        }
        if words.is_empty() {
            return Err(QueryError::of_query(NO_TERMS));
        }
        let terms = words.iter().map(Term::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { terms })
    }
}

/// Why a query without terms is refused: it would select every message.
const NO_TERMS: &str = "a query with at least one term that has a value";

impl QueryError {
    fn of_query(expected: impl Into<String>) -> Self {
        Self { term: String::new(), expected: expected.into() }
    }
}

/// The words of a text within the limits.
fn split(text: &str) -> Result<Words, QueryError> {
    if text.len() > LONGEST {
        return Err(QueryError::of_query(format!("a query of at most {LONGEST} octets")));
    }
    let words = words(text);
    if words.words.len() > MOST_TERMS {
        return Err(QueryError::of_query(format!("a query of at most {MOST_TERMS} terms")));
    }
    Ok(words)
}

impl Query {
    /// Parses a query like Mailpit: an unknown prefix is text, an unclosed quote extends to the end, and terms without
    /// a value are ignored. `takes` is called with each term that may have a prefix, and whether it is negated, and may
    /// consume it.
    ///
    /// # Errors
    /// As [`from_str`](FromStr::from_str), except for these cases. A query with only ignored terms is an error.
    #[cfg(feature = "http")]
    pub(crate) fn parse_lax(
        text: &str,
        mut takes: impl FnMut(&str, bool) -> bool,
    ) -> Result<Self, QueryError> {
        let Words { words, .. } = split(text)?;
        let mut terms = Vec::new();
        let mut is_empty = true;
        for word in words.iter().filter(|word| !Term::is_void(word)) {
            is_empty = false;
            if word.is_phrase || !takes(&word.text, word.is_negated) {
                terms.push(Term::parse_lax(word)?);
            }
        }
        match is_empty {
            true => Err(QueryError::of_query(NO_TERMS)),
            false => Ok(Self { terms }),
        }
    }

    /// Whether a message matches all terms. Parses it at each call.
    pub fn matches(&self, message: &Message) -> bool {
        self.selects(Candidate { message, index: &Index::of(message) })
    }

    /// The terms that a message does not match, each with the message's value.
    pub fn missed(&self, message: &Message) -> Vec<String> {
        self.missed_by(Candidate { message, index: &Index::of(message) })
    }

    /// Every message matches.
    #[cfg(feature = "http")]
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a message matches all terms.
    pub(crate) fn selects(&self, candidate: Candidate<'_>) -> bool {
        self.terms.iter().all(|term| term.matches(candidate))
    }

    /// Number of terms that a message does not match.
    #[cfg(feature = "http")]
    pub(crate) fn misses(&self, candidate: Candidate<'_>) -> usize {
        self.terms.iter().filter(|term| !term.matches(candidate)).count()
    }

    /// The terms that a message does not match.
    pub(crate) fn missed_by(&self, candidate: Candidate<'_>) -> Vec<String> {
        let missed = self.terms.iter().filter(|term| !term.matches(candidate));
        missed.map(|term| term.explain(candidate)).collect()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    words: Vec<Word>,
    /// All quotes are closed.
    is_closed: bool,
}

/// A word of a query, without its quotes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Word {
    text: String,
    /// It had a leading `-` or `!`.
    is_negated: bool,
    /// It began with a quote: it has no prefix.
    is_phrase: bool,
}

/// Splits at white space outside of quotes. An unclosed quote extends to the end.
fn words(text: &str) -> Words {
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
    Words { words, is_closed: !is_quoted }
}
