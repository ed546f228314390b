//! Hashes that identify a message retried after a 4yz reply. They are computed only if such a reply is possible
//! ([`Policy::may_defer`](crate::smtp::Policy::may_defer)).

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::smtp::command::Parameters;
use crate::smtp::receive::message_id::MessageIdFinder;

/// What a command or the end of a message asks to be accepted. Equal requests have equal hashes in all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RetryKey {
    /// Nothing: the command could not have been accepted under any configuration.
    #[default]
    Nothing,
    /// MAIL.
    Mail(MailKey),
    /// RCPT with this pair of reverse-path and forward-path.
    Recipient(u64),
    /// DATA, for the recipients accepted so far.
    Data,
    /// A message for the accepted recipients, with this Message-ID; `None` without one.
    Message(Option<u64>),
    /// A message for one recipient, this pair: in LMTP.
    Delivery(u64, Option<u64>),
}

/// The properties of the message in MAIL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MailKey {
    /// The reverse-path.
    pub(crate) sender: u64,
    /// ENVID, which identifies one message (RFC 3461 section 4.4).
    pub(crate) id: Option<u64>,
    /// SIZE (RFC 1870): it distinguishes messages.
    pub(crate) size: Option<u64>,
}

/// Computes the keys of a session's mail transactions.
#[derive(Debug, Default)]
pub(in crate::smtp) struct RetryKeys {
    sender: u64,
    message_id: MessageIdFinder,
}

impl RetryKeys {
    /// The key of MAIL; `sender` is `None` if it could not have been accepted.
    pub(in crate::smtp) fn mail(&mut self, sender: Option<&[u8]>, parameters: Parameters<'_>) -> RetryKey {
        let Some(sender) = sender else {
            self.sender = 0;
            return RetryKey::Nothing;
        };
        self.sender = hash(sender);
        let id = parameters.value("ENVID").map(|envid| hash(("ENVID", envid)));
        RetryKey::Mail(MailKey { sender: self.sender, id, size: parameters.value("SIZE").map(hash) })
    }

    /// The key of RCPT; `recipient` is `None` outside of a transaction.
    pub(in crate::smtp) fn rcpt(&self, recipient: Option<&[u8]>) -> RetryKey {
        recipient.map_or(RetryKey::Nothing, |recipient| RetryKey::Recipient(self.pair(recipient)))
    }

    fn pair(&self, recipient: &[u8]) -> u64 {
        hash((self.sender, recipient))
    }

    /// The key of a message at its end, for one recipient.
    pub(in crate::smtp) fn delivery(&self, recipient: &[u8]) -> RetryKey {
        RetryKey::Delivery(self.pair(recipient), self.message_id.finish())
    }

    pub(in crate::smtp) fn data(&mut self, is_in_transaction: bool) -> RetryKey {
        self.message_id = MessageIdFinder::default();
        if is_in_transaction { RetryKey::Data } else { RetryKey::Nothing }
    }

    /// Takes message text.
    pub(in crate::smtp) fn note_text(&mut self, run: &[u8]) {
        self.message_id.search(run);
    }

    /// The key of a message at its end.
    pub(in crate::smtp) fn message(&self) -> RetryKey {
        RetryKey::Message(self.message_id.finish())
    }
}

/// Equal in all sessions, so that keys can be compared. With this number of keys a collision occurs about once in a
/// billion runs.
fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::default();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::RetryKey;
    use crate::smtp::rules::Environment;
    use crate::smtp::{Policy, Session};

    /// The keys of all steps of a session.
    fn keys(policy: &Policy, lines: &str) -> Vec<RetryKey> {
        let mut session = Session::new();
        let mut key = |line: &str| {
            let progress = session.advance(policy, &mut Environment::alone(), line.as_bytes());
            progress.step.map(|step| step.retry_key)
        };
        lines.split_inclusive("\r\n").filter_map(&mut key).collect()
    }

    fn deferring() -> Policy {
        let mut policy = Policy::default();
        policy.add_rule("message reply=\"451 later\"".parse().expect("a rule"));
        policy
    }

    const MAIL: &str = "HELO c.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n\
                        RCPT TO:<c@example.com>\r\nDATA\r\nMessage-ID: <1>\r\n\r\n.\r\n";

    #[test]
    fn equal_commands_have_equal_keys() {
        use RetryKey::{Data, Mail as Sender, Message, Nothing, Recipient};
        let policy = deferring();
        let all = keys(&policy, MAIL);
        let [Nothing, Sender(_), Recipient(one), Recipient(other), Data, Message(Some(_))] = all[..] else {
            panic!("{all:?}")
        };
        assert_ne!(one, other);
        assert_eq!(keys(&policy, MAIL), all);
        let last = |text: &str| keys(&policy, text).pop();
        let message = last(MAIL);
        assert_eq!(last(&MAIL.replace("a@example.com", "x@example.com")), message, "the id alone");
        assert_ne!(last(&MAIL.replace("<1>", "<2>")), message);
        for none in ["Subject: hi", "Message-ID:", "Message-ID: \t"] {
            assert_eq!(last(&MAIL.replace("Message-ID: <1>", none)), Some(Message(None)), "{none}");
        }
        assert_ne!(keys(&policy, &MAIL.replace("a@example.com", "x@example.com"))[2], all[2]);
    }

    #[test]
    fn there_are_no_keys_where_nothing_can_be_deferred() {
        assert!(keys(&Policy::default(), MAIL).iter().all(|key| *key == RetryKey::Nothing));
    }

    #[test]
    fn commands_out_of_sequence_have_no_key() {
        let is_none = |key: &RetryKey| *key == RetryKey::Nothing;
        let lines = "RCPT TO:<b@example.com>\r\nDATA\r\nMAIL FROM:<a@example.com>\r\n";
        assert!(keys(&deferring(), lines).iter().all(is_none));
        let behind = format!("{MAIL}RCPT TO:<b@example.com>\r\nDATA\r\n");
        let behind = keys(&deferring(), &behind);
        assert!(behind.len() == 8 && behind[6..].iter().all(is_none));
    }
}
