//! The rules of a server, and the walk through them: the first that fires at a stage decides.
//!
//! The server's own rules (go-smtp-mock's lists, the limits) come behind those it was told, in the same
//! walk, and count the same way. At a stage without rules the walk is one comparison.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use super::bucket::{RatePoint, RateScope};
use super::rule::{Conditions, Drop, Ending, Key, Rule};
use super::state::{State, Tally};
use super::stream::{Impairment, Moment};
use crate::smtp::policy::Policy;
use crate::smtp::reply::{Reply, ReplyKind};
use crate::smtp::step::{Next, Portion, Stage};

/// Where a session happens: what rules may ask for and the session can't know.
#[derive(Debug)]
pub struct Environment<'e> {
    /// Time since the server started.
    pub now: Duration,
    /// The session's number; the first is 1.
    pub session: u64,
    /// The client's address.
    pub peer: IpAddr,
    /// What the rules remember.
    pub state: &'e mut State,
}

impl<'e> Environment<'e> {
    /// Of a session that nobody knows anything about: the first, at the start, from nowhere.
    pub fn alone(state: &'e mut State) -> Self {
        Self { now: Duration::ZERO, session: 1, peer: IpAddr::from([0, 0, 0, 0]), state }
    }
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Question<'q> {
    pub(in crate::smtp) stage: Stage,
    pub(in crate::smtp) moment: Moment,
    /// The server itself would accept it so far.
    pub(in crate::smtp) is_valid: bool,
    pub(in crate::smtp) helo: Option<&'q [u8]>,
    pub(in crate::smtp) from: Option<&'q [u8]>,
    /// The forward-path in question; behind RCPT the last one.
    pub(in crate::smtp) to: Option<&'q [u8]>,
    /// All that were accepted; empty at RCPT.
    pub(in crate::smtp) recipients: &'q [Box<[u8]>],
    /// Of the message, at its end.
    pub(in crate::smtp) size: Option<usize>,
    /// Messages that this session has delivered.
    pub(in crate::smtp) messages: u32,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::smtp) struct Ruling<'p> {
    /// In place of the delay configured for the command.
    pub(in crate::smtp) delay: Option<Duration>,
    pub(in crate::smtp) decision: Decision<'p>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::smtp) enum Decision<'p> {
    /// The server's own answer stands.
    #[default]
    Own,
    /// A rule of the server's own refuses.
    Refuse(ReplyKind, Next),
    /// A rule says what happens; without a reply it is the server's own answer that it happens to.
    Told { reply: Option<&'p Reply>, portion: Portion, next: Next },
}

/// The rules a server was told.
#[derive(Clone, Debug, Default)]
pub(in crate::smtp) struct RuleBook {
    entries: Vec<Entry>,
    /// The rules of each stage, in order.
    at: [Vec<u32>; Stage::ALL.len()],
}

#[derive(Clone, Debug)]
struct Entry {
    rule: Rule,
    odds: Impairment,
    delay: Impairment,
}

impl RuleBook {
    pub(in crate::smtp) fn push(&mut self, rule: Rule) {
        let index = u32::try_from(self.entries.len()).expect("fewer rules than fit into memory");
        for stage in Stage::ALL.iter().filter(|stage| rule.is_asked_at(**stage)) {
            self.at[*stage as usize].push(index);
        }
        let occurrence = self.entries.iter().filter(|entry| entry.rule == rule).count() as u64;
        let named = |what| Impairment::named(&format!("{what} {rule}"), occurrence);
        let (odds, delay) = (named("odds"), named("delay"));
        self.entries.push(Entry { rule, odds, delay });
    }

    pub(in crate::smtp) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.entries.iter().map(|entry| &entry.rule)
    }

    pub(in crate::smtp) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A rule that every server has; its setting says whether it is on.
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
    /// Asked behind the answer: whether a refusal ends the session.
    FailFast,
}

