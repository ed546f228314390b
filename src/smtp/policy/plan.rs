//! What each stage has to evaluate, computed once: a stage without rules and delays costs one comparison.

use crate::smtp::policy::{DelayPoint, Policy};
use crate::smtp::reply::{ReplyKind, Stage};
use crate::smtp::rules::BuiltIn;

/// Derived from the settings of a [`Policy`], and recomputed when one changes.
#[derive(Clone, Debug)]
pub(in crate::smtp) struct Plan {
    /// A bit for each stage that has a rule, added or built-in, or a delay.
    eventful: u32,
    /// Whether each of the server's own replies accepts its command, also by its code.
    positive: [bool; ReplyKind::ALL.len()],
    may_defer: bool,
}

const _: () = assert!(Stage::ALL.len() <= u32::BITS as usize);

/// The server's own replies that accept.
const ACCEPTING: &[(ReplyKind, Stage)] = &[
    (ReplyKind::Greeting, Stage::Greeting),
    (ReplyKind::HeloReceived, Stage::Helo),
    (ReplyKind::EhloReceived, Stage::Helo),
    (ReplyKind::LhloReceived, Stage::Helo),
    (ReplyKind::MailReceived, Stage::Mail),
    (ReplyKind::RcptReceived, Stage::Rcpt),
    (ReplyKind::DataReceived, Stage::Data),
    (ReplyKind::MessageReceived, Stage::Message),
    (ReplyKind::RsetReceived, Stage::Rset),
    (ReplyKind::NoopReceived, Stage::Noop),
    (ReplyKind::Quit, Stage::Quit),
    (ReplyKind::VrfyReceived, Stage::Vrfy),
    (ReplyKind::ExpnReceived, Stage::Vrfy),
    (ReplyKind::HelpReceived, Stage::Help),
    (ReplyKind::ChunkReceived, Stage::Bdat),
    (ReplyKind::AuthSucceeded, Stage::Auth),
    (ReplyKind::StarttlsReady, Stage::Starttls),
];

/// Replies to MAIL, RCPT, DATA, BDAT and the end of a message that need no rule. Refusals for lack of space or memory
/// are omitted: they do not depend on the configuration.
const UNPROMPTED: &[ReplyKind] = &[
    ReplyKind::InvalidCommand,
    ReplyKind::InvalidMailSequence,
    ReplyKind::InvalidMailArgument,
    ReplyKind::ParameterNotOffered,
    ReplyKind::InvalidParameter,
    ReplyKind::Utf8NotAllowed,
    ReplyKind::AuthRequired,
    ReplyKind::TlsRequired,
    ReplyKind::MailReceived,
    ReplyKind::InvalidRcptSequence,
    ReplyKind::InvalidRcptArgument,
    ReplyKind::RcptReceived,
    ReplyKind::InvalidDataSequence,
    ReplyKind::DataReceived,
    ReplyKind::InvalidBdatSequence,
    ReplyKind::ChunkAfterRefusal,
    ReplyKind::BdatExpected,
    ReplyKind::ChunkReceived,
    ReplyKind::MessageTooBig,
    ReplyKind::MessageReceived,
];

impl Default for Plan {
    fn default() -> Self {
        Self { eventful: 0, positive: [false; ReplyKind::ALL.len()], may_defer: false }
    }
}

impl Plan {
    pub(in crate::smtp) fn of(policy: &Policy) -> Self {
        let eventful = Stage::ALL.iter().filter(|stage| is_eventful(policy, **stage));
        let mut positive = [false; ReplyKind::ALL.len()];
        for (kind, stage) in ACCEPTING {
            positive[*kind as usize] = policy.reply(*kind).accepts(*stage);
        }
        Self {
            eventful: eventful.fold(0, |bits, stage| bits | bit(*stage)),
            positive,
            may_defer: may_defer(policy),
        }
    }

    /// The server's reply of this kind accepts its command.
    pub(in crate::smtp) fn is_positive(&self, kind: ReplyKind) -> bool {
        self.positive[kind as usize]
    }

    /// The stage has rules or a delay.
    pub(in crate::smtp) fn is_eventful(&self, stage: Stage) -> bool {
        self.eventful & bit(stage) != 0
    }

