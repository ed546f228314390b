//! Stages of a session, the portion of a reply that is sent, and what follows it.

use crate::smtp::reply::Reply;

/// The event that a step answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Stage {
    /// The new connection.
    Greeting,
    /// An unknown command, or a line that is too long.
    Unknown,
    /// HELO or EHLO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The end of a message: the final dot, or the last chunk.
    Message,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY and EXPN, under Extended SMTP and in LMTP.
    Vrfy,
    /// HELP, under Extended SMTP and in LMTP.
    Help,
    /// BDAT, except the last chunk of a message, which belongs to [`Message`](Self::Message).
    Bdat,
    /// XCLIENT, under Extended SMTP and in LMTP, if peers are trusted.
    Xclient,
    /// AUTH, where it is offered. Its replies are all those of the exchange: challenges, and the final one.
    Auth,
    /// STARTTLS, where TLS can begin.
    Starttls,
    /// The handshake of TLS, after STARTTLS or from the first octet: the client's hello. It has no reply.
    Tls,
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
        Self::Vrfy,
        Self::Help,
        Self::Bdat,
        Self::Xclient,
        Self::Auth,
        Self::Starttls,
        Self::Tls,
    ];

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
            Self::Vrfy => "vrfy",
            Self::Help => "help",
            Self::Bdat => "bdat",
            Self::Xclient => "xclient",
            Self::Auth => "auth",
            Self::Starttls => "starttls",
            Self::Tls => "tls",
        }
    }
}

/// The portion of a reply that is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Portion {
    /// All of it.
    #[default]
    Whole,
    /// No octet.
    Nothing,
    /// The first octets, at most so many.
    First(usize),
}

impl Portion {
    /// The same portion of this reply: whole if the reply has no more octets.
    pub(in crate::smtp) fn within(self, reply: &Reply) -> Self {
        match self {
            Self::First(octets) if octets >= reply.wire().len() => Self::Whole,
            portion => portion,
        }
    }

    /// The octets of this reply that are sent.
    pub fn of(self, reply: &Reply) -> &[u8] {
        let wire = reply.wire();
        match self {
            Self::Whole => wire,
            Self::Nothing => &[],
            Self::First(octets) => &wire[..octets.min(wire.len())],
        }
    }
}

/// What happens to the connection after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// The session continues.
    Continue,
    /// TLS begins once the reply is written, and the session continues within it (RFC 3207 section 4.2). Input after
    /// the command is discarded: it is in clear. The session has forgotten the client's earlier commands; when the
    /// handshake is done, [`Session::set_encrypted`](crate::smtp::Session::set_encrypted) is called.
    StartTls,
    /// The connection is closed once the reply is written.
    Close,
    /// The connection is reset once the reply is written.
    Reset,
    /// The connection stays open, but nothing more happens on it.
    Hold,
}

impl Next {
    /// The session has ended.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Close | Self::Reset)
    }
}
