//! The instructions of a session to its driver: one [`Step`] for each reply. A step is an owned value that the driver
//! can carry out without the session, the policy or the input.

use std::borrow::Cow;
use std::time::Duration;

use crate::smtp::auth::{Check, Mechanism};
use crate::smtp::command::{ClientAttributes, REDACTED, shown_part};
use crate::smtp::receive::{LineScanner, Lines, RetryKey};
use crate::smtp::record::Filing;
use crate::smtp::reply::{Next, Portion, Reply, Stage};

/// A message received to its end, as one reply answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Octets of its text, including those not retained.
    pub size: usize,
    /// Faults of its lines; `None` if they were not inspected. The first messages of a session are inspected, and then
    /// every 16th; in LMTP only the first reply has this.
    pub lines: Option<Lines>,
    /// It was sent in chunks, by BDAT.
    pub is_chunked: bool,
    /// The size that MAIL declared with an offered SIZE (RFC 1870), under Extended SMTP and in LMTP.
    pub declared: Option<u64>,
    /// It has octets beyond US-ASCII, though MAIL had neither BODY nor SMTPUTF8 and 8BITMIME was offered (RFC 6152),
    /// under Extended SMTP and in LMTP. False if its lines were not inspected.
    pub is_undeclared_eight_bit: bool,
    /// In LMTP the index of the recipient being answered, from 0; `None` if one reply is for all.
    pub recipient: Option<u32>,
    /// This reply accepts the message, provided that all of it is sent: the first of several that do.
    pub is_accepted: bool,
}

impl Received {
    /// It is the first reply to the message.
    pub fn is_first(&self) -> bool {
        self.recipient.is_none_or(|recipient| recipient == 0)
    }
}

/// The meaning of a reply in an authentication exchange (RFC 4954).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthStep {
    /// The mechanism; `None` if the client names none that is offered.
    pub mechanism: Option<Mechanism>,
    /// The decision, regardless of the reply's text.
    pub outcome: AuthOutcome,
    /// Challenges of this exchange so far, including this reply if it is one: round trips in addition to that of the
    /// command.
    pub challenges: u32,
    /// The client has sent the secret itself, or an attempt at it, even in a refused command.
    pub(crate) reveals_secret: bool,
    /// A hash of the user and the secret, if sent, to detect repeated attempts.
    pub(crate) attempt: Option<u64>,
}

impl AuthStep {
    /// It answers a response of the exchange, and not the AUTH command.
    pub fn answers_response(&self) -> bool {
        self.challenges > u32::from(self.outcome == AuthOutcome::Challenged)
    }
}

/// The state of an authentication exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthOutcome {
    /// It continues: the reply is a challenge.
    Challenged,
    /// The client has authenticated, if the reply accepts.
    Succeeded,
    /// The credentials are wrong.
    Failed,
    /// The client has cancelled it.
    Cancelled,
    /// The client has authenticated before (RFC 4954 section 4).
    Again,
    /// It did not take place or could not continue: AUTH was out of sequence or malformed, or a response was malformed.
    Refused,
}

/// Whether PIPELINING and STARTTLS are offered: in one octet, as every step has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Neither,
    Pipelining,
    Starttls,
    Both,
}

impl Offered {
    pub(crate) fn of(pipelining: bool, starttls: bool) -> Self {
        match (pipelining, starttls) {
            (false, false) => Self::Neither,
            (true, false) => Self::Pipelining,
            (false, true) => Self::Starttls,
            (true, true) => Self::Both,
        }
    }

    pub(crate) fn pipelining(self) -> bool {
        matches!(self, Self::Pipelining | Self::Both)
    }

    pub(crate) fn starttls(self) -> bool {
        matches!(self, Self::Starttls | Self::Both)
    }
}

/// Extensions used by a command; empty if extensions are not available.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The offer of an accepted EHLO.
    pub(crate) offers: Option<Offered>,
    /// STARTTLS without an argument, where it was offered: TLS begins unless a rule prevents it.
    pub(crate) starttls: bool,
    /// SMTPUTF8 was accepted.
    pub(crate) smtputf8: bool,
    /// RET, ENVID, NOTIFY or ORCPT was accepted.
    pub(crate) dsn: bool,
    /// A parameter was not offered.
    pub(crate) not_offered: bool,
}

