//! What a capture has of a run's messages, against what was sent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most tokens named per list; the counts are of all.
const NAMED_LIMIT: usize = 100;

/// What the comparison found. Tokens are named up to a limit, counts are of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verification {
    /// Messages of this run in the capture, and how many of them are whole.
    pub(crate) captured: u64,
    pub(crate) intact: u64,
    /// Accepted, and not in the capture.
    pub(crate) lost: Named,
    /// In the capture more than once.
    pub(crate) duplicated: Named,
    /// In the capture with other bytes than were sent, or with another envelope.
    pub(crate) altered: Named,
    /// The same by the parts that differ; one message may have several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alterations: Vec<Alteration>,
    /// In the capture though the server had refused them, or they were not sent whole.
    pub(crate) unexpected: Named,
    /// In the capture with the name of this run, and never sent: their sequence number was not used, or their token
    /// is none of a message. Named as they stand in the capture.
    #[serde(default)]
    pub(crate) never_sent: Named,
    /// Sent whole without a reply: captured or not, both are right.
    pub(crate) in_doubt: u64,
    /// Messages in the capture that are not of this run.
    pub(crate) foreign: u64,
    /// Lines of the capture that are no record.
    pub(crate) unreadable_lines: u64,
}

/// Messages whose same part differs from what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alteration {
    pub(crate) part: Part,
    #[serde(flatten)]
    pub(crate) messages: Named,
}

/// Some tokens, and how many there are in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) count: u64,
    /// `run-seq`, in order of discovery.
    pub(crate) tokens: Vec<String>,
}

impl Named {
    pub(crate) fn add(&mut self, run: u32, seq: u64) {
        self.add_as(|| format!("{run:08x}-{seq:012}"));
    }

    pub(crate) fn add_as(&mut self, token: impl FnOnce() -> String) {
        self.count += 1;
        if self.tokens.len() < NAMED_LIMIT {
            self.tokens.push(token());
        }
    }
}

impl Verification {
    /// Whether every message is where it belongs, once and whole.
    pub(crate) fn is_clean(&self) -> bool {
        let wrong = [&self.lost, &self.duplicated, &self.altered, &self.unexpected, &self.never_sent];
        wrong.iter().all(|named| named.count == 0) && self.unreadable_lines == 0
    }

    /// What is not as it should be, in a few words.
    pub(crate) fn summary(&self) -> String {
        let parts: Vec<String> = self.alterations.iter().map(|of| of.part.to_string()).collect();
        let counts = [
            (self.lost.count, "lost".to_owned()),
            (self.duplicated.count, "duplicated".to_owned()),
            (self.altered.count, format!("altered ({})", parts.join(", "))),
            (self.unexpected.count, "unexpected".to_owned()),
            (self.never_sent.count, "with this run's name and never sent".to_owned()),
            (self.unreadable_lines, "lines that are no records".to_owned()),
        ];
        let wrong =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        wrong.collect::<Vec<_>>().join(", ")
    }
}

/// A part of a captured message that can differ from what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Something that no relay adds stands in front of the token's line.
    Front,
    /// The token, or anything else on its line, the line end included.
    TokenLine,
    /// Any byte behind the token's line.
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
