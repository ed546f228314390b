//! One term of a query.

use std::borrow::Cow;
use std::time::SystemTime;

use memchr::memmem::Finder;

use super::index::{Field, Index};
use super::value::{A_MOMENT, A_SIZE, moment, size};
use super::{Candidate, QueryError, Word};
use crate::records::Message;
use crate::smtp::Parameters;
use crate::smtp::rules::nearest;
use crate::text::timestamp;

/// Most characters of the message's value in an explanation.
const LONGEST_FOUND: usize = 1000;

/// A test, or its negation.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// As typed, without quotes.
    typed: String,
    is_negated: bool,
    test: Test,
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        (&self.typed, self.is_negated) == (&other.typed, other.is_negated)
    }
}

/// A test of a message. Texts are in lower case.
#[derive(Clone, Debug)]
enum Test {
    /// The mail contains it.
    Contains(Box<Finder<'static>>),
    /// One of the fields contains it.
    In(&'static [Field], String),
    Header {
        name: String,
        value: String,
    },
    HasAttachment,
    HasInline,
    After(SystemTime),
    Before(SystemTime),
    Larger(u64),
    Smaller(u64),
    /// The reverse-path contains it.
    MailFrom(String),
    /// A forward-path contains it.
    RcptTo(String),
    /// MAIL or RCPT has this parameter, with this value if any.
    Parameter {
        name: String,
        value: Option<String>,
    },
    /// It belongs to this inbox.
    Inbox(String),
    /// The user of AUTH contains it.
    User(String),
    Tls(Tls),
    Session(u64),
    Peer(String),
    Helo(String),
    Protocol(String),
    Id(String),
}

#[derive(Clone, Debug)]
enum Tls {
    Any,
    None,
    Version(String),
}

const ADDRESSED: &[Field] = &[Field::From, Field::To, Field::Cc, Field::Bcc, Field::ReplyTo];

impl Term {
    /// # Errors
    /// An unknown prefix, or a missing or invalid value.
    pub(super) fn parse(word: &Word) -> Result<Self, QueryError> {
        let refused = |expected| QueryError { term: typed(word), expected };
        if Self::is_void(word) {
            let hint = "a value: without one it would match every message, or none";
            return Err(refused(hint.to_owned()));
        }
        let lower = word.text.to_lowercase();
        match prefixed(word, &lower) {
            Some((prefix, value)) if is_unknown(prefix, value) => {
                let named = nearest(prefix, PREFIXES.iter().copied());
                let named = named.map_or("a known prefix".to_owned(), |name| format!("{name}:"));
                Err(refused(format!("{named}, or the text in quotation marks: \"{}\"", word.text)))
            }
            _ => Self::parse_lax(word),
        }
    }

    /// The same, but an unknown prefix is part of a text.
    ///
    /// # Errors
    /// An invalid value.
    pub(super) fn parse_lax(word: &Word) -> Result<Self, QueryError> {
        let lower = word.text.to_lowercase();
        let refused = |expected: &str| QueryError { term: typed(word), expected: expected.to_owned() };
        let test = match prefixed(word, &lower) {
            Some((prefix, value)) => test(prefix, value).map_err(refused)?,
            None => None,
        };
        let test =
            test.unwrap_or_else(|| Test::Contains(Box::new(Finder::new(lower.as_bytes()).into_owned())));
        Ok(Self { typed: typed(word), is_negated: word.is_negated, test })
    }

    /// Whether it lacks a value, so that it would match every message, or none: `""`, `-`, `from:`, `header:=x`,
    /// `header:X=`.
    pub(super) fn is_void(word: &Word) -> bool {
        let lower = word.text.to_lowercase();
        match prefixed(word, &lower) {
            Some(("header" | "param", value)) => {
                let (name, value) = value.split_once('=').unwrap_or((value, "any"));
                name.trim().is_empty() || value.trim().is_empty()
            }
            Some(("message-id", value)) => value.trim_matches(['<', '>']).is_empty(),
            Some((prefix, value)) if PREFIXES.contains(&prefix) => value.is_empty(),
            None if word.is_phrase => lower.trim().is_empty(),
            _ => lower.trim_matches(|c: char| c.is_whitespace() || "-!".contains(c)).is_empty(),
        }
    }

    pub(super) fn matches(&self, candidate: Candidate<'_>) -> bool {
        self.test.holds(candidate) != self.is_negated
    }

    pub(super) fn explain(&self, candidate: Candidate<'_>) -> String {
        let found = self.test.found(candidate);
        match found.char_indices().nth(LONGEST_FOUND) {
            Some((end, _)) => format!("{}: {}…", self.typed, &found[..end]),
            None => format!("{}: {found}", self.typed),
        }
    }
}

/// The term as typed, without quotes around a value.
fn typed(Word { text, is_negated, .. }: &Word) -> String {
    match (is_negated, text.trim().is_empty()) {
        (true, _) => format!("-{text}"),
        (false, true) => format!("\"{text}\""),
        (false, false) => text.clone(),
    }
}

/// The prefix and the value of a word, given in lower case too; `None` for a phrase, or without a colon.
fn prefixed<'t>(word: &Word, lower: &'t str) -> Option<(&'t str, &'t str)> {
    let (prefix, value) = if word.is_phrase { None } else { lower.split_once(':') }?;
    Some((prefix, value.trim()))
}

/// Whether this looks like a prefix but is unknown. Times and URLs do not.
fn is_unknown(prefix: &str, value: &str) -> bool {
    let is_name = !prefix.is_empty()
        && prefix.bytes().all(|octet| octet.is_ascii_alphabetic() || b"-_".contains(&octet));
    is_name && !value.starts_with("//") && !PREFIXES.contains(&prefix)
}

/// All prefixes of [`test()`], and those of Mailpit's interface only.
const PREFIXES: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "addressed",
    "subject",
    "message-id",
    "has",
    "after",
    "before",
    "larger",
    "smaller",
    "header",
    "mail-from",
    "rcpt-to",
    "param",
    "inbox",
    "user",
    "tls",
    "session",
    "peer",
    "helo",
    "protocol",
    "id",
    "is",
    "tag",
];

