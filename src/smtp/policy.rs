//! What a server answers: replies, lists, delays and limits. Immutable while a session runs.

use std::collections::HashSet;
use std::time::Duration;

use super::address::AddressRules;
use super::reply::{Reply, ReplyKind};

/// Largest message by default: 10 MiB, as in go-smtp-mock.
pub(crate) const DEFAULT_MESSAGE_SIZE_LIMIT: usize = 10 * 1024 * 1024;

/// Recipients (RCPT commands, refused ones included) that one mail transaction may have. RFC 5321
/// section 4.5.3.1.8 asks for at least 100; the bound keeps a client from growing a record forever.
pub(crate) const MAX_RECIPIENTS: usize = 10_000;

/// Where a configured delay applies: before the reply to one command, whatever the reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DelayPoint {
    /// HELO and EHLO.
    Helo,
    /// MAIL.
    Mailfrom,
    /// RCPT.
    Rcptto,
    /// DATA (the 354).
    Data,
    /// The final dot.
    Message,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

impl DelayPoint {
    /// All points, in the order of go-smtp-mock's flags.
    pub const ALL: &'static [Self] = &[
        Self::Helo,
        Self::Mailfrom,
        Self::Rcptto,
        Self::Data,
        Self::Message,
        Self::Rset,
        Self::Noop,
        Self::Quit,
    ];
}

/// What makes one [`Record`](super::Record).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordMode {
    /// One record per session, overwritten by the next mail transaction, as go-smtp-mock keeps them.
    #[default]
    Session,
    /// One record per mail transaction: nothing that was accepted is ever erased.
    Message,
}

/// How much of a dialogue is written into the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Only what the protocol itself needs: nobody will read the records.
    Nothing,
    /// Requests and responses, not the message text.
    Envelope,
    /// Everything.
    #[default]
    Message,
}

/// The lists of refused names and addresses; comparison is exact, as in go-smtp-mock.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// HELO/EHLO domains answered with [`ReplyKind::HeloBlacklisted`].
    pub blacklisted_helo_domains: HashSet<Vec<u8>>,
    /// Reverse-paths answered with [`ReplyKind::MailBlacklisted`].
    pub blacklisted_mailfrom_emails: HashSet<Vec<u8>>,
    /// Forward-paths answered with [`ReplyKind::RcptBlacklisted`].
    pub blacklisted_rcptto_emails: HashSet<Vec<u8>>,
    /// Forward-paths answered with [`ReplyKind::RcptNotRegistered`].
    pub not_registered_emails: HashSet<Vec<u8>>,
}

/// Everything a [`Session`](super::Session) decides by.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Indexed by [`ReplyKind`].
    replies: Vec<Reply>,
    /// Indexed by [`DelayPoint`].
    delays: [Duration; DelayPoint::ALL.len()],
    /// Names and addresses to refuse.
    pub lists: Lists,
    /// Close the connection after the first refused command.
    pub fail_fast: bool,
    /// Keep every RCPT of a transaction; without it each RCPT replaces the one before.
    pub multiple_rcptto: bool,
    /// Start a new record at a MAIL that follows a completed message and RSET.
    pub multiple_message_receiving: bool,
    /// Largest message accepted, in octets after the removal of stuffed dots.
    pub message_size_limit: usize,
    /// What counts as an address.
    pub addresses: AddressRules,
    /// What makes one record.
    pub records: RecordMode,
    /// How much of it is written down.
    pub keep: Keep,
}

impl Policy {
    /// The reply of this kind.
    pub fn reply(&self, kind: ReplyKind) -> &Reply {
        &self.replies[kind as usize]
    }

    /// Sets the text of a reply (without the final CRLF).
    pub fn set_reply(&mut self, kind: ReplyKind, text: impl AsRef<[u8]>) {
        self.replies[kind as usize] = Reply::new(text);
    }

    /// How long replies at this point are held back.
    pub fn delay(&self, point: DelayPoint) -> Duration {
        self.delays[point as usize]
    }

    /// Holds back every reply at this point.
    pub fn set_delay(&mut self, point: DelayPoint, delay: Duration) {
        self.delays[point as usize] = delay;
    }

    /// Sets the size limit, and with it the default text of the reply that names it.
    pub fn set_message_size_limit(&mut self, octets: usize) {
        self.message_size_limit = octets;
        let kind = ReplyKind::MessageTooBig;
        self.set_reply(kind, format!("{} {octets} bytes", kind.default_text()));
    }

    /// True when this refusal is worded exactly as the acceptance of a RCPT. go-smtp-mock tells
    /// accepted recipients by the text of the reply, and configurations rely on it.
    pub(super) fn reads_as_accepted_rcpt(&self, kind: ReplyKind) -> bool {
        self.reply(kind) == self.reply(ReplyKind::RcptReceived)
    }
}

impl Default for Policy {
    fn default() -> Self {
        let mut policy = Self {
            replies: ReplyKind::ALL.iter().map(|kind| Reply::new(kind.default_text())).collect(),
            delays: [Duration::ZERO; DelayPoint::ALL.len()],
            lists: Lists::default(),
            fail_fast: false,
            multiple_rcptto: false,
            multiple_message_receiving: false,
            message_size_limit: DEFAULT_MESSAGE_SIZE_LIMIT,
            addresses: AddressRules::default(),
            records: RecordMode::default(),
            keep: Keep::default(),
        };
        policy.set_message_size_limit(DEFAULT_MESSAGE_SIZE_LIMIT);
        policy
    }
}
