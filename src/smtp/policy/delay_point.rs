//! Where the delays of a policy apply.

use crate::smtp::reply::Stage;

/// Where a configured delay applies: before the greeting or the reply to one command, positive or negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum DelayPoint {
    /// The new connection, and XCLIENT.
    Greeting,
    /// HELO, EHLO and LHLO.
    Helo,
    /// MAIL.
    Mailfrom,
    /// RCPT.
    Rcptto,
    /// DATA (the 354).
    Data,
    /// The end of the message: the final dot, or the last chunk; in LMTP for each recipient.
    Message,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

impl DelayPoint {
    /// All points: the greeting, then the order of go-smtp-mock's flags.
    pub const ALL: &'static [Self] = &[
        Self::Greeting,
        Self::Helo,
        Self::Mailfrom,
        Self::Rcptto,
        Self::Data,
        Self::Message,
        Self::Rset,
        Self::Noop,
        Self::Quit,
    ];

    /// The setter of [`Config`](crate::Config) for its delay.
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::Greeting => "delay(DelayPoint::Greeting)",
            Self::Helo => "delay(DelayPoint::Helo)",
            Self::Mailfrom => "delay(DelayPoint::Mailfrom)",
            Self::Rcptto => "delay(DelayPoint::Rcptto)",
            Self::Data => "delay(DelayPoint::Data)",
            Self::Message => "delay(DelayPoint::Message)",
            Self::Rset => "delay(DelayPoint::Rset)",
            Self::Noop => "delay(DelayPoint::Noop)",
            Self::Quit => "delay(DelayPoint::Quit)",
        }
    }

    /// The point of a stage; `None` for unknown commands, and for those that go-smtp-mock does not have.
    pub(in crate::smtp) fn of(stage: Stage) -> Option<Self> {
        Some(match stage {
            // XCLIENT is answered like a new connection.
            Stage::Greeting | Stage::Xclient => Self::Greeting,
            Stage::Unknown
            | Stage::Vrfy
            | Stage::Help
            | Stage::Bdat
            | Stage::Auth
            | Stage::Starttls
            | Stage::Tls => return None,
            Stage::Helo => Self::Helo,
            Stage::Mail => Self::Mailfrom,
            Stage::Rcpt => Self::Rcptto,
            Stage::Data => Self::Data,
            Stage::Message => Self::Message,
            Stage::Rset => Self::Rset,
            Stage::Noop => Self::Noop,
            Stage::Quit => Self::Quit,
        })
    }
}