/// The test of a known prefix.
fn test(prefix: &str, value: &str) -> Result<Option<Test>, &'static str> {
    let within = |fields: &'static [Field]| Test::In(fields, value.to_owned());
    let test = match prefix {
        "from" => within(&[Field::From]),
        "to" => within(&[Field::To]),
        "cc" => within(&[Field::Cc]),
        "bcc" => within(&[Field::Bcc]),
        "reply-to" => within(&[Field::ReplyTo]),
        "addressed" => within(ADDRESSED),
        "subject" => within(&[Field::Subject]),
        "message-id" => Test::In(&[Field::MessageId], value.trim_matches(['<', '>']).to_owned()),
        "has" => match value {
            "attachment" | "attachments" => Test::HasAttachment,
            "inline" | "inlines" => Test::HasInline,
            _ => return Err("has:attachment or has:inline"),
        },
        "after" => Test::After(moment(&value.to_uppercase()).ok_or(A_MOMENT)?),
        "before" => Test::Before(moment(&value.to_uppercase()).ok_or(A_MOMENT)?),
        "larger" => Test::Larger(size(value).ok_or(A_SIZE)?),
        "smaller" => Test::Smaller(size(value).ok_or(A_SIZE)?),
        "header" => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            Test::Header { name: name.trim().to_owned(), value: value.trim().to_owned() }
        }
        "mail-from" => Test::MailFrom(value.trim_matches(['<', '>']).to_owned()),
        "rcpt-to" => Test::RcptTo(value.trim_matches(['<', '>']).to_owned()),
        "param" => {
            let (name, value) =
                value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
            Test::Parameter { name: name.to_owned(), value: value.map(str::to_owned) }
        }
        "inbox" => Test::Inbox(value.to_owned()),
        "user" => Test::User(value.to_owned()),
        "tls" => Test::Tls(match value {
            "yes" | "true" => Tls::Any,
            "no" | "false" => Tls::None,
            "1.2" | "1.3" => Tls::Version(value.to_owned()),
            _ => return Err("tls:yes, tls:no, tls:1.2 or tls:1.3"),
        }),
        "session" => Test::Session(value.parse().map_err(|_| "the number of a session")?),
        "peer" => Test::Peer(value.to_owned()),
        "helo" => Test::Helo(value.to_owned()),
        "protocol" => match value {
            "smtp" | "lmtp" => Test::Protocol(value.to_owned()),
            _ => return Err("protocol:smtp or protocol:lmtp"),
        },
        "id" => Test::Id(value.to_owned()),
        "is" | "tag" => return Err("another term: is: and tag: exist only in Mailpit's /api/v1/search"),
        _ => return Ok(None),
    };
    Ok(Some(test))
}

fn contains(text: &str, lower: &str) -> bool {
    text.to_lowercase().contains(lower)
}

fn parameters(message: &Message) -> Vec<Parameters<'_>> {
    std::iter::once(message.mail_parameters()).chain(message.rcpt_parameters()).collect()
}

fn is_parameter(message: &Message, name: &str, value: Option<&str>) -> bool {
    let is_value = |given: Option<&[u8]>| {
        value.is_none_or(|value| {
            given.is_some_and(|given| String::from_utf8_lossy(given).to_lowercase() == value)
        })
    };
    let all = parameters(message);
    let mut all = all.iter().copied().flat_map(Parameters::iter);
    all.any(|of| of.keyword.eq_ignore_ascii_case(name.as_bytes()) && is_value(of.value))
}

