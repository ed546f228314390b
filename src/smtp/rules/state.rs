//! The state of rules: how often each was reached and fired, in total and by key, and the connected clients.
//!
//! A server has one, which outlives its policies: counts belong to rules by their [`Identity`], not by their position.
//! A caller that runs sessions on several threads lends it to one of them at a time.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use super::bucket::{Bucket, RateLimit};
use super::built_in::{BUILT_INS, BuiltIn};
use super::peer::PeerAddress;
use super::stream::hash;

/// Largest number of keys of one rule. Beyond it the oldest is dropped and counts from zero if it recurs. 65,536 keys
/// take about 3 MiB.
pub(super) const MAX_KEYS: usize = 65_536;
/// Largest number of keys of all rules. Beyond it each rule drops its own oldest key for a new one. About 48 MiB.
const MAX_KEYS_OF_ALL: usize = 16 * MAX_KEYS;

/// Without a random key, so that an empty map is cheap to create: a session without state creates one for each answer.
type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// How often a rule was reached and has fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often its stage was reached and all conditions without counts and chance held.
    pub reached: u64,
    /// How often it fired.
    pub fired: u64,
}

/// A rule and its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTally {
    /// The [`id`](super::Rule::id) of the rule, if set.
    pub id: Option<String>,
    /// The rule as text; for built-in rules the name of their setting.
    pub rule: String,
    /// Its counts.
    pub tally: Tally,
}

impl Tally {
    /// Counts that the rule was reached.
    pub(in crate::smtp) fn count(&mut self, has_fired: bool) {
        self.reached += 1;
        self.fired += u64::from(has_fired);
    }
}

/// Lends a [`State`] for one decision at a time: a state that threads share is locked only for that time, and not while
/// conditions are compared.
pub trait Memory: std::fmt::Debug {
    /// Calls `decide` exactly once.
    fn lend(&mut self, decide: &mut dyn FnMut(&mut State));
}

impl Memory for State {
    fn lend(&mut self, decide: &mut dyn FnMut(&mut State)) {
        decide(self);
    }
}

