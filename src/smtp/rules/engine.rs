//! The rules of a server and their evaluation: the first rule that fires at a stage decides.
//!
//! Built-in rules (go-smtp-mock's lists and the limits) are evaluated after the added ones, with the same counts; see
//! [`policy`](crate::smtp::policy).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::glob::Glob;
use super::handshake::{HandshakeEnd, HandshakePlan};
use super::index::{Matched, RecipientIndex, StageIndex};
use super::offer::Offer;
use super::peer::PeerAddress;
use super::rule::{Action, Conditions, Drop, Key, Rule};
use super::state::{Identity, Memory, RuleCounts, RuleTally, State, recall};
use super::stream::{Impairment, Moment, hash};
use crate::smtp::command::{GivenParameters, Parameter, inboxes_of};
use crate::smtp::reply::{Next, Portion, Reply, ReplyKind, ServerTag, Stage};

/// The facts outside the session that rules and replies may need.
#[derive(Debug)]
pub struct Environment<'e> {
    /// The server's part of the ids of records.
    pub server: ServerTag,
    /// Time since the server started.
    pub now: Duration,
    /// The session's number; the first is 1.
    pub session: u64,
    /// The client's address.
    pub peer: PeerAddress,
    /// The inbox of the listener; `None` if it has none.
    pub inbox: Option<&'e str>,
    /// The state of rules; `None`: no state is retained between calls.
    pub state: Option<&'e mut dyn Memory>,
}

impl Environment<'_> {
    /// The environment of the first session, at the start of the server, from an unspecified address.
    pub fn alone() -> Self {
        let peer = PeerAddress::Ip([0, 0, 0, 0].into());
        Self { server: ServerTag::default(), now: Duration::ZERO, session: 1, peer, inbox: None, state: None }
    }
}

/// The facts that rules are evaluated on.
#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Question<'q> {
    pub(in crate::smtp) stage: Stage,
    pub(in crate::smtp) moment: Moment,
    /// Time since the server started.
    pub(in crate::smtp) now: Duration,
    /// The client's address.
    pub(in crate::smtp) peer: PeerAddress,
    /// The session is currently counted for another address.
    pub(in crate::smtp) is_other_peer: bool,
    /// The server's own answer would accept, so far.
    pub(in crate::smtp) is_valid: bool,
    pub(in crate::smtp) is_ehlo: bool,
    pub(in crate::smtp) helo: Option<&'q [u8]>,
    pub(in crate::smtp) from: Option<&'q [u8]>,
    /// The forward-path of RCPT; after RCPT, the last one.
    pub(in crate::smtp) to: Option<&'q [u8]>,
    /// The conditions of rules that accepted recipients match, in ascending order.
    pub(in crate::smtp) matched: &'q [Matched],
    /// The inbox of the listener.
    pub(in crate::smtp) inbox: Option<&'q [u8]>,
    /// Size of the message, at its end.
    pub(in crate::smtp) size: Option<usize>,
    /// The parameters of MAIL or RCPT; after RCPT those of MAIL and of the accepted recipients, in LMTP of the
    /// recipient being answered.
    pub(in crate::smtp) parameters: GivenParameters<'q>,
    /// The user that the session has authenticated as; at `auth` the one that the client claims to be.
    pub(in crate::smtp) user: Option<&'q [u8]>,
    /// The mechanism of that authentication.
    pub(in crate::smtp) mechanism: Option<&'q str>,
    /// The server name in the client's hello, at `tls`.
    pub(in crate::smtp) sni: Option<&'q [u8]>,
    /// Messages of this session accepted so far.
    pub(in crate::smtp) messages: u32,
}

impl Question<'_> {
    /// The reply greets a client, after the connect or a valid XCLIENT.
    fn is_greeting(&self) -> bool {
        self.stage == Stage::Greeting || self.is_valid
    }

    /// Its inboxes, except those of accepted recipients.
    pub(super) fn inboxes(&self) -> impl Iterator<Item = &[u8]> {
        let of_rcpt = self.to.filter(|_| self.stage == Stage::Rcpt);
        self.inbox.into_iter().chain(self.user).chain(of_rcpt.into_iter().flat_map(inboxes_of))
    }

    /// It concerns all accepted recipients.
    pub(super) fn has_recipients(&self) -> bool {
        is_behind_rcpt(self.stage)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::smtp) enum Decision<'p> {
    /// The server's own answer is unchanged.
    #[default]
    Own,
    /// A built-in rule refuses.
    Refuse(ReplyKind, Next),
    /// An added rule decides; without a reply, the server's is sent.
    Ruled { reply: Option<&'p Reply>, portion: Portion, next: Next },
}

