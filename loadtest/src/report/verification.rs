//! The comparison of a capture with the messages of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account::accounting::add as add_count;

/// The most tokens in a list; its count includes all.
const NAMED_LIMIT: usize = 100;

/// The result of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verification {
    /// Messages of this run in the capture, and how many of them are intact.
    pub(crate) captured: u64,
    pub(crate) intact: u64,
    /// Accepted, and not in the capture.
    pub(crate) lost: Named,
    /// In the capture more than once.
    pub(crate) duplicated: Named,
    /// In the capture with other bytes than sent, or another envelope.
    pub(crate) altered: Named,
    /// The same by the part that differs; a message may have several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alterations: Vec<Alteration>,
    /// In the capture although the server refused them, or they were not sent completely.
    pub(crate) unexpected: Named,
    /// In the capture with the id of this run, and never sent: their sequence number was not used, or they have no
    /// valid token. Tokens are as captured.
    #[serde(default)]
    pub(crate) never_sent: Named,
    /// Sent completely and without a reply: they may be in the capture or not.
    pub(crate) in_doubt: u64,
    /// Messages in the capture that are of other parts of this run; those parts compare them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) of_other_parts: u64,
    /// Messages in the capture that are not of this run.
    pub(crate) foreign: u64,
    /// Lines of the capture that are not records.
    pub(crate) unreadable_lines: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Messages in which the same part differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alteration {
    pub(crate) part: Part,
    #[serde(flatten)]
    pub(crate) messages: Named,
}

/// A list of tokens, and their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) count: u64,
    /// `run-seq`, in the order in which they were found.
    pub(crate) tokens: Vec<String>,
}

impl Named {
    pub(crate) fn add(&mut self, run: u32, seq: u64) {
        self.add_as(|| format!("{run:08x}-{seq:012}"));
    }

    fn add_all(&mut self, other: Named) {
        add_count(&mut self.count, other.count);
        let room = NAMED_LIMIT.saturating_sub(self.tokens.len());
        self.tokens.extend(other.tokens.into_iter().take(room));
    }

    pub(crate) fn add_as(&mut self, token: impl FnOnce() -> String) {
        self.count += 1;
        if self.tokens.len() < NAMED_LIMIT {
            self.tokens.push(token());
        }
    }
}

impl Verification {
    /// Adds that of another part of the run, which has read the same captures.
    pub(crate) fn add_part(&mut self, other: Verification) {
        let left = |part: &Verification, of: &Verification| part.of_other_parts.saturating_sub(of.captured);
        self.of_other_parts = left(self, &other).min(left(&other, self));
        add_count(&mut self.captured, other.captured);
        add_count(&mut self.intact, other.intact);
        add_count(&mut self.in_doubt, other.in_doubt);
        self.lost.add_all(other.lost);
        self.duplicated.add_all(other.duplicated);
        self.altered.add_all(other.altered);
        self.unexpected.add_all(other.unexpected);
        for of in other.alterations {
            match self.alterations.iter_mut().find(|mine| mine.part == of.part) {
                Some(mine) => mine.messages.add_all(of.messages),
                None => self.alterations.push(of),
            }
        }
        // A token that can't be read is found by each part.
        let mut never_sent = other.never_sent;
        let before = never_sent.tokens.len();
        never_sent.tokens.retain(|token| !self.never_sent.tokens.contains(token));
        never_sent.count = never_sent.count.saturating_sub((before - never_sent.tokens.len()) as u64);
        self.never_sent.add_all(never_sent);
        self.foreign = self.foreign.max(other.foreign);
        self.unreadable_lines = self.unreadable_lines.max(other.unreadable_lines);
    }

    /// Whether every message is where it belongs, once and intact.
    pub(crate) fn is_clean(&self) -> bool {
        let wrong = [&self.lost, &self.duplicated, &self.altered, &self.unexpected, &self.never_sent];
        wrong.iter().all(|named| named.count == 0) && self.unreadable_lines == 0
    }

    /// The differences, in a few words.
    pub(crate) fn summary(&self) -> String {
        let parts: Vec<String> = self.alterations.iter().map(|of| of.part.to_string()).collect();
        let counts = [
            (self.lost.count, "lost".to_owned()),
            (self.duplicated.count, "duplicated".to_owned()),
            (self.altered.count, format!("altered ({})", parts.join(", "))),
            (self.unexpected.count, "unexpected".to_owned()),
            (self.never_sent.count, "with this run's id and never sent".to_owned()),
            (self.unreadable_lines, "lines that are not records".to_owned()),
        ];
        let wrong =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        wrong.collect::<Vec<_>>().join(", ")
    }
}

/// A part of a captured message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// What is before the token's line, other than trace fields of relays.
    Front,
    /// The token's line, including its line end.
    TokenLine,
    /// What is after the token's line.
    Content,
    ReversePath,
    ForwardPaths,
}

impl Part {
    pub(crate) const ALL: [Part; 5] =
        [Part::Front, Part::TokenLine, Part::Content, Part::ReversePath, Part::ForwardPaths];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Front => "in front",
            Part::TokenLine => "token line",
            Part::Content => "content",
            Part::ReversePath => "reverse-path",
            Part::ForwardPaths => "forward-paths",
        })
    }
}