/// Makes a decision with the state of `memory`, or with an empty state if there is none.
pub(in crate::smtp) fn recall<R>(
    memory: Option<&mut (dyn Memory + '_)>,
    decide: impl FnOnce(&mut State) -> R,
) -> R {
    let Some(memory) = memory else { return decide(&mut State::default()) };
    let (mut decide, mut decision) = (Some(decide), None);
    memory.lend(&mut |state| decision = decide.take().map(|decide| decide(state)));
    decision.expect("a memory calls `decide` once")
}

/// The identity of a rule across policies: a hash of its name or, without one, of its text and its position among rules
/// of the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::smtp) struct Identity(u64);

impl Identity {
    pub(super) fn of(words: &str, occurrence: u64) -> Self {
        Self(hash(words.bytes().chain(occurrence.to_le_bytes())))
    }
}

/// The counts of all rules, for [`Policy::tallies`](crate::smtp::Policy::tallies).
#[derive(Clone, Debug, Default)]
pub struct RuleCounts {
    /// The counts of built-in rules.
    own: [Tally; BUILT_INS.len()],
    added: HashMap<Identity, Tally>,
}

impl RuleCounts {
    /// The counts of an added rule.
    pub(super) fn of(&self, rule: Identity) -> Tally {
        self.added.get(&rule).copied().unwrap_or_default()
    }

    /// The counts of a built-in rule.
    pub(in crate::smtp) fn of_own(&self, rule: BuiltIn) -> Tally {
        self.own[rule as usize]
    }
}

/// The state of all rules of a server.
#[derive(Debug, Default)]
pub struct State {
    totals: RuleCounts,
    /// The counts by key, for rules that have a key.
    by_key: HashMap<Identity, Bounded<Tally>>,
    /// Number of keys of all rules.
    keys: usize,
    rates: Bounded<Bucket>,
    /// The rate limit that last took one of its tokens.
    rated: Option<RateLimit>,
    open_sessions: u64,
    /// Number of sessions of each address; never zero.
    open_by_address: HashMap<PeerAddress, u64>,
}

impl State {
    /// The counts of all rules, for [`Policy::tallies`](crate::smtp::Policy::tallies).
    pub fn totals(&self) -> RuleCounts {
        self.totals.clone()
    }

    /// Drops the counts of all other rules, and the tokens of another rate limit.
    pub(in crate::smtp) fn retain(
        &mut self,
        identities: &BTreeSet<Identity>,
        is_on: impl Fn(BuiltIn) -> bool,
        rate: Option<RateLimit>,
    ) {
        let Self { totals, by_key, keys, rates, rated, open_sessions: _, open_by_address: _ } = self;
        totals.added.retain(|rule, _| identities.contains(rule));
        by_key.retain(|rule, _| identities.contains(rule));
        *keys = by_key.values().map(|counts| counts.order.len()).sum();
        debug_assert!(totals.added.len() <= identities.len(), "each rule has one count");
        if *rated != rate {
            (*rates, *rated) = (Bounded::default(), None);
        }
        for own in BUILT_INS.iter().filter(|own| !is_on(**own)) {
            totals.own[*own as usize] = Tally::default();
        }
    }

    pub(super) fn total_mut(&mut self, rule: Identity) -> &mut Tally {
        self.totals.added.entry(rule).or_default()
    }

    pub(in crate::smtp) fn own_total_mut(&mut self, rule: BuiltIn) -> &mut Tally {
        &mut self.totals.own[rule as usize]
    }

    pub(super) fn by_key_mut(&mut self, rule: Identity, key: u64) -> &mut Tally {
        let counts = self.by_key.entry(rule).or_default();
        let before = counts.order.len();
        let most = if self.keys < MAX_KEYS_OF_ALL { MAX_KEYS } else { before.clamp(1, MAX_KEYS) };
        counts.make_room(key, most);
        self.keys += counts.order.len() - before;
        counts.values.entry(key).or_default()
    }

    pub(in crate::smtp) fn take_token(&mut self, key: u64, now: Duration, limit: &RateLimit) -> bool {
        self.rated = Some(*limit);
        self.rates.make_room(key, MAX_KEYS);
        self.rates.values.entry(key).or_default().take(now, limit)
    }

    /// Reserves a place for a session whose client is about to connect. Returns false if `limit` places are taken
    /// already. Every reserved place must be [released](Self::give_back_place).
    pub fn take_place(&mut self, limit: u64) -> bool {
        let is_free = self.open_sessions < limit;
        self.open_sessions += u64::from(is_free);
        is_free
    }

    /// Counts the client that has connected to a reserved place.
    pub fn connected(&mut self, peer: PeerAddress) {
        *self.open_by_address.entry(peer).or_default() += 1;
    }

    /// Releases the place of a session that has ended, was refused, or never had a client.
    pub fn give_back_place(&mut self, peer: Option<PeerAddress>) {
        debug_assert!(self.open_sessions > 0, "a place is released once");
        self.open_sessions = self.open_sessions.saturating_sub(1);
        if let Some(peer) = peer {
            self.disconnected(peer);
        }
        debug_assert!(
            self.open_by_address.values().sum::<u64>() <= self.open_sessions,
            "each client that has connected has a place"
        );
    }

    /// Removes the client of a place that will be counted for another; call [`connected`](Self::connected) for that
    /// one.
    pub fn disconnected(&mut self, peer: PeerAddress) {
        if let Some(open) = self.open_by_address.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                self.open_by_address.remove(&peer);
            }
        }
    }

    /// Number of reserved places.
    pub fn open_sessions(&self) -> u64 {
        self.open_sessions
    }

    pub(in crate::smtp) fn open_sessions_of(&self, peer: PeerAddress) -> u64 {
        self.open_by_address.get(&peer).copied().unwrap_or(0)
    }
}

/// Values by key; beyond a bound the oldest is dropped. Keys are hashes of 64 bits: with this number of keys a
/// collision occurs about once in ten billion runs.
#[derive(Debug, Default)]
struct Bounded<T> {
    values: HashMap<u64, T>,
    /// The keys of all values, oldest first.
    order: VecDeque<u64>,
}

