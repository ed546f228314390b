//! The attempts of one mail transaction: its recipients, and which of them were deferred with a 4yz reply.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::smtp::{MailKey, RetryKey, Stage};
use crate::time::Timestamp;

/// Most recipients of a transaction that are tracked: as many as every server must accept (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS: usize = 100;

/// Most repeated attempts for a recipient within a transaction that are tracked.
const AGAIN: usize = 100;

/// A reply to MAIL, RCPT, DATA, BDAT or the end of the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) stage: Stage,
    pub(crate) is_accepted: bool,
    /// The code of a reply sent whole.
    pub(crate) code: Option<u16>,
    /// When the command had arrived.
    pub(crate) at: Timestamp,
    /// When the reply is due to leave.
    pub(crate) replied: Timestamp,
}

/// An address of a server, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerKey(u64);

impl ServerKey {
    /// An address without its port: a sender tries the next address, not the next port.
    pub(crate) fn of(address: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A mail transaction since its MAIL.
#[derive(Debug)]
pub(crate) struct Tries {
    /// When MAIL had arrived.
    pub(super) began: Timestamp,
    pub(super) mail: MailKey,
    /// The server's address.
    pub(super) server: ServerKey,
    /// When MAIL was deferred, if it was.
    pub(super) deferred_at: Option<Timestamp>,
    pub(super) recipients: Vec<Recipient>,
    /// The identity of the message: the ENVID of its MAIL, or the Message-ID in its text.
    pub(super) id: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Recipient {
    /// Reverse-path and forward-path.
    pub(super) pair: u64,
    /// Time of the first attempt.
    pub(super) first: Timestamp,
    /// When the last reply about it left, if that was a deferral.
    pub(super) deferred_at: Option<Timestamp>,
    /// It was deferred at least once.
    pub(super) was_deferred: bool,
    /// RCPT was accepted.
    is_accepted: bool,
    /// Its message was accepted, or it was permanently refused.
    pub(super) is_over: bool,
    /// The waits from 4yz replies to the next attempt within this transaction, up to a limit.
    pub(super) again: Vec<Duration>,
}

impl Tries {
    /// MAIL was answered.
    pub(crate) fn begin(mail: MailKey, server: ServerKey, outcome: &Outcome) -> Self {
        let deferred_at = outcome.is_deferral().then_some(outcome.replied);
        Self { began: outcome.at, mail, server, deferred_at, recipients: Vec::new(), id: mail.id }
    }

    /// A later command of the transaction was answered.
    pub(crate) fn note(&mut self, key: RetryKey, outcome: &Outcome) {
        match key {
            RetryKey::Nothing | RetryKey::Mail(_) => {}
            RetryKey::Recipient(pair) => self.note_rcpt(pair, outcome),
            RetryKey::Data => self.note_accepted(outcome, |_| true),
            RetryKey::Message(id) => {
                self.id = self.id.or(id);
                self.note_accepted(outcome, |_| true);
            }
            RetryKey::Delivery(pair, id) => {
                self.id = self.id.or(id);
                self.note_accepted(outcome, |recipient| recipient.pair == pair);
            }
        }
    }

    fn note_rcpt(&mut self, pair: u64, outcome: &Outcome) {
        // RFC 5321 section 4.5.3.1.10: after a 452 the client tries the remaining recipients at once, in another
        // transaction. It is no deferral if others are accepted.
        let is_one_too_many =
            outcome.code == Some(452) && self.recipients.iter().any(|other| other.is_accepted);
        let known = self.recipients.iter().position(|recipient| recipient.pair == pair);
        if is_one_too_many || (known.is_none() && self.recipients.len() >= RECIPIENTS) {
            return;
        }
        let index = known.unwrap_or_else(|| {
            self.recipients.push(Recipient::new(pair, outcome.at));
            self.recipients.len() - 1
        });
        debug_assert!(self.recipients.len() <= RECIPIENTS, "{} recipients", self.recipients.len());
        let recipient = &mut self.recipients[index];
        recipient.note(outcome);
        recipient.is_accepted |= outcome.is_accepted;
        recipient.is_over = outcome.is_refused_for_good() && !recipient.is_accepted;
    }

    pub(crate) fn memory(&self) -> usize {
        let again = self.recipients.iter().map(|recipient| recipient.again.capacity());
        size_of::<Self>()
            + self.recipients.capacity() * size_of::<Recipient>()
            + again.sum::<usize>() * size_of::<Duration>()
    }

    /// A reply to DATA, BDAT or the end of the message, for all accepted recipients, or in LMTP at the end for one.
    fn note_accepted(&mut self, outcome: &Outcome, is_about: impl Fn(&Recipient) -> bool) {
        let is_delivered = outcome.is_accepted && outcome.stage == Stage::Message;
        let accepted = self.recipients.iter_mut().filter(|recipient| recipient.is_accepted);
        for recipient in accepted.filter(|recipient| is_about(recipient)) {
            recipient.note(outcome);
            recipient.is_over = is_delivered || outcome.is_refused_for_good();
        }
    }
}

impl Recipient {
    fn new(pair: u64, first: Timestamp) -> Self {
        let again = Vec::new();
        Self {
            pair,
            first,
            deferred_at: None,
            was_deferred: false,
            is_accepted: false,
            is_over: false,
            again,
        }
    }

    fn note(&mut self, outcome: &Outcome) {
        let deferred_at = outcome.is_deferral().then_some(outcome.replied);
        let before = std::mem::replace(&mut self.deferred_at, deferred_at);
        self.was_deferred |= deferred_at.is_some();
        // An attempt that did not wait for the reply was not caused by it.
        if let Some(before) = before.filter(|before| *before < outcome.at && self.again.len() < AGAIN) {
            self.again.push(outcome.at.since(before));
        }
    }
}

impl Outcome {
    fn is_deferral(&self) -> bool {
        matches!(self.code, Some(400..500))
    }

    fn is_refused_for_good(&self) -> bool {
        matches!(self.code, Some(500..600))
    }
}
