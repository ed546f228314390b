//! The searchable text of a mail, built once.

use std::collections::HashSet;
use std::ops::Range;

use crate::mime::{Mail, Mailbox, PartKind};
use crate::records::Message;

/// The head of a mail, for lists.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "lists of the control plane show it"))]
pub(crate) struct Head {
    pub(crate) from: Vec<Mailbox>,
    pub(crate) to: Vec<Mailbox>,
    pub(crate) cc: Vec<Mailbox>,
    pub(crate) bcc: Vec<Mailbox>,
    pub(crate) reply_to: Vec<Mailbox>,
    pub(crate) subject: Option<String>,
    pub(crate) message_id: Option<String>,
    /// The beginning of its text, on one line.
    pub(crate) snippet: String,
    pub(crate) attachments: usize,
    pub(crate) inlines: usize,
}

/// The head, and all text in lower case.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) head: Head,
    /// The fields one after another, and the text.
    all: Box<str>,
    spans: [Range<usize>; FIELDS],
}

/// A field in the text of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    From,
    To,
    Cc,
    Bcc,
    ReplyTo,
    Subject,
    MessageId,
}

const FIELDS: usize = 7;

/// Most characters of a snippet.
const SNIPPET: usize = 200;

impl Index {
    pub(crate) fn of(message: &Message) -> Self {
        Self::of_mail(message, &Mail::parse(message.body()))
    }

    /// The same for a parsed message.
    pub(crate) fn of_mail(message: &Message, mail: &Mail) -> Self {
        let bcc = blind_copies(message, mail);
        let mut all = String::new();
        let mut put = |text: &str| {
            let start = all.len();
            push_lowercase(&mut all, text);
            let end = all.len();
            all.push('\n');
            start..end
        };
        let spans = [
            put(&listed(&mail.from)),
            put(&listed(&mail.to)),
            put(&listed(&mail.cc)),
            put(&listed(&bcc)),
            put(&listed(&mail.reply_to)),
            put(mail.subject.as_deref().unwrap_or_default()),
            put(mail.message_id.as_deref().unwrap_or_default()),
        ];
        put(&message.reverse_path().unwrap_or_default());
        let html = mail.html_as_text();
        let readable = mail.text.as_deref().or(html.as_deref()).unwrap_or_default();
        let snippet = snippet(readable);
        for text in mail.text.iter().chain(&html) {
            put(text);
        }
        for name in mail.parts.iter().filter_map(|part| part.name.as_deref()) {
            put(name);
        }
        let count = |kind| mail.parts.iter().filter(|part| part.kind == kind).count();
        let (attachments, inlines) = (count(PartKind::Attachment), count(PartKind::Inline));
        let head = Head {
            from: mail.from.clone(),
            to: mail.to.clone(),
            cc: mail.cc.clone(),
            bcc,
            reply_to: mail.reply_to.clone(),
            subject: mail.subject.clone(),
            message_id: mail.message_id.clone(),
            snippet,
            attachments,
            inlines,
        };
        Self { head, all: all.into(), spans }
    }

    /// All text in lower case.
    pub(super) fn all(&self) -> &str {
        &self.all
    }

    /// One field, in lower case.
    pub(super) fn field(&self, field: Field) -> &str {
        &self.all[self.spans[field as usize].clone()]
    }

    /// Approximate bytes in memory.
    #[cfg(feature = "http")]
    pub(crate) fn memory(&self) -> usize {
        // The texts of the head are part of all text. Each address has two more allocations.
        let Head { from, to, cc, bcc, reply_to, .. } = &self.head;
        let addresses: usize = [from, to, cc, bcc, reply_to].into_iter().map(Vec::len).sum();
        let texts = 2 * self.spans[FIELDS - 1].end + self.head.snippet.len() + self.all.len();
        size_of::<Self>() + texts + addresses * (size_of::<Mailbox>() + 32)
    }
}

/// Appends a text in lower case, which may be longer than the original.
fn push_lowercase(to: &mut String, text: &str) {
    to.reserve(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // Mostly all of it: a copy is faster than a table lookup for each character.
        let ascii = rest.bytes().position(|octet| !octet.is_ascii()).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(ascii);
        let start = to.len();
        to.push_str(run);
        to[start..].make_ascii_lowercase();
        let other = behind.find(|c: char| c.is_ascii()).unwrap_or(behind.len());
        to.extend(behind[..other].chars().flat_map(char::to_lowercase));
        rest = &behind[other..];
    }
}

/// Addresses in the field Bcc, and recipients that are in no field: blind copies.
fn blind_copies(message: &Message, mail: &Mail) -> Vec<Mailbox> {
    let fields = [&mail.to, &mail.cc, &mail.bcc];
    let mut named: HashSet<_> =
        fields.into_iter().flatten().map(|of| of.address.to_ascii_lowercase()).collect();
    let paths = message.forward_paths().into_iter();
    let blind = paths.filter(|path| named.insert(path.to_ascii_lowercase()));
    let blind = blind.map(|path| Mailbox { name: None, address: path.into_owned() });
    mail.bcc.iter().cloned().chain(blind).collect()
}

/// `Ann <ann@example.com>`, one per line.
fn listed(mailboxes: &[Mailbox]) -> String {
    let shown = |of: &Mailbox| match &of.name {
        Some(name) => format!("{name} <{}>", of.address),
        None => of.address.clone(),
    };
    mailboxes.iter().map(shown).collect::<Vec<_>>().join("\n")
}

fn snippet(text: &str) -> String {
    let mut snippet = String::new();
    for word in text.split_whitespace() {
        let room = SNIPPET.saturating_sub(snippet.chars().count() + 1);
        if room == 0 {
            break;
        }
        if !snippet.is_empty() {
            snippet.push(' ');
        }
        snippet.extend(word.chars().take(room));
    }
    snippet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lower_case_is_that_of_each_character(text in "[a-zA-Z ÄÖİßΣ€\\r\\n]{0,40}") {
            let mut lower = String::from("X");
            push_lowercase(&mut lower, &text);
            prop_assert_eq!(lower, format!("X{}", text.chars().flat_map(char::to_lowercase).collect::<String>()));
        }
    }
}