impl<T> Bounded<T> {
    /// Adds a key, and drops the oldest one beyond `most`.
    fn make_room(&mut self, key: u64, most: usize) {
        if self.values.contains_key(&key) {
            return;
        }
        if self.order.len() >= most
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
        self.order.push_back(key);
        debug_assert!(self.order.len() <= most.max(1) && self.values.len() < self.order.len(), "{most} keys");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::Policy;

    fn rule(number: u64) -> Identity {
        Identity::of("rule", number)
    }

    #[test]
    fn keys_are_bounded_and_the_oldest_is_dropped_first() {
        let mut state = State::default();
        for key in 0..=MAX_KEYS as u64 {
            state.by_key_mut(rule(0), key).fired += 1;
        }
        assert_eq!(state.by_key[&rule(0)].values.len(), MAX_KEYS);
        assert_eq!(state.by_key[&rule(0)].order.len(), MAX_KEYS);
        assert_eq!(state.by_key_mut(rule(0), MAX_KEYS as u64).fired, 1);
        assert_eq!(state.by_key_mut(rule(0), 0).fired, 0, "key 0 was dropped");
    }

    #[test]
    fn keys_of_all_rules_together_are_bounded_too() {
        let mut state = State::default();
        for number in 0..17 {
            for key in 0..MAX_KEYS as u64 {
                state.by_key_mut(rule(number), key).fired += 1;
            }
        }
        let all = state.by_key.values().map(|counts| counts.values.len());
        assert_eq!(all.sum::<usize>(), MAX_KEYS_OF_ALL + 1);
        assert_eq!(
            state.by_key_mut(rule(16), MAX_KEYS as u64 - 1).fired,
            1,
            "the last rule has a place of its own"
        );
        assert_eq!(state.by_key_mut(rule(0), MAX_KEYS as u64).fired, 0);
        assert_eq!((state.by_key[&rule(0)].values.len(), state.keys), (MAX_KEYS, MAX_KEYS_OF_ALL + 1));
    }

    #[test]
    fn sessions_are_counted_by_address_and_places_are_limited() {
        let (mut state, one, other) =
            (State::default(), PeerAddress::Ip([10, 0, 0, 1].into()), PeerAddress::Unix);
        for peer in [one, one, other] {
            assert!(state.take_place(4));
            state.connected(peer);
        }
        assert_eq!((state.open_sessions(), state.open_sessions_of(one)), (3, 2));
        assert!(state.take_place(4), "for a client that is about to connect");
        assert!(!state.take_place(4));
        state.give_back_place(None);
        state.give_back_place(Some(one));
        state.give_back_place(Some(one));
        assert_eq!((state.open_sessions(), state.open_sessions_of(one)), (1, 0));
        assert_eq!(state.open_by_address.len(), 1);
    }

    #[test]
    fn counts_of_removed_rules_are_dropped_and_the_others_continue() {
        let policy = |rules: &[&str]| {
            let mut policy = Policy::default();
            rules.iter().for_each(|rule| policy.add_rule(rule.parse().expect("a rule")));
            policy
        };
        let mut before = policy(&["rcpt silent", "rcpt id=a times=1 per=ip close", "rcpt silent"]);
        before.fail_fast = true;
        let mut state = State::default();
        for (count, identity) in (1..).zip(before.book().identities_in_order()) {
            state.total_mut(identity).reached = count;
            state.by_key_mut(identity, count).fired = count;
        }
        state.own_total_mut(BuiltIn::FailFast).fired = 7;
        let reached = |state: &State, policy: &Policy| -> Vec<u64> {
            policy.tallies(&state.totals()).into_iter().map(|rule| rule.tally.reached).collect()
        };
        assert_eq!(reached(&state, &before), [1, 2, 3, 0]);
        // Another rule first, the named rule with another text, and only one of the two equal rules.
        let after = policy(&["data close", "rcpt silent", "rcpt id=a reply=\"450 later\""]);
        assert_eq!(reached(&state, &after), [0, 1, 2]);
        after.forget_other_counts(&mut state);
        assert_eq!((state.totals.added.len(), state.by_key.len(), state.keys), (2, 2, 2));
        assert_eq!(reached(&state, &before), [1, 2, 0, 0]);
        assert_eq!(state.totals.of_own(BuiltIn::FailFast), Tally::default());
    }
}
