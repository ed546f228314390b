//! The rules that every server has: go-smtp-mock's lists, the limits, `fail_fast`. A setting turns each of
//! them on.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::bucket::{RatePoint, RateScope};
use super::engine::Question;
use super::state::State;
use crate::smtp::policy::Policy;
use crate::smtp::policy::lists::{fold_domain, fold_mailbox};
use crate::smtp::reply::ReplyKind;
use crate::smtp::reply::{Next, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuiltIn {
    MaxSessions,
    MaxSessionsPerIp,
    ConnectRate,
    HeloBlacklist,
    MailBlacklist,
    MaxMessages,
    MailRate,
    RcptBlacklist,
    NotRegistered,
    /// Asked behind the answer: whether a refusal ends the session.
    FailFast,
}

pub(super) const BUILT_INS: &[BuiltIn] = &[
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
    /// Those of a stage, in order.
    pub(super) fn at(stage: Stage) -> &'static [Self] {
        match stage {
            Stage::Greeting => &[Self::MaxSessions, Self::MaxSessionsPerIp, Self::ConnectRate],
            Stage::Helo => &[Self::HeloBlacklist],
            Stage::Mail => &[Self::MailBlacklist, Self::MaxMessages, Self::MailRate],
            Stage::Rcpt => &[Self::RcptBlacklist, Self::NotRegistered],
            _ => &[],
        }
    }

    pub(super) fn name(self) -> &'static str {
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

    pub(super) fn is_on(self, policy: &Policy) -> bool {
        let (lists, limits) = (policy.lists(), policy.limits());
        let is_rate_at = |point| limits.rate.is_some_and(|rate| rate.is_at(point));
        match self {
            Self::MaxSessions => limits.max_sessions.is_some(),
            Self::MaxSessionsPerIp => limits.max_sessions_per_ip.is_some(),
            Self::ConnectRate => is_rate_at(RatePoint::Connect),
            Self::HeloBlacklist => !lists.blacklisted_helo_domains.is_empty(),
            Self::MailBlacklist => !lists.blacklisted_mailfrom_emails.is_empty(),
            Self::MaxMessages => limits.max_messages_per_session.is_some(),
            Self::MailRate => is_rate_at(RatePoint::Mail),
            Self::RcptBlacklist => !lists.blacklisted_rcptto_emails.is_empty(),
            Self::NotRegistered => !lists.not_registered_emails.is_empty(),
            Self::FailFast => policy.fail_fast,
        }
    }

    pub(super) fn holds(self, policy: &Policy, state: &mut State, question: &Question<'_>) -> bool {
        let limits = policy.limits();
        let is_over = |count: u64, limit: Option<u64>| limit.is_some_and(|limit| count > limit);
        let is_among =
            |name: Option<&[u8]>, list, fold| name.is_some_and(|name| policy.is_listed(name, list, fold));
        match self {
            Self::MaxSessions => is_over(state.open_sessions(), limits.max_sessions),
            Self::MaxSessionsPerIp => {
                is_over(state.open_sessions_of(question.peer), limits.max_sessions_per_ip)
            }
            Self::HeloBlacklist => {
                is_among(question.helo, |lists| &lists.blacklisted_helo_domains, fold_domain)
            }
            Self::MailBlacklist => {
                is_among(question.from, |lists| &lists.blacklisted_mailfrom_emails, fold_mailbox)
            }
            Self::RcptBlacklist => {
                is_among(question.to, |lists| &lists.blacklisted_rcptto_emails, fold_mailbox)
            }
            Self::NotRegistered => is_among(question.to, |lists| &lists.not_registered_emails, fold_mailbox),
            Self::MaxMessages => {
                limits.max_messages_per_session.is_some_and(|limit| u64::from(question.messages) >= limit)
            }
            Self::ConnectRate | Self::MailRate => limits.rate.is_some_and(|rate| {
                // Each limit has buckets of its own: what was taken by another one is measured in other tokens.
                let key = match rate.counts_by() {
                    RateScope::Total => hash_of(&rate),
                    RateScope::Ip => hash_of(&(rate, question.peer)),
                    RateScope::Domain => hash_of(&(rate, domain(question.from.unwrap_or_default()))),
                };
                !state.take_token(key, question.now, &rate)
            }),
            Self::FailFast => true,
        }
    }

    pub(super) fn refusal(self) -> (ReplyKind, Next) {
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

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What stands behind the last `@`, in lower case.
fn domain(mailbox: &[u8]) -> Vec<u8> {
    let from = memchr::memrchr(b'@', mailbox).map_or(0, |at| at + 1);
    mailbox[from..].to_ascii_lowercase()
}
