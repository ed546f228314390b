//! The instructions of a session to its driver: one [`Step`] for each reply. A step is an owned value, which the driver can
//! carry out without the session, the policy or the input.

use std::borrow::Cow;
use std::time::Duration;

use crate::smtp::auth::{Check, Mechanism};
use crate::smtp::command::{ClientAttributes, REDACTED, shown_part};
use crate::smtp::receive::{LineScanner, Lines, RetryKey};
use crate::smtp::record::Filing;
use crate::smtp::reply::{Next, Portion, Reply, Stage};

/// A message that was received to its end, as one reply answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Octets of its text, retained or not.
    pub size: usize,
    /// What was seen in its lines; `None` where they were not looked at. They are in the first message of a session, and
    /// then in every 16th; in LMTP with the first reply to it.
    pub lines: Option<Lines>,
    /// It came in chunks, by BDAT.
    pub is_chunked: bool,
    /// The size that MAIL declared by an offered SIZE (RFC 1870), under Extended SMTP and in LMTP.
    pub declared: Option<u64>,
    /// It has octets beyond US-ASCII, though MAIL had neither BODY nor SMTPUTF8 and 8BITMIME was offered (RFC 6152), under
    /// Extended SMTP and in LMTP. Of a message whose lines were not looked at it is false.
    pub is_undeclared_eight_bit: bool,
    /// In LMTP the recipient that is answered, from 0; `None` where one reply is for all of them.
    pub recipient: Option<u32>,
    /// This reply accepts the message, provided that all of it is sent: of several that do so the first.
    pub is_accepted: bool,
}

impl Received {
    /// No reply to it comes before this one.
    pub fn is_first(&self) -> bool {
        self.recipient.is_none_or(|recipient| recipient == 0)
    }
}

/// What a reply means in an authentication exchange (RFC 4954).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthStep {
    /// The mechanism; `None` where the client names none that is offered.
    pub mechanism: Option<Mechanism>,
    /// What was decided, whatever the reply says.
    pub outcome: AuthOutcome,
    /// Challenges of this exchange so far, this reply included if it is one: round trips beside that of the command.
    pub challenges: u32,
    /// The client has sent the secret itself, or what it took for it, also in a command that was refused.
    pub(crate) reveals_secret: bool,
    /// A hash of the user and the secret, where the client has sent it. It finds one that is tried again.
    pub(crate) attempt: Option<u64>,
}

impl AuthStep {
    /// It answers a response of the exchange, and not the AUTH command.
    pub fn answers_response(&self) -> bool {
        self.challenges > u32::from(self.outcome == AuthOutcome::Challenged)
    }
}

/// What is decided about an authentication exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthOutcome {
    /// It goes on: the reply is a challenge.
    Challenged,
    /// The client has authenticated, if the reply accepts that.
    Succeeded,
    /// The credentials are wrong.
    Failed,
    /// The client has cancelled it.
    Cancelled,
    /// The client has authenticated before (RFC 4954 section 4).
    Again,
    /// It did not take place, or could not go on: AUTH was out of sequence or malformed, or a response was.
    Refused,
}

/// What of PIPELINING and STARTTLS is offered: in one octet, as each step has it.
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

/// What a command shows of the use of extensions; nothing where extensions are not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// EHLO was accepted, and offered this.
    pub(crate) offers: Option<Offered>,
    /// STARTTLS came without an argument where it was offered: TLS begins unless a rule prevents it.
    pub(crate) starttls: bool,
    /// SMTPUTF8 was accepted.
    pub(crate) smtputf8: bool,
    /// RET, ENVID, NOTIFY or ORCPT was accepted.
    pub(crate) dsn: bool,
    /// A parameter was not offered.
    pub(crate) not_offered: bool,
}

/// The result of one line or of the end of a message; in LMTP, where that has a reply for each recipient, of one of these.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The stage that is answered.
    pub stage: Stage,
    /// The answer.
    pub reply: Reply,
    /// Number of the reply within the session; the greeting's is 1.
    pub number: u32,
    /// How much of the reply is sent.
    pub portion: Portion,
    /// The command, or the message, is accepted, provided that all of the reply is sent; in LMTP the message for this
    /// recipient. Unknown lines are neither accepted nor refused; they count as refused.
    pub accepted: bool,
    /// How long to hold the reply back; nothing else of this session happens meanwhile.
    pub delay: Duration,
    /// Whether the connection goes on.
    pub next: Next,
    /// A mail transaction is open now (RFC 5321 section 3.3): MAIL was accepted, and neither was its message answered, to
    /// the last reply, nor the transaction given up.
    pub is_in_transaction: bool,
    /// The message that is answered.
    pub message: Option<Received>,
    /// Of the authentication exchange that is answered; `None` at other stages than [`Stage::Auth`].
    pub auth: Option<Box<AuthStep>>,
    /// Identifies a retry by the client.
    pub(crate) retry_key: RetryKey,
    /// The use of extensions.
    pub(crate) usage: Usage,
    /// The effect on the records. Records are filed before the reply is sent, so that a client that has read it can see
    /// them; in LMTP a client that has read the last reply to a message.
    pub filing: Filing,
    /// XCLIENT was accepted: from now on, and for the records behind that of [`filing`](Self::filing), this is the client,
    /// and the address in it that of the [environment](crate::smtp::rules::Environment::peer).
    pub client: Option<Box<ClientAttributes>>,
}

/// What only the steps of some stages have.
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

/// What [`Session::advance`](crate::smtp::Session::advance) did with the input.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Octets used up, from the front. The rest must be at the front of the next input.
    pub consumed: usize,
    /// The command line among them; `None` for message data. That of BDAT is at the front, before octets of the chunk. Of a line
    /// that is longer than [`LineScanner::LIMIT`](crate::smtp::LineScanner::LIMIT) it is the front, with the first octets that
    /// are used up.
    pub line: Option<CommandLine>,
    /// What the server waits for from now on. Before the first input it is a command.
    pub expects: Expect,
    /// The step to carry out; `None` if more input is needed, or a check.
    pub step: Option<Step>,
    /// A comparison to run, whose result is for [`Session::resume`](crate::smtp::Session::resume). No input is used before.
    pub check: Option<Box<Check>>,
}

/// Where a command line is in the input, as far as a log may show it: the session decides that, as it knows the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLine {
    start: u16,
    length: u16,
    /// More stands behind it, which no log may show.
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

    /// The same for a line that may be AUTH: without what may be a secret.
    #[cold]
    pub(in crate::smtp) fn of_any(line: &[u8], input: &[u8]) -> Self {
        shown_part(line).map_or_else(
            || Self::of(line, input),
            |shown| Self { has_secret: true, ..Self::of(shown, input) },
        )
    }

    /// A response in an authentication exchange, of which nothing may be shown.
    pub(in crate::smtp) fn secret() -> Self {
        Self { start: 0, length: 0, has_secret: true }
    }

    /// The line without white space around it, where `input` is what [`advance`](crate::smtp::Session::advance) was given,
    /// or as much of it as was [consumed](Progress::consumed). `<redacted>` stands for a secret: `AUTH PLAIN <redacted>`.
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
    /// Octets of a chunk, of which the number is known.
    Chunk,
    /// A command line in the middle of a message that comes in chunks, most likely that of the next chunk.
    NextChunk,
    /// Nothing: another reply to the message follows (RFC 2033 section 4.2), with the next call of
    /// [`advance`](crate::smtp::Session::advance).
    Nothing,
    /// A response in an authentication exchange, or the result of a [`Check`].
    Response,
}