    /// See [`Policy::may_defer`].
    pub(in crate::smtp) fn may_defer(&self) -> bool {
        self.may_defer
    }
}

fn bit(stage: Stage) -> u32 {
    1 << stage as u16
}

fn is_eventful(policy: &Policy, stage: Stage) -> bool {
    !policy.book.is_empty_at(stage)
        || policy.requires_tls()
        || BuiltIn::at(stage).iter().any(|own| own.is_on(policy))
        || DelayPoint::of(stage).is_some_and(|point| !policy.delay(point).is_none())
}

fn may_defer(policy: &Policy) -> bool {
    let own = [Stage::Mail, Stage::Rcpt].into_iter().flat_map(BuiltIn::at);
    let prompted = own.filter(|own| own.is_on(policy)).map(|own| own.refusal().0);
    let mut kinds = UNPROMPTED.iter().copied().chain(prompted);
    !policy.book.is_empty() || kinds.any(|kind| policy.reply(kind).text().first() == Some(&b'4'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::smtp::policy::lists::Lists;
    use crate::smtp::rules::RateLimit;

    fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
        let mut policy = Policy::default();
        change(&mut policy);
        policy
    }

    fn eventful(policy: &Policy) -> Vec<Stage> {
        Stage::ALL.iter().copied().filter(|stage| policy.plan().is_eventful(*stage)).collect()
    }

    #[test]
    fn stages_are_eventful_where_something_is_set() {
        let rule = |text: &str| policy(|policy| policy.add_rule(text.parse().expect("a rule")));
        assert_eq!(eventful(&Policy::default()), []);
        assert_eq!(eventful(&rule("data reply=\"451 no\"")), [Stage::Data]);
        let all_but_the_last = Stage::ALL.split_last().map(|(_, others)| others);
        assert_eq!(eventful(&rule("any delay=1s")), all_but_the_last.unwrap(), "a handshake has no reply");
        assert_eq!(eventful(&rule("tls silent")), [Stage::Tls]);
        let delayed = policy(|policy| policy.set_delay(DelayPoint::Message, Duration::from_secs(1)));
        assert_eq!(eventful(&delayed), [Stage::Message]);
        let limited = policy(|policy| policy.change_limits(|limits| limits.rate = RateLimit::per_second(1)));
        assert_eq!(eventful(&limited), [Stage::Mail]);
        let listed = |policy: &mut Policy| {
            policy.change_lists(|lists| _ = lists.blacklisted_helo_domains.insert(b"a.example".into()));
        };
        assert_eq!(eventful(&policy(listed)), [Stage::Helo]);
        let relisted = policy(|policy| {
            listed(policy);
            policy.change_lists(|lists| lists.blacklisted_helo_domains.clear());
        });
        assert_eq!(eventful(&relisted), [], "worked out anew");
    }

    #[test]
    fn a_reply_that_defers_must_have_been_configured() {
        let defers = |change: fn(&mut Policy)| policy(change).may_defer();
        assert!(!defers(|_| {}), "the blacklists' 421 is not given: they are empty");
        assert!(!defers(|policy| policy.set_reply(ReplyKind::Greeting, "421 later")));
        assert!(!defers(|policy| policy.set_reply(ReplyKind::TooManyRecipients, "452 enough")));
        assert!(!defers(|policy| policy.change_limits(|limits| limits.max_sessions = Some(1))));
        assert!(defers(|policy| policy.set_reply(ReplyKind::MessageReceived, "451 later")));
        assert!(defers(|policy| policy.add_rule("noop delay=1s".parse().expect("a rule"))));
        assert!(defers(|policy| policy.change_limits(|limits| limits.max_messages_per_session = Some(1))));
        assert!(defers(|policy| policy.change_limits(|limits| limits.rate = RateLimit::per_second(1))));
        let refuse_bob = |lists: &mut Lists| {
            _ = lists.not_registered_emails.insert(b"bob@example.com".into());
        };
        let mut listed = policy(|policy| policy.change_lists(refuse_bob));
        assert!(!listed.may_defer(), "550 refuses for good");
        listed.set_reply(ReplyKind::RcptNotRegistered, "450 greylisted");
        assert!(listed.may_defer());
    }
}
