//! Built-in rules: go-smtp-mock's lists, the limits and `fail_fast`. The policy's settings determine which of them are
//! active.

use crate::smtp::reply::{Next, ReplyKind, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) enum BuiltIn {
    MaxSessions,
    MaxSessionsPerIp,
    ConnectRate,
    HeloBlacklist,
    MailBlacklist,
    MaxMessages,
    MailRate,
    RcptBlacklist,
    NotRegistered,
    /// Evaluated after the answer: whether a refusal ends the session.
    FailFast,
}

pub(in crate::smtp) const BUILT_INS: &[BuiltIn] = &[
    BuiltIn::MaxSessions,
    BuiltIn::MaxSessionsPerIp,
    BuiltIn::ConnectRate,
    BuiltIn::HeloBlacklist,
    BuiltIn::MailBlacklist,
    BuiltIn::MaxMessages,
    BuiltIn::MailRate,
    BuiltIn::RcptBlacklist,
    BuiltIn::NotRegistered,
    BuiltIn::FailFast,
];

impl BuiltIn {
    /// Most rules of one stage.
    pub(in crate::smtp) const MOST_AT_A_STAGE: usize = 3;

    /// The rules of a stage, in order.
    pub(in crate::smtp) fn at(stage: Stage) -> &'static [Self] {
        match stage {
            Stage::Greeting => &[Self::MaxSessions, Self::MaxSessionsPerIp, Self::ConnectRate],
            // The session already has a place.
            Stage::Xclient => &[Self::MaxSessionsPerIp, Self::ConnectRate],
            Stage::Helo => &[Self::HeloBlacklist],
            Stage::Mail => &[Self::MailBlacklist, Self::MaxMessages, Self::MailRate],
            Stage::Rcpt => &[Self::RcptBlacklist, Self::NotRegistered],
            _ => &[],
        }
    }

    pub(in crate::smtp) fn name(self) -> &'static str {
        match self {
            Self::MaxSessions => "maxSessions",
            Self::MaxSessionsPerIp => "maxSessionsPerIp",
            Self::ConnectRate | Self::MailRate => "rateLimit",
            Self::HeloBlacklist => "blacklistedHeloDomains",
            Self::MailBlacklist => "blacklistedMailfromEmails",
            Self::MaxMessages => "maxMessagesPerSession",
            Self::RcptBlacklist => "blacklistedRcpttoEmails",
            Self::NotRegistered => "notRegisteredEmails",
            Self::FailFast => "failFast",
        }
    }

    pub(in crate::smtp) fn refusal(self) -> (ReplyKind, Next) {
        match self {
            Self::MaxSessions | Self::MaxSessionsPerIp => (ReplyKind::TooManySessions, Next::Close),
            Self::ConnectRate => (ReplyKind::ConnectRateExceeded, Next::Close),
            Self::HeloBlacklist => (ReplyKind::HeloBlacklisted, Next::Continue),
            Self::MailBlacklist => (ReplyKind::MailBlacklisted, Next::Continue),
            Self::MaxMessages => (ReplyKind::TooManyMessages, Next::Close),
            Self::MailRate => (ReplyKind::MailRateExceeded, Next::Continue),
            Self::RcptBlacklist => (ReplyKind::RcptBlacklisted, Next::Continue),
            Self::NotRegistered => (ReplyKind::RcptNotRegistered, Next::Continue),
            Self::FailFast => unreachable!("it ends a session and refuses nothing"),
        }
    }
}