impl Test {
    fn holds(&self, Candidate { message, index }: Candidate<'_>) -> bool {
        match self {
            Self::Contains(finder) => finder.find(index.all().as_bytes()).is_some(),
            Self::In(fields, text) => fields.iter().any(|field| index.field(*field).contains(text)),
            Self::Header { name, value } => message.header(name).is_some_and(|found| contains(&found, value)),
            Self::HasAttachment => index.head.attachments > 0,
            Self::HasInline => index.head.inlines > 0,
            Self::After(at) => message.arrived_at() >= *at,
            Self::Before(at) => message.arrived_at() < *at,
            Self::Larger(octets) => message.record().msg_size as u64 > *octets,
            Self::Smaller(octets) => (message.record().msg_size as u64) < *octets,
            Self::MailFrom(text) => message.reverse_path().is_some_and(|path| contains_path(&path, text)),
            Self::RcptTo(text) => message.forward_paths().iter().any(|path| contains_path(path, text)),
            Self::Parameter { name, value } => is_parameter(message, name, value.as_deref()),
            Self::Inbox(name) => message.is_in(name),
            Self::User(text) => message.auth_user().is_some_and(|user| contains(&user, text)),
            Self::Tls(Tls::Any) => message.tls().is_some(),
            Self::Tls(Tls::None) => message.tls().is_none(),
            Self::Tls(Tls::Version(version)) => {
                message.tls().is_some_and(|tls| tls.version().to_string() == *version)
            }
            Self::Session(number) => message.session_id() == *number,
            Self::Peer(text) => contains(&message.peer_addr().to_string(), text),
            Self::Helo(text) => message.helo_name().is_some_and(|name| contains(&name, text)),
            Self::Protocol(name) => message.protocol().name() == name,
            Self::Id(id) => message.id().to_string() == *id,
        }
    }

    /// The message's value.
    fn found(&self, Candidate { message, index }: Candidate<'_>) -> Cow<'static, str> {
        let Index { head, .. } = index;
        let optional = |what: &str, text: Option<Cow<'_, str>>| match text {
            Some(text) => format!("{what} is {text:?}"),
            None => format!("there is no {}", what.trim_start_matches("the ")),
        };
        let text = match self {
            Self::Contains(_) => {
                return "about the text of the mail, its addresses and the names of its files".into();
            }
            Self::In(fields, _) => {
                let all: Vec<_> =
                    fields.iter().map(|field| index.field(*field)).filter(|text| !text.is_empty()).collect();
                format!("found {:?}", all.join(", "))
            }
            Self::Header { name, .. } => {
                optional(&format!("the field {name}"), message.header(name).map(Cow::from))
            }
            Self::HasAttachment => format!("{} attachments", head.attachments),
            Self::HasInline => format!("{} inline parts", head.inlines),
            Self::After(_) | Self::Before(_) => format!("it came at {}", timestamp(message.arrived_at())),
            Self::Larger(_) | Self::Smaller(_) => format!("it has {} octets", message.record().msg_size),
            Self::MailFrom(_) => optional("the reverse-path", message.reverse_path()),
            Self::RcptTo(_) => format!("the forward-paths are {:?}", message.forward_paths()),
            Self::Parameter { .. } => {
                let all = parameters(message);
                let shown = all.iter().copied().flat_map(Parameters::iter).map(|of| match of.value {
                    Some(value) => [of.keyword, b"=", value].concat(),
                    None => of.keyword.to_vec(),
                });
                let shown: Vec<_> = shown.map(|of| String::from_utf8_lossy(&of).into_owned()).collect();
                format!("the parameters are {shown:?}")
            }
            Self::Inbox(_) => format!("the inboxes are {:?}", message.inboxes()),
            Self::User(_) => optional("the user", message.auth_user()),
            Self::Tls(_) => match message.tls() {
                Some(tls) => format!("the session had TLS {}", tls.version()),
                None => "the session was in clear".to_owned(),
            },
            Self::Session(_) => format!("the session is {}", message.session_id()),
            Self::Peer(_) => format!("the peer is {}", message.peer_addr()),
            Self::Helo(_) => optional("the name of HELO", message.helo_name()),
            Self::Protocol(_) => format!("the protocol is {}", message.protocol()),
            Self::Id(_) => format!("the id is {}", message.id()),
        };
        text.into()
    }
}

/// The empty text matches only the null reverse-path.
fn contains_path(path: &str, lower: &str) -> bool {
    if lower.is_empty() { path.is_empty() } else { contains(path, lower) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_prefix_is_known_by_its_test() {
        for prefix in PREFIXES {
            assert!(!matches!(test(prefix, "?"), Ok(None)), "{prefix}");
        }
    }
}