/// The added rules.
#[derive(Clone, Debug, Default)]
pub(in crate::smtp) struct RuleBook {
    entries: Vec<Entry>,
    /// Indexed by [`Stage`]; empty without rules.
    at: Vec<StageIndex>,
    recipients: RecipientIndex,
    /// Number of rules with this name, or with this text if they have no name.
    occurrences: BTreeMap<String, u64>,
    identities: BTreeSet<Identity>,
    edition: Edition,
}

/// A hash of a book's rules and their order: equal editions have equal rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::smtp) struct Edition(u64);

#[derive(Clone, Debug)]
struct Entry {
    rule: Rule,
    /// Its position among the rules.
    number: u32,
    /// The reply to EHLO that its `ehlo=` requires.
    offer: Option<Reply>,
    identity: Identity,
    odds: Impairment,
    delay: Impairment,
}

impl Entry {
    /// `None` if the rule has no delay.
    fn draw_delay(&self, question: &Question<'_>) -> Option<Duration> {
        self.rule.delay.as_ref().map(|delay| delay.sample(&mut question.moment.stream(self.delay)))
    }

    /// Evaluates the conditions without counts and chance.
    fn is_met(&self, question: &Question<'_>) -> bool {
        let is_inbox = |glob: &Glob| {
            let of_recipients = || {
                question.has_recipients()
                    && question.matched.binary_search(&Matched::inbox(self.number)).is_ok()
            };
            question.inboxes().any(|name| glob.matches(name)) || of_recipients()
        };
        is_met(&self.rule.when, question) && self.rule.when.inbox.as_ref().is_none_or(is_inbox)
    }

    /// The key of the rule's count; `None`: one count for all, or none.
    fn key(&self, question: &Question<'_>) -> Option<u64> {
        let per = &self.rule.when.per;
        (!per.is_empty() && self.rule.counts()).then(|| key_of(per, question))
    }
}

impl RuleBook {
    /// Adds a rule; `offer` is the reply to EHLO that its `ehlo=` requires.
    pub(in crate::smtp) fn push(&mut self, rule: Rule, offer: Option<Reply>) {
        let index = u32::try_from(self.entries.len()).expect("fewer rules than fit into memory");
        self.at.resize_with(Stage::ALL.len(), StageIndex::default);
        for stage in Stage::ALL.iter().filter(|stage| rule.is_asked_at(**stage)) {
            self.at[*stage as usize].push(*stage, index, &rule.when);
        }
        if let Some(glob) = rule.when.to.as_ref().filter(|_| rule.stage != Some(Stage::Rcpt)) {
            self.recipients.push_path(glob, index);
        }
        if let Some(glob) = rule.when.inbox.as_ref().filter(|_| rule.stage.is_none_or(is_behind_rcpt)) {
            self.recipients.push_inbox(glob, index);
        }
        let text = rule.to_string();
        self.edition = Edition(hash(self.edition.0.to_le_bytes().into_iter().chain(text.bytes())));
        let words = rule.id.as_ref().map_or(text, |id| format!("id={id}"));
        let occurrence = self.occurrences.get(&words).copied().unwrap_or(0);
        let named = |what| Impairment::named(&format!("{what} {words}"), occurrence);
        let (odds, delay) = (named("odds"), named("delay"));
        let identity = Identity::of(&words, occurrence);
        let is_new = self.identities.insert(identity);
        debug_assert!(is_new, "two rules have the same identity: {words:?}, {occurrence}");
        self.occurrences.insert(words, occurrence + 1);
        self.entries.push(Entry { rule, number: index, offer, identity, odds, delay });
    }

    pub(in crate::smtp) fn edition(&self) -> Edition {
        self.edition
    }

    pub(in crate::smtp) fn identities(&self) -> &BTreeSet<Identity> {
        &self.identities
    }

    #[cfg(test)]
    pub(super) fn identities_in_order(&self) -> Vec<Identity> {
        self.entries.iter().map(|entry| entry.identity).collect()
    }

    /// Adds the conditions that an accepted recipient matches to `matched`, which is sorted.
    pub(in crate::smtp) fn match_recipient(&self, recipient: &[u8], matched: &mut Vec<Matched>) {
        if !self.entries.is_empty() {
            self.recipients.match_recipient(recipient, matched);
        }
    }

