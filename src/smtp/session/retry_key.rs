//! What a session tries to deliver, as hashes: enough to see the same tried again after a 4yz reply. Kept only where
//! such a reply is possible ([`Policy::may_defer`](crate::smtp::Policy::may_defer)).

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::smtp::command::Parameters;
use crate::smtp::receive::message_id::MessageIdFinder;

/// What a command or a final dot tries to get accepted. Hashes are the same for the same in all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tried {
    /// Nothing: the command could not have been accepted whatever is configured.
    #[default]
    Nothing,
    /// MAIL.
    Mail(Mail),
    /// RCPT with this pair of reverse-path and forward-path.
    Recipient(u64),
    /// DATA, for the recipients accepted so far.
    Data,
    /// A message for them with this Message-ID; `None` where it has none.
    Message(Option<u64>),
}

/// What MAIL says about its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mail {
    /// The reverse-path.
    pub(crate) sender: u64,
    /// ENVID, which is of one message (RFC 3461 section 4.4).
    pub(crate) id: Option<u64>,
    /// SIZE (RFC 1870): messages of different sizes are different ones.
    pub(crate) size: Option<u64>,
}

impl Mail {
    pub(in crate::smtp) fn new(sender: &[u8], parameters: Parameters<'_>) -> Self {
        let id = parameters.value("ENVID").map(|envid| hash(("ENVID", envid)));
        Self { sender: hash(sender), id, size: parameters.value("SIZE").map(hash) }
    }
}

/// The mail transaction of a session, and what its last command tried.
#[derive(Debug, Default)]
pub(in crate::smtp) struct Attempt {
    sender: u64,
    message_id: MessageIdFinder,
    tried: Tried,
}

impl Attempt {
    pub(in crate::smtp) fn tried(&self) -> Tried {
        self.tried
    }

    /// `None` where it could not have been accepted.
    pub(in crate::smtp) fn try_mail(&mut self, mail: Option<Mail>) {
        self.sender = mail.map_or(0, |mail| mail.sender);
        self.tried = mail.map_or(Tried::Nothing, Tried::Mail);
    }

    /// A RCPT; `None` outside of a transaction.
    pub(in crate::smtp) fn try_rcpt(&mut self, recipient: Option<&[u8]>) {
        let pair = |recipient: &[u8]| Tried::Recipient(hash((self.sender, recipient)));
        self.tried = recipient.map_or(Tried::Nothing, pair);
    }

    pub(in crate::smtp) fn try_data(&mut self, is_in_transaction: bool) {
        self.message_id = MessageIdFinder::default();
        self.tried = if is_in_transaction { Tried::Data } else { Tried::Nothing };
    }

    /// Message text has come.
    pub(in crate::smtp) fn note_text(&mut self, run: &[u8]) {
        self.message_id.search(run);
    }

    pub(in crate::smtp) fn try_message(&mut self) {
        self.tried = Tried::Message(self.message_id.finish());
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
    use super::Tried;
    use crate::smtp::{Policy, Session};

    /// What a session has tried at the end of each line.
    fn tried(policy: &Policy, lines: &str) -> Vec<Tried> {
        let mut session = Session::new();
        let mut try_line = |line: &str| {
            session.advance(policy, line.as_bytes());
            session.tried()
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
    fn each_command_tries_what_it_is_about_and_the_same_again() {
        use Tried::{Data, Mail as Sender, Message, Nothing, Recipient};
        let policy = deferring();
        let all = tried(&policy, MAIL);
        let [Nothing, Sender(_), Recipient(one), Recipient(other), Data, Data, Data, Message(Some(_))] =
            all[..]
        else {
            panic!("{all:?}")
        };
        assert_ne!(one, other);
        assert_eq!(tried(&policy, MAIL), all);
        let last = |text: &str| tried(&policy, text).pop();
        let message = last(MAIL);
        assert_eq!(last(&MAIL.replace("a@example.com", "x@example.com")), message, "the id alone");
        assert_ne!(last(&MAIL.replace("<1>", "<2>")), message);
        for none in ["Subject: hi", "Message-ID:", "Message-ID: \t"] {
            assert_eq!(last(&MAIL.replace("Message-ID: <1>", none)), Some(Message(None)), "{none}");
        }
        assert_ne!(tried(&policy, &MAIL.replace("a@example.com", "x@example.com"))[2], all[2]);
    }

    #[test]
    fn nothing_is_kept_where_nothing_can_be_put_off() {
        assert!(tried(&Policy::default(), MAIL).iter().all(|tried| *tried == Tried::Nothing));
    }

    #[test]
    fn what_is_out_of_sequence_is_no_try() {
        let is_none = |tried: &Tried| *tried == Tried::Nothing;
        let lines = "RCPT TO:<b@example.com>\r\nDATA\r\nMAIL FROM:<a@example.com>\r\n";
        assert!(tried(&deferring(), lines).iter().all(is_none));
        let behind = format!("{MAIL}RCPT TO:<b@example.com>\r\nDATA\r\n");
        assert!(tried(&deferring(), &behind)[8..].iter().all(is_none));
    }
}
