//! What a session asks of whoever drives it: one [`Step`] for each line, and what it is about.

use std::time::Duration;

use crate::smtp::policy::DelayPoint;
use crate::smtp::policy::reply::Reply;

/// What a step answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// The new connection.
    Greeting,
    /// A line that is no known command, or is too long.
    Unknown,
    /// HELO or EHLO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
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

impl Stage {
    /// All stages, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::Greeting,
        Self::Unknown,
        Self::Helo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Message,
        Self::Rset,
        Self::Noop,
        Self::Quit,
    ];

    /// Where a delay of its own can be configured.
    pub(in crate::smtp) fn delay_point(self) -> Option<DelayPoint> {
        Some(match self {
            Self::Greeting => DelayPoint::Greeting,
            Self::Unknown => return None,
            Self::Helo => DelayPoint::Helo,
            Self::Mail => DelayPoint::Mailfrom,
            Self::Rcpt => DelayPoint::Rcptto,
            Self::Data => DelayPoint::Data,
            Self::Message => DelayPoint::Message,
            Self::Rset => DelayPoint::Rset,
            Self::Noop => DelayPoint::Noop,
            Self::Quit => DelayPoint::Quit,
        })
    }

    /// Its name in rules, reports and the names of figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greeting => "connect",
            Self::Unknown => "unknown",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Message => "message",
            Self::Rset => "rset",
            Self::Noop => "noop",
            Self::Quit => "quit",
        }
    }
}

/// How much of a reply is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Portion {
    /// All of it.
    #[default]
    Whole,
    /// No octet.
    Nothing,
    /// The first octets, as far as there are so many.
    First(usize),
}

impl Portion {
    /// The same of this reply, which is whole when it has no more octets.
    pub(in crate::smtp) fn within(self, reply: &Reply) -> Self {
        match self {
            Self::First(octets) if octets >= reply.wire().len() => Self::Whole,
            portion => portion,
        }
    }

    /// The octets of this reply that go on the wire.
    pub fn of(self, reply: &Reply) -> &[u8] {
        let wire = reply.wire();
        match self {
            Self::Whole => wire,
            Self::Nothing => &[],
            Self::First(octets) => &wire[..octets.min(wire.len())],
        }
    }
}

/// What becomes of the connection after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The session goes on.
    Continue,
    /// The connection is to be closed once the reply is written.
    Close,
    /// It is to be reset once the reply is written.
    Reset,
    /// It stays open, and nothing more happens on it.
    Hold,
}

impl Next {
    /// The connection is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Close | Self::Reset)
    }
}

/// What a step means for whoever keeps the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    /// Nothing.
    Unchanged,
    /// [`Session::record`](crate::smtp::Session::record) holds a message accepted just now: it is to be seen before the reply is.
    Accepted,
    /// [`Session::record`](crate::smtp::Session::record) was seen before and has changed.
    Changed,
    /// [`Session::take_finished`](crate::smtp::Session::take_finished) has a record that is complete and will not change.
    Finished,
}

/// One reply and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'p> {
    /// What is answered.
    pub stage: Stage,
    /// The answer.
    pub reply: &'p Reply,
    /// How much of it is sent.
    pub portion: Portion,
    /// The command, or the message, is accepted, provided that all of the reply is sent. Unknown lines are neither;
    /// they count as refused.
    pub accepted: bool,
    /// How long to hold it back; nothing else of this session happens meanwhile.
    pub delay: Duration,
    /// Whether the connection goes on.
    pub next: Next,
    /// What it means for the records.
    pub filing: Filing,
}

/// What [`Session::advance`](crate::smtp::Session::advance) did with the input.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// Octets used up, from the front. The rest must stand at the front of the next input.
    pub consumed: usize,
    /// What is to be done; `None` when more input is needed.
    pub step: Option<Step<'p>>,
}

/// What the server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A command line.
    Command,
    /// Message data, up to its final dot.
    Data,
}
