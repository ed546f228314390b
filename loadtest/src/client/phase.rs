//! The phases of an SMTP session, in order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the client is waiting for (the steps of RFC 5321 section 4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The TCP handshake.
    Connect,
    /// The TLS handshake, from the end of the TCP handshake or the reply to STARTTLS. Until that reply has come, what
    /// fails is of this phase too.
    Tls,
    /// The server's greeting after the handshake.
    Banner,
    /// The reply to EHLO.
    Ehlo,
    /// The reply that ends the exchange of AUTH.
    Auth,
    /// The reply to MAIL.
    Mail,
    /// The reply to one RCPT.
    Rcpt,
    /// The reply to DATA.
    Data,
    /// The reply to a chunk that is not the last.
    Bdat,
    /// The reply to the final dot or the last chunk, from the moment when the kernel took its end.
    Dot,
}

impl Phase {
    /// The number of phases.
    pub(crate) const COUNT: usize = 10;

    /// All phases in session order.
    pub(crate) const ALL: [Phase; Phase::COUNT] = [
        Phase::Connect,
        Phase::Tls,
        Phase::Banner,
        Phase::Ehlo,
        Phase::Auth,
        Phase::Mail,
        Phase::Rcpt,
        Phase::Data,
        Phase::Bdat,
        Phase::Dot,
    ];

    /// The name used in flags, gates and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Banner => "banner",
            Phase::Ehlo => "ehlo",
            Phase::Auth => "auth",
            Phase::Mail => "mail",
            Phase::Rcpt => "rcpt",
            Phase::Data => "data",
            Phase::Bdat => "bdat",
            Phase::Dot => "dot",
        }
    }

    /// What the client waits for, as a noun phrase.
    pub(crate) fn awaited(self) -> &'static str {
        match self {
            Phase::Connect => "a connection",
            Phase::Tls => "TLS",
            Phase::Banner => "the greeting",
            Phase::Ehlo => "the reply to EHLO",
            Phase::Auth => "the reply to AUTH",
            Phase::Mail => "the reply to MAIL",
            Phase::Rcpt => "the reply to RCPT",
            Phase::Data => "the reply to DATA",
            Phase::Bdat => "the reply to a chunk",
            Phase::Dot => "the reply to the message",
        }
    }

    /// The position in [`Phase::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Phase, UnknownPhase> {
        Phase::ALL
            .into_iter()
            .find(|phase| phase.name() == text)
            .ok_or_else(|| UnknownPhase { name: text.to_owned() })
    }
}

/// A name that is no phase's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownPhase {
    name: String,
}

impl fmt::Display for UnknownPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Phase::ALL.map(Phase::name).join(", ");
        write!(f, "`{}` is no phase; phases are {names}", self.name)
    }
}

impl std::error::Error for UnknownPhase {}
