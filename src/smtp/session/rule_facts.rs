//! What a session remembers of its dialogue for rules to ask: kept only where there are rules.

use std::fmt;

use crate::smtp::command::octets::Octets;
use crate::smtp::rules::RuleBook;

/// Names and paths of the dialogue so far.
#[derive(Default)]
pub(in crate::smtp) struct Known {
    pub(in crate::smtp) helo: Option<Box<[u8]>>,
    /// Of the last MAIL, accepted or not.
    pub(in crate::smtp) from: Option<Box<[u8]>>,
    /// Of the last RCPT behind it, accepted or not.
    pub(in crate::smtp) to: Option<Box<[u8]>>,
    /// Rules that an accepted recipient behind it matches, in ascending order.
    pub(in crate::smtp) matched: Vec<u32>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { helo, from, to, matched } = self;
        f.debug_struct("Known")
            .field("helo", &helo.as_deref().map(Octets))
            .field("from", &from.as_deref().map(Octets))
            .field("to", &to.as_deref().map(Octets))
            .field("matched", matched)
            .finish()
    }
}

impl Known {
    pub(in crate::smtp) fn note_helo(&mut self, name: Option<&[u8]>) {
        *self = Self { helo: name.map(Into::into), ..Self::default() };
    }

    pub(in crate::smtp) fn note_sender(&mut self, mailbox: Option<&[u8]>) {
        *self = Self { helo: self.helo.take(), from: mailbox.map(Into::into), ..Self::default() };
    }

    pub(in crate::smtp) fn note_recipient(
        &mut self,
        rules: &RuleBook,
        mailbox: Option<&[u8]>,
        is_accepted: bool,
    ) {
        self.to = mailbox.map(Into::into);
        if let Some(mailbox) = mailbox.filter(|_| is_accepted) {
            rules.match_recipient(mailbox, &mut self.matched);
        }
    }

    /// Octets in memory.
    pub(in crate::smtp) fn memory(&self) -> usize {
        let Self { helo, from, to, matched } = self;
        let names = [helo, from, to].into_iter().flatten().map(|name| name.len()).sum::<usize>();
        size_of::<Self>() + names + matched.capacity() * size_of::<u32>()
    }
}