    /// The rules to evaluate, in order. No other rule can fire.
    fn candidates(&self, question: &Question<'_>) -> impl Iterator<Item = &Entry> {
        let stage = question.stage;
        let is_asked = |rule: u32| self.entries[rule as usize].rule.is_asked_at(stage);
        debug_assert!(
            question.matched.iter().all(|matched| (matched.rule as usize) < self.entries.len()),
            "what recipients match is worked out by the rules that are asked"
        );
        let index = self.at.get(stage as usize);
        let candidates = index.map(|index| index.candidates(question, is_asked));
        candidates.into_iter().flatten().map(|rule| &self.entries[rule as usize])
    }

    pub(in crate::smtp) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.entries.iter().map(|entry| &entry.rule)
    }

    /// A rule changes the offer of EHLO.
    pub(in crate::smtp) fn has_offers(&self) -> bool {
        self.entries.iter().any(|entry| entry.rule.offer.is_some())
    }

    /// Renders the replies to EHLO of rules that change the offer.
    pub(in crate::smtp) fn render_offers(&mut self, reply: impl Fn(Offer) -> Reply) {
        for Entry { rule, offer, .. } in &mut self.entries {
            *offer = rule.offer.map(&reply);
        }
    }

    /// The replies of the rules of a stage.
    pub(in crate::smtp) fn replies_at(&self, stage: Stage) -> impl Iterator<Item = &Reply> {
        let entries = self.entries.iter().filter(move |entry| entry.rule.is_asked_at(stage));
        entries.flat_map(|Entry { rule, offer, .. }| [rule.reply.as_ref(), offer.as_ref()]).flatten()
    }

    pub(in crate::smtp) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(in crate::smtp) fn is_empty_at(&self, stage: Stage) -> bool {
        self.at.get(stage as usize).is_none_or(StageIndex::is_empty)
    }
}

