//! What goes in and out of a session: commands, replies, and what follows from them.

use crate::client::enhanced::Reply;
use crate::client::phase::Phase;

/// What the client sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ehlo,
    /// STARTTLS (RFC 3207).
    Starttls,
    /// The greeting of a session without extensions, where the server refuses EHLO (RFC 5321 section 3.2).
    Helo,
    /// AUTH, and a response to a challenge of its exchange: [`Session::take_line`](super::Session::take_line).
    Auth,
    Response,
    Mail,
    /// RCPT for the recipient with this index.
    Rcpt(u16),
    Data,
    /// MAIL, every RCPT and DATA in one write.
    Group,
    /// MAIL, every RCPT and the first chunk in one write.
    ChunkGroup,
    /// The next chunk of the message.
    Chunk,
    /// The message and its final dot.
    Body,
    /// A lone dot: DATA was accepted although MAIL or every recipient was refused (RFC 2920 section 3.1).
    EmptyBody,
    Rset,
    Quit,
}

/// How the server decided on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused {
        phase: Phase,
        reply: Reply,
    },
    /// The server does not offer what the message needs.
    NotOffered(Need),
}

/// What a message may need of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Starttls,
    Smtputf8,
    /// A mechanism of AUTH that the credentials can complete.
    Mechanism,
}

/// The next step of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait: more replies are due.
    Wait,
    Send(Command),
    /// Begin the TLS handshake, and report its end with [`Session::on_secured`](super::Session::on_secured).
    Secure,
    /// The session is ready for its next message.
    Ready,
    Close,
    /// The server has ended the session with 421.
    Ended,
}

/// What has not left the process yet of the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    Nothing,
    /// The ends of this number of commands, one or more.
    Commands(usize),
    /// The end of the message.
    Message,
    /// All of it: the server's line had arrived before.
    All,
}

/// A reply to a command, or the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) phase: Phase,
    pub(crate) reply: Reply,
    /// Whether the code is one of success in this phase.
    pub(crate) positive: bool,
    /// Whether it decides on a recipient, and MAIL was accepted: a reply to RCPT, or with LMTP a refusal by it, and
    /// the recipient's reply to the message.
    pub(crate) is_of_recipient: bool,
}

/// What follows from a complete reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reaction {
    /// Set when a timed phase has ended.
    pub(crate) answer: Option<Answer>,
    /// Set when the message in flight has ended.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) next: Next,
}

/// Why a reply is an error of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The code does not fit the command, like 250 to DATA.
    OutOfOrder,
    /// What the reply would answer has not left yet, or nothing awaits a reply.
    Early,
}
