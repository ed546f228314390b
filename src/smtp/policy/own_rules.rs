//! The server's built-in rules: which are active, and which apply. They are evaluated after the added rules.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::smtp::policy::Policy;
use crate::smtp::policy::lists::{fold_domain, fold_mailbox};
use crate::smtp::reply::Next;
use crate::smtp::rules::{
    BUILT_INS, BuiltIn, Decision, Memory, Question, RatePoint, RateScope, State, recall,
};

/// The outcome of evaluating all rules.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::smtp) struct Ruling<'p> {
    /// Replaces the delay configured for the command.
    pub(in crate::smtp) delay: Option<Duration>,
    pub(in crate::smtp) decision: Decision<'p>,
}

impl Policy {
    /// Evaluates the added rules, then the built-in ones, in order: the first that fires decides. Skipped where
    /// [`Plan`](crate::smtp::policy::plan::Plan) has nothing to evaluate.
    pub(in crate::smtp) fn judge(
        &self,
        mut memory: Option<&mut (dyn Memory + '_)>,
        question: &Question<'_>,
    ) -> Ruling<'_> {
        let (delay, decision) = self.book.judge(memory.as_deref_mut(), question);
        Ruling { delay, decision: decision.unwrap_or_else(|| self.own_decision(memory, question)) }
    }

    fn own_decision(
        &self,
        memory: Option<&mut (dyn Memory + '_)>,
        question: &Question<'_>,
    ) -> Decision<'static> {
        let rules = BuiltIn::at(question.stage);
        if !question.is_valid || !rules.iter().any(|own| own.is_on(self)) {
            return Decision::Own;
        }
        self.ask_own(rules, memory, question)
    }

    /// Not inlined: mostly no built-in rule is active.
    #[inline(never)]
    fn ask_own(
        &self,
        rules: &[BuiltIn],
        memory: Option<&mut (dyn Memory + '_)>,
        question: &Question<'_>,
    ) -> Decision<'static> {
        // Names are compared and hashed before the state is locked, once.
        let mut asked = [None; BuiltIn::MOST_AT_A_STAGE];
        let active = rules.iter().filter(|own| own.is_on(self));
        for (place, &own) in asked.iter_mut().zip(active) {
            *place = Some((own, own.ground(self, question)));
        }
        let refusing = recall(memory, |state| {
            asked.iter().flatten().find(|(own, ground)| {
                let holds = ground.holds(self, state, question);
                state.own_total_mut(*own).count(holds);
                holds
            })
        });
        refusing.map_or(Decision::Own, |&(own, _)| {
            let (kind, next) = own.refusal();
            Decision::Refuse(kind, next)
        })
    }

    /// What follows a refusal that does not itself end the session.
    pub(in crate::smtp) fn after_refusal(&self, memory: Option<&mut (dyn Memory + '_)>) -> Next {
        if !BuiltIn::FailFast.is_on(self) {
            return Next::Continue;
        }
        recall(memory, |state| state.own_total_mut(BuiltIn::FailFast).count(true));
        Next::Close
    }

    /// Removes the counts of rules, lists and limits that this policy does not have. To be called when all sessions use
    /// it.
    pub fn forget_other_counts(&self, state: &mut State) {
        state.retain(self.book.identities(), |own| own.is_on(self), self.limits.rate);
    }

    pub(super) fn own_rules(&self) -> impl Iterator<Item = BuiltIn> {
        BUILT_INS.iter().copied().filter(|own| own.is_on(self))
    }
}

/// The condition of a built-in rule, evaluated as far as possible without the state.
#[derive(Clone, Copy, Debug)]
enum Ground {
    Known(bool),
    /// More sessions are open than this.
    OpenSessions(u64),
    /// One client has more open sessions than this.
    OpenSessionsOfPeer(u64),
    /// The bucket of this key has no token left.
    Tokens(u64),
}

impl Ground {
    fn holds(self, policy: &Policy, state: &mut State, question: &Question<'_>) -> bool {
        match self {
            Self::Known(holds) => holds,
            Self::OpenSessions(limit) => state.open_sessions() > limit,
            Self::OpenSessionsOfPeer(limit) => {
                state.open_sessions_of(question.peer) + u64::from(question.is_other_peer) > limit
            }
            Self::Tokens(key) => {
                policy.limits().rate.is_some_and(|rate| !state.take_token(key, question.now, &rate))
            }
        }
    }
}

impl BuiltIn {
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

    fn ground(self, policy: &Policy, question: &Question<'_>) -> Ground {
        let limits = policy.limits();
        let limit =
            |limit: Option<u64>, ground: fn(u64) -> Ground| limit.map_or(Ground::Known(false), ground);
        let is_among = |name: Option<&[u8]>, list, fold| {
            Ground::Known(name.is_some_and(|name| policy.is_listed(name, list, fold)))
        };
        match self {
            Self::MaxSessions => limit(limits.max_sessions, Ground::OpenSessions),
            Self::MaxSessionsPerIp => limit(limits.max_sessions_per_ip, Ground::OpenSessionsOfPeer),
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
                let limit = limits.max_messages_per_session;
                Ground::Known(limit.is_some_and(|limit| u64::from(question.messages) >= limit))
            }
            Self::ConnectRate | Self::MailRate => limits.rate.map_or(Ground::Known(false), |rate| {
                // Each limit has separate buckets: tokens of another limit have another rate.
                let key = match rate.counts_by() {
                    RateScope::Total => hash_of(&rate),
                    RateScope::Ip => hash_of(&(rate, question.peer)),
                    RateScope::Domain => hash_of(&(rate, domain(question.from.unwrap_or_default()))),
                };
                Ground::Tokens(key)
            }),
            Self::FailFast => Ground::Known(true),
        }
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The part after the last `@`, in lower case.
fn domain(mailbox: &[u8]) -> Vec<u8> {
    let from = memchr::memrchr(b'@', mailbox).map_or(0, |at| at + 1);
    mailbox[from..].to_ascii_lowercase()
}