/// The result of one line or of the end of a message; in LMTP of one recipient's reply to a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The stage of the reply.
    pub stage: Stage,
    /// The answer.
    pub reply: Reply,
    /// Number of the reply within the session; the greeting's is 1.
    pub number: u32,
    /// The portion of the reply to send.
    pub portion: Portion,
    /// The command or message is accepted, provided that all of the reply is sent; in LMTP the message for this
    /// recipient. False for unknown commands.
    pub accepted: bool,
    /// The delay of the reply; nothing else of this session happens meanwhile.
    pub delay: Duration,
    /// What happens to the connection after the reply.
    pub next: Next,
    /// A mail transaction is open (RFC 5321 section 3.3): MAIL was accepted, and the transaction has neither been
    /// abandoned nor got its last reply.
    pub is_in_transaction: bool,
    /// The message being answered.
    pub message: Option<Received>,
    /// The authentication exchange being answered; `None` at stages other than [`Stage::Auth`].
    pub auth: Option<Box<AuthStep>>,
    /// Identifies retries by the client.
    pub(crate) retry_key: RetryKey,
    pub(crate) usage: Usage,
    /// The effect on the records. They must be filed before the reply is sent, so that a client that has read it, in
    /// LMTP the last reply to a message, can see them.
    pub filing: Filing,
    /// XCLIENT was accepted: this client, and the address in it for the
    /// [environment](crate::smtp::rules::Environment::peer), apply from now on and to the records after that of
    /// [`filing`](Self::filing).
    pub client: Option<Box<ClientAttributes>>,
}

/// Parts of a step that only some stages have.
#[derive(Default)]
pub(super) struct Details {
    pub(super) message: Option<Received>,
    pub(super) auth: Option<Box<AuthStep>>,
    pub(super) retry_key: RetryKey,
    pub(super) usage: Usage,
    pub(super) client: Option<Box<ClientAttributes>>,
}

impl Step {
    /// The octets to send.
    pub fn wire(&self) -> &[u8] {
        self.portion.of(&self.reply)
    }
}

/// The effect of [`Session::advance`](crate::smtp::Session::advance) on the input.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Octets consumed from the start. The rest must be the start of the next input.
    pub consumed: usize,
    /// The consumed command line; `None` for message data. BDAT comes before the octets of its chunk. For a line longer
    /// than [`LineScanner::LIMIT`](crate::smtp::LineScanner::LIMIT) this is the start, with the first octets that are
    /// consumed.
    pub line: Option<CommandLine>,
    /// What the server waits for now. Before the first input this is a command.
    pub expects: Expect,
    /// The step to carry out; `None` if more input or a check is needed.
    pub step: Option<Step>,
    /// A check to run, whose result goes to [`Session::resume`](crate::smtp::Session::resume). No input is consumed
    /// before.
    pub check: Option<Box<Check>>,
}

/// The position of a command line in the input, without secrets: it can be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLine {
    start: u16,
    length: u16,
    /// A secret follows, which must not be logged.
    has_secret: bool,
}

impl CommandLine {
    /// `line` as a part of `input`.
    #[inline]
    pub(in crate::smtp) fn of(line: &[u8], input: &[u8]) -> Self {
        let start = line.as_ptr().addr().wrapping_sub(input.as_ptr().addr());
        debug_assert!(start + line.len() <= LineScanner::AUTH_LIMIT, "a line is short, and at the front");
        Self { start: start as u16, length: line.len() as u16, has_secret: false }
    }

    /// The same for a line that may be AUTH, without a possible secret.
    #[cold]
    pub(in crate::smtp) fn of_any(line: &[u8], input: &[u8]) -> Self {
        shown_part(line).map_or_else(
            || Self::of(line, input),
            |shown| Self { has_secret: true, ..Self::of(shown, input) },
        )
    }

    /// A response in an authentication exchange, none of which may be logged.
    pub(in crate::smtp) fn secret() -> Self {
        Self { start: 0, length: 0, has_secret: true }
    }

    /// The line without white space around it. `input` is the input of [`advance`](crate::smtp::Session::advance), at
    /// least the part that was [consumed](Progress::consumed). `<redacted>` replaces a secret: `AUTH PLAIN <redacted>`.
    pub fn within<'i>(&self, input: &'i [u8]) -> Cow<'i, [u8]> {
        let start = usize::from(self.start);
        let shown = input.get(start..start + usize::from(self.length)).unwrap_or_default();
        match self.has_secret {
            true => [shown, REDACTED].concat().trim_ascii().to_vec().into(),
            false => shown.into(),
        }
    }
}

/// What the server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// A command line.
    Command,
    /// Message data, up to its final dot.
    Data,
    /// Octets of a chunk, whose number is known.
    Chunk,
    /// A command line between the chunks of a message, most likely the next BDAT.
    NextChunk,
    /// Nothing: the next call of [`advance`](crate::smtp::Session::advance) gives another reply to the message (RFC
    /// 2033 section 4.2).
    Nothing,
    /// A response in an authentication exchange, or the result of a [`Check`].
    Response,
}