const BUILT_INS: &[BuiltIn] = &[
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
    fn at(stage: Stage) -> &'static [Self] {
        match stage {
            Stage::Greeting => &[Self::MaxSessions, Self::MaxSessionsPerIp, Self::ConnectRate],
            Stage::Helo => &[Self::HeloBlacklist],
            Stage::Mail => &[Self::MailBlacklist, Self::MaxMessages, Self::MailRate],
            Stage::Rcpt => &[Self::RcptBlacklist, Self::NotRegistered],
            _ => &[],
        }
    }

    fn name(self) -> &'static str {
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

    fn is_on(self, policy: &Policy) -> bool {
        let (lists, limits) = (&policy.lists, &policy.limits);
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

    fn holds(self, policy: &Policy, environment: &mut Environment<'_>, question: &Question<'_>) -> bool {
        let (lists, limits) = (&policy.lists, &policy.limits);
        let Environment { now, peer, state, .. } = environment;
        let is_over = |count: u64, limit: Option<u64>| limit.is_some_and(|limit| count > limit);
        let is_among = |list: &std::collections::HashSet<Vec<u8>>, name: Option<&[u8]>| {
            name.is_some_and(|name| list.contains(name))
        };
        match self {
            Self::MaxSessions => is_over(state.open_sessions(), limits.max_sessions),
            Self::MaxSessionsPerIp => is_over(state.open_sessions_of(*peer), limits.max_sessions_per_ip),
            Self::HeloBlacklist => is_among(&lists.blacklisted_helo_domains, question.helo),
            Self::MailBlacklist => is_among(&lists.blacklisted_mailfrom_emails, question.from),
            Self::RcptBlacklist => is_among(&lists.blacklisted_rcptto_emails, question.to),
            Self::NotRegistered => is_among(&lists.not_registered_emails, question.to),
            Self::MaxMessages => {
                limits.max_messages_per_session.is_some_and(|limit| u64::from(question.messages) >= limit)
            }
            Self::ConnectRate | Self::MailRate => limits.rate.is_some_and(|rate| {
                let key = match rate.counts_by() {
                    RateScope::Total => 0,
                    RateScope::Ip => hash_of(&*peer),
                    RateScope::Domain => hash_of(&domain(question.from.unwrap_or_default())),
                };
                !state.take_token(key, *now, &rate)
            }),
            Self::FailFast => true,
        }
    }

    fn refusal(self) -> (ReplyKind, Next) {
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

/// Whether anything is to be asked at a stage.
pub(in crate::smtp) fn asks_at(policy: &Policy, stage: Stage) -> bool {
    !policy.book.at[stage as usize].is_empty() || BuiltIn::at(stage).iter().any(|own| own.is_on(policy))
}

/// Something is counted or remembered somewhere: the sessions need a common [`State`].
pub(in crate::smtp) fn needs_state(policy: &Policy) -> bool {
    !policy.book.is_empty() || BUILT_INS.iter().any(|own| own.is_on(policy))
}

/// Asks the rules in their order.
pub(in crate::smtp) fn judge<'p>(
    policy: &'p Policy,
    environment: &mut Environment<'_>,
    question: &Question<'_>,
) -> Ruling<'p> {
    let mut delay = None;
    for &index in &policy.book.at[question.stage as usize] {
        let entry = &policy.book.entries[index as usize];
        if !fires(index as usize, entry, environment, question) {
            continue;
        }
        let Rule { delay: own_delay, reply, ending, .. } = &entry.rule;
        delay = own_delay.as_ref().map(|delay| delay.sample(&mut question.moment.stream(entry.delay)));
        let (portion, next) = match ending {
            // Only how late: what is answered is the server's business, its lists included.
            None if reply.is_none() => break,
            Some(Ending::Accept) => return Ruling { delay, decision: Decision::Own },
            None => (Portion::Whole, Next::Continue),
            Some(Ending::Close | Ending::DropAfter(Drop::Fin)) => (Portion::Whole, Next::Close),
            Some(Ending::DropAfter(Drop::Rst)) => (Portion::Whole, Next::Reset),
            Some(Ending::DropBefore(Drop::Fin)) => (Portion::Nothing, Next::Close),
            Some(Ending::DropBefore(Drop::Rst)) => (Portion::Nothing, Next::Reset),
            Some(Ending::Silent) => (Portion::Nothing, Next::Hold),
            Some(Ending::Stall) => (Portion::Whole, Next::Hold),
            Some(Ending::Cut(octets)) => (Portion::First(*octets), Next::Close),
        };
        return Ruling { delay, decision: Decision::Told { reply: reply.as_ref(), portion, next } };
    }
    Ruling { delay, decision: own_decision(policy, environment, question) }
}

