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

#[cfg(test)]
mod tests {
    use crate::smtp::{Policy, Session};

    /// What a session has tried at the end of each line.
    fn tried(policy: &Policy, lines: &str) -> Vec<Vec<u64>> {
        let mut session = Session::new();
        let mut try_line = |line: &str| {
            session.advance(policy, line.as_bytes());
            session.tried().to_vec()
        };
        lines.split_inclusive("\r\n").map(&mut try_line).collect()
    }

    fn deferring() -> Policy {
        let mut policy = Policy::default();
        policy.add_rule("message reply=\"451 later\"".parse().expect("a rule"));
        policy
    }

    const MAIL: &str = "HELO c.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n\
                        RCPT TO:<c@example.com>\r\nDATA\r\nMessage-ID: <1>\r\n\r\n.\r\n";

    #[test]
    fn each_stage_tries_something_of_its_own_and_the_same_again() {
        let policy = deferring();
        let counts: Vec<usize> = tried(&policy, MAIL).iter().map(Vec::len).collect();
        assert_eq!(counts, [0, 1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(tried(&policy, MAIL), tried(&policy, MAIL));
        let mut all = tried(&policy, MAIL).concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1 + 2 + 2 + 2);
    }

    #[test]
    fn nothing_is_kept_where_nothing_can_be_put_off() {
        assert!(tried(&Policy::default(), MAIL).concat().is_empty());
    }

    #[test]
    fn what_is_out_of_sequence_is_no_try() {
        let lines = "RCPT TO:<b@example.com>\r\nDATA\r\nMAIL FROM:<a@example.com>\r\n";
        assert!(tried(&deferring(), lines).concat().is_empty());
        let behind = format!("{MAIL}RCPT TO:<b@example.com>\r\nDATA\r\n");
        assert!(tried(&deferring(), &behind)[8..].concat().is_empty());
    }
}
