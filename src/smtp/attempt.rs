//! What a session tries to deliver, as hashes: enough to see the same tried again after a 4yz reply. Kept only where
//! such a reply is possible ([`Policy::may_defer`](super::Policy::may_defer)).

use std::hash::{DefaultHasher, Hash, Hasher};

use super::message_id::MessageIdFinder;
use super::step::Stage;

/// Recipients of a transaction that are followed: as many as every server must take (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS: usize = 100;

/// The mail transaction of a session, and what its last command tried.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    sender: u64,
    /// Sender and recipient, of the accepted ones; each once.
    recipients: Vec<u64>,
    message_id: MessageIdFinder,
    /// Empty where the last command could not have been accepted whatever the server is told.
    tried: Vec<u64>,
}

impl Attempt {
    /// The hashes of what was last tried: one for each recipient; for MAIL one in all. Those of different stages
    /// differ.
    pub(super) fn tried(&self) -> &[u64] {
        &self.tried
    }

    pub(super) fn try_mail(&mut self, sender: Option<&[u8]>) {
        self.recipients.clear();
        self.tried.clear();
        if let Some(sender) = sender {
            self.sender = hash(sender);
            self.tried.push(hash((Stage::Mail, self.sender)));
        }
    }

    /// A RCPT, in a transaction or not.
    pub(super) fn try_rcpt(&mut self, recipient: Option<&[u8]>, is_accepted: bool) {
        self.tried.clear();
        let Some(recipient) = recipient else { return };
        let recipient = hash((self.sender, recipient));
        let is_known = self.recipients.contains(&recipient);
        if self.recipients.len() < RECIPIENTS || is_known {
            self.tried.push(hash((Stage::Rcpt, recipient)));
            if is_accepted && !is_known {
                self.recipients.push(recipient);
            }
        }
    }

    pub(super) fn try_data(&mut self, is_in_transaction: bool) {
        self.tried.clear();
        self.message_id = MessageIdFinder::default();
        if is_in_transaction {
            self.tried.extend(self.recipients.iter().map(|recipient| hash((Stage::Data, recipient))));
        }
    }

    /// Message text has come.
    pub(super) fn note_text(&mut self, run: &[u8]) {
        self.message_id.search(run);
    }

    pub(super) fn try_message(&mut self) {
        let id = self.message_id.finish();
        self.tried.clear();
        self.tried.extend(self.recipients.iter().map(|recipient| hash((Stage::Message, recipient, id))));
    }
}

/// The same in all sessions, so that they can be compared. That two of so few are the same by accident happens once in
/// some billion runs.
fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::default();
    of.hash(&mut hasher);
    hasher.finish()
}