fn own_decision<'p>(
    policy: &'p Policy,
    environment: &mut Environment<'_>,
    question: &Question<'_>,
) -> Decision<'p> {
    if !question.is_valid {
        return Decision::Own;
    }
    for &own in BuiltIn::at(question.stage).iter().filter(|own| own.is_on(policy)) {
        let holds = own.holds(policy, environment, question);
        count(environment.state.total_mut(own as usize), holds);
        if holds {
            let (kind, next) = own.refusal();
            return Decision::Refuse(kind, next);
        }
    }
    Decision::Own
}

/// What follows a refusal that does not end the session by itself.
pub(in crate::smtp) fn after_refusal(policy: &Policy, environment: &mut Environment<'_>) -> Next {
    if !BuiltIn::FailFast.is_on(policy) {
        return Next::Continue;
    }
    count(environment.state.total_mut(BuiltIn::FailFast as usize), true);
    Next::Close
}

fn count(tally: &mut Tally, has_fired: bool) {
    tally.reached += 1;
    tally.fired += u64::from(has_fired);
}

/// Asks one rule, and counts.
fn fires(index: usize, entry: &Entry, environment: &mut Environment<'_>, question: &Question<'_>) -> bool {
    let Rule { when, .. } = &entry.rule;
    if !is_met(when, environment, question) {
        return false;
    }
    let index = BUILT_INS.len() + index;
    let by_key =
        (entry.rule.counts() && !when.per.is_empty()).then(|| key_of(&when.per, environment, question));
    let mut counted = match by_key {
        Some(key) => *environment.state.by_key_mut(index, key),
        None => environment.state.total(index),
    };
    counted.reached += 1;
    let is_due = when.nth.is_none_or(|nth| nth.contains(counted.reached))
        && when.every.is_none_or(|every| counted.reached % every == 0)
        && when.times.is_none_or(|times| counted.fired < times);
    let is_drawn = || {
        let share = || rand::RngExt::random::<f64>(&mut question.moment.stream(entry.odds));
        when.odds.is_none_or(|odds| share() < odds.probability())
    };
    let fires = is_due && is_drawn();
    if let Some(key) = by_key {
        count(environment.state.by_key_mut(index, key), fires);
    }
    count(environment.state.total_mut(index), fires);
    fires
}

/// The conditions that neither count nor draw.
fn is_met(when: &Conditions, environment: &Environment<'_>, question: &Question<'_>) -> bool {
    let now = match when.period {
        Some(period) => since_start_of_period(environment.now, period),
        None => environment.now,
    };
    let matches = |glob: &super::Glob, name: Option<&[u8]>| name.is_some_and(|name| glob.matches(name));
    let is_recipient = |glob: &super::Glob| match question.stage {
        Stage::Rcpt => matches(glob, question.to),
        _ => question.recipients.iter().any(|recipient| glob.matches(recipient)),
    };
    when.session.is_none_or(|ordinals| ordinals.contains(environment.session))
        && when.after.is_none_or(|after| now >= after)
        && when.until.is_none_or(|until| now < until)
        && when.ip.is_none_or(|network| network.contains(environment.peer))
        && when.size.is_none_or(|least| question.size.is_some_and(|size| size >= least))
        && when.helo.as_ref().is_none_or(|glob| matches(glob, question.helo))
        && when.from.as_ref().is_none_or(|glob| matches(glob, question.from))
        && when.to.as_ref().is_none_or(is_recipient)
}

fn since_start_of_period(now: Duration, period: Duration) -> Duration {
    let nanoseconds = now.as_nanos() % period.as_nanos().max(1);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn key_of(keys: &[Key], environment: &Environment<'_>, question: &Question<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for key in keys {
        match key {
            Key::Session => environment.session.hash(&mut hasher),
            Key::Sender => question.from.map(<[u8]>::to_ascii_lowercase).hash(&mut hasher),
            Key::Recipient => question.to.map(<[u8]>::to_ascii_lowercase).hash(&mut hasher),
            Key::Ip => environment.peer.hash(&mut hasher),
        }
    }
    hasher.finish()
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

/// Every rule that is on, as text, and its counts: those that were told in their order, then the server's own
/// by the names of their settings.
pub(in crate::smtp) fn tallies(policy: &Policy, state: &State) -> Vec<(String, Tally)> {
    let told = policy.book.rules().enumerate();
    let told = told.map(|(index, rule)| (rule.to_string(), state.total(BUILT_INS.len() + index)));
    let own = BUILT_INS.iter().filter(|own| own.is_on(policy));
    told.chain(own.map(|&own| (own.name().to_owned(), state.total(own as usize)))).collect()
}