impl RuleBook {
    /// Evaluates the rules in order. Returns the first that fires.
    fn first_firing(
        &self,
        mut memory: Option<&mut (dyn Memory + '_)>,
        question: &Question<'_>,
    ) -> Option<&Entry> {
        self.candidates(question).find(|entry| {
            let is_of_other_stage = entry.rule.stage == Some(Stage::Greeting) && !question.is_greeting();
            if is_of_other_stage || !entry.is_met(question) {
                return false;
            }
            // Before the state is locked: names are hashed.
            let key = entry.key(question);
            recall(memory.as_deref_mut(), |state| fires(entry, key, state, question))
        })
    }

    /// The decision of the rules at a stage with a reply. `None` leaves it to the built-in rules, including the lists.
    pub(in crate::smtp) fn judge(
        &self,
        memory: Option<&mut (dyn Memory + '_)>,
        question: &Question<'_>,
    ) -> (Option<Duration>, Option<Decision<'_>>) {
        let Some(entry) = self.first_firing(memory, question) else { return (None, None) };
        let Rule { reply, ending, .. } = &entry.rule;
        let reply = match &entry.offer {
            Some(offer) if question.is_ehlo && question.is_valid => Some(offer),
            _ => reply.as_ref(),
        };
        let delay = entry.draw_delay(question);
        let (portion, next) = match ending {
            // It only sets the delay.
            None if reply.is_none() => return (delay, None),
            Some(Action::Accept) => return (delay, Some(Decision::Own)),
            // Alerts and garbage are for handshakes only: see `contradiction`.
            None | Some(Action::Alert(_) | Action::Garbage) => (Portion::Whole, Next::Continue),
            Some(Action::Close | Action::DropAfter(Drop::Fin)) => (Portion::Whole, Next::Close),
            Some(Action::DropAfter(Drop::Rst)) => (Portion::Whole, Next::Reset),
            Some(Action::DropBefore(Drop::Fin)) => (Portion::Nothing, Next::Close),
            Some(Action::DropBefore(Drop::Rst)) => (Portion::Nothing, Next::Reset),
            Some(Action::Silent) => (Portion::Nothing, Next::Hold),
            Some(Action::Stall) => (Portion::Whole, Next::Hold),
            Some(Action::Cut(octets)) => (Portion::First(*octets), Next::Close),
        };
        (delay, Some(Decision::Ruled { reply, portion, next }))
    }

    /// The decision of the rules at `tls`.
    pub(in crate::smtp) fn judge_handshake(
        &self,
        memory: Option<&mut (dyn Memory + '_)>,
        question: &Question<'_>,
    ) -> HandshakePlan {
        let Some(entry) = self.first_firing(memory, question) else { return HandshakePlan::default() };
        let &Rule { certificate, version, ending, .. } = &entry.rule;
        let end = match ending {
            Some(Action::Alert(alert)) => Some(HandshakeEnd::Alert(alert)),
            Some(Action::Garbage) => Some(HandshakeEnd::Garbage),
            Some(Action::Silent) => Some(HandshakeEnd::Silent),
            Some(Action::DropBefore(how)) => Some(HandshakeEnd::Drop(how)),
            // The others are for replies only: see `contradiction`.
            _ => None,
        };
        let delay = entry.draw_delay(question).unwrap_or_default();
        HandshakePlan { delay, certificate, version, end, rule: Some(entry.identity) }
    }

    /// The id or text of the rule that decided `plan`; `None` without one, or if the rule was removed.
    pub(in crate::smtp) fn rule_of(&self, plan: &HandshakePlan) -> Option<String> {
        let entry = self.entries.iter().find(|entry| Some(entry.identity) == plan.rule)?;
        Some(entry.rule.name().map_or_else(|| entry.rule.to_string(), str::to_owned))
    }

    /// Each rule as text, in order, with its counts.
    pub(in crate::smtp) fn tallies(&self, totals: &RuleCounts) -> impl Iterator<Item = RuleTally> {
        self.entries.iter().map(|Entry { rule, identity, .. }| RuleTally {
            id: rule.name().map(str::to_owned),
            rule: rule.to_string(),
            tally: totals.of(*identity),
        })
    }
}

/// Counts a rule whose conditions without counts and chance hold, and evaluates the remaining conditions.
fn fires(entry: &Entry, by_key: Option<u64>, state: &mut State, question: &Question<'_>) -> bool {
    let Entry { rule: Rule { when, .. }, identity, .. } = entry;
    let mut counted = match by_key {
        Some(key) => *state.by_key_mut(*identity, key),
        None => *state.total_mut(*identity),
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
        state.by_key_mut(*identity, key).count(fires);
    }
    state.total_mut(*identity).count(fires);
    fires
}

/// Stages that concern all accepted recipients, not one.
fn is_behind_rcpt(stage: Stage) -> bool {
    matches!(stage, Stage::Data | Stage::Bdat | Stage::Message)
}

/// Evaluates the conditions without counts, chance and inboxes.
fn is_met(when: &Conditions, question: &Question<'_>) -> bool {
    let now = match when.period {
        Some(period) => since_start_of_period(question.now, period),
        None => question.now,
    };
    let matches = |glob: &Glob, name: Option<&[u8]>| name.is_some_and(|name| glob.matches(name));
    // After RCPT only rules that a recipient has matched are candidates.
    let is_recipient = |glob: &Glob| question.stage != Stage::Rcpt || matches(glob, question.to);
    let has_parameter = |(name, glob): &(Box<str>, Glob)| {
        let is_it = |parameter: &Parameter<'_>| parameter.is_called(name.as_bytes());
        question.parameters.iter().filter(is_it).any(|found| glob.matches(found.value.unwrap_or_default()))
    };
    when.session.is_none_or(|ordinals| ordinals.contains(question.moment.session))
        && when.after.is_none_or(|after| now >= after)
        && when.until.is_none_or(|until| now < until)
        && when.ip.is_none_or(|network| question.peer.ip().is_some_and(|ip| network.contains(ip)))
        && when.size.is_none_or(|least| question.size.is_some_and(|size| size >= least))
        && when.parameters.iter().all(has_parameter)
        && when.user.as_ref().is_none_or(|glob| matches(glob, question.user))
        && when.mechanism.as_ref().is_none_or(|glob| matches(glob, question.mechanism.map(str::as_bytes)))
        && when.sni.as_ref().is_none_or(|glob| matches(glob, question.sni))
        && when.helo.as_ref().is_none_or(|glob| matches(glob, question.helo))
        && when.from.as_ref().is_none_or(|glob| matches(glob, question.from))
        && when.to.as_ref().is_none_or(is_recipient)
}

fn since_start_of_period(now: Duration, period: Duration) -> Duration {
    let nanoseconds = now.as_nanos() % period.as_nanos().max(1);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn key_of(keys: &[Key], question: &Question<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for key in keys {
        match key {
            Key::Session => question.moment.session.hash(&mut hasher),
            Key::Sender => question.from.map(<[u8]>::to_ascii_lowercase).hash(&mut hasher),
            Key::Recipient => question.to.map(<[u8]>::to_ascii_lowercase).hash(&mut hasher),
            Key::User => question.user.map(<[u8]>::to_ascii_lowercase).hash(&mut hasher),
            // Only the address is hashed, so that chance by address is the same for the same seed.
            Key::Ip => match question.peer {
                PeerAddress::Ip(ip) => ip.hash(&mut hasher),
                PeerAddress::Unix => hasher.write_u8(0),
            },
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
