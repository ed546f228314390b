//! What a connection is served by, and what it shares with others: lent to it for each turn, on its shard's thread.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::counters::Counters;
use crate::config::{OverLimit, Settings};
use crate::measure::Retries;
use crate::process::lock;
use crate::records::Records;
use crate::records::budget::Budget;
use crate::smtp::Policy;
use crate::smtp::rules::{ByteRate, Memory, PeerAddress, State};

/// How long the last reply may take to reach a client that is still sending.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How long such a client may pause when the time of a stop is up.
const STOP_LINGER: Duration = Duration::from_millis(250);

/// How long a rule may hold a connection: longer than any client waits (RFC 5321 section 4.5.3.2 asks for 10
/// minutes at most), and not forever.
pub(super) const HOLD_LIMIT: Duration = Duration::from_secs(3600);

/// What connections are served by. It never changes: a shard is given another one, between two turns, and each session
/// is served by that from its next line on.
#[derive(Debug)]
pub(crate) struct Service {
    settings: Settings,
    /// A reply to EHLO offers PIPELINING, or did before.
    offers_pipelining: bool,
}

impl Service {
    /// By these settings, which were validated; in place of another service, if there was one.
    pub(crate) fn new(mut settings: Settings, before: Option<&Self>) -> Self {
        let mut offers_pipelining = settings.policy.may_offer("PIPELINING");
        if let Some(before) = before {
            settings.policy = settings.policy.of_the_server_of(before.policy()).succeeding(before.policy());
            offers_pipelining |= before.offers_pipelining;
        }
        Self { settings, offers_pipelining }
    }

    /// The same for one shard: its sessions share no reply with those of other shards.
    pub(crate) fn of_shard(&self) -> Arc<Self> {
        let Self { settings, offers_pipelining } = self;
        Arc::new(Self { settings: settings.clone(), offers_pipelining: *offers_pipelining })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.settings.policy
    }

    pub(crate) fn offers_pipelining(&self) -> bool {
        self.offers_pipelining
    }

    /// Sessions are counted.
    fn counts_sessions(&self) -> bool {
        let limits = self.policy().limits();
        limits.max_sessions.is_some() || limits.max_sessions_per_ip.is_some()
    }

    /// Connections beyond so many sessions stay unaccepted.
    fn backlog_beyond(&self) -> Option<u64> {
        let waits = self.settings.over_limit == OverLimit::Backlog;
        self.policy().limits().max_sessions.filter(|_| waits)
    }

    pub(super) fn rates(&self) -> Rates {
        Rates { drip: self.settings.drip, read: self.settings.read_rate }
    }
}

/// How fast a connection is served; `None`: as fast as it can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    /// Of replies.
    pub(super) drip: Option<ByteRate>,
    /// Of what is read.
    pub(super) read: Option<ByteRate>,
}

/// What a shard's connections use together.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) service: Arc<Service>,
    pub(super) linger_timeout: Duration,
    pub(super) stop_linger: Duration,
    pub(super) hold_limit: Duration,
    /// What rules remember, for all shards together.
    state: Arc<Mutex<State>>,
    /// What was put off, for all shards together.
    retries: Arc<Mutex<Retries>>,
    pub(super) records: Records,
    pub(super) budget: Budget,
    pub(super) counters: Arc<Counters>,
}

impl Context {
    pub(crate) fn new(
        service: Arc<Service>,
        records: Records,
        budget: &Budget,
        counters: Arc<Counters>,
        state: Arc<Mutex<State>>,
        retries: Arc<Mutex<Retries>>,
    ) -> Self {
        Self {
            service,
            linger_timeout: LINGER,
            stop_linger: STOP_LINGER,
            hold_limit: HOLD_LIMIT,
            state,
            retries,
            records,
            budget: budget.clone(),
            counters,
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        self.service.policy()
    }

    pub(super) fn settings(&self) -> &Settings {
        self.service.settings()
    }

    /// Something can be put off, and what is tried again is followed.
    pub(super) fn follows_retries(&self) -> bool {
        self.policy().may_defer()
    }

    /// What rules remember. It is locked for a decision at a time, where a rule, a list or a limit asks.
    pub(super) fn memory(&self) -> SharedState<'_> {
        SharedState(&self.state)
    }

    /// Lends what was put off.
    pub(super) fn retries(&self) -> MutexGuard<'_, Retries> {
        lock(&self.retries)
    }

    /// Takes a place for a connection before it is accepted; `None` when connections are to be left in the backlog
    /// for now. Shards that looked first and counted afterwards would together let in more than there may be.
    pub(super) fn take_place(&self) -> Option<Place> {
        if !self.service.counts_sessions() {
            return Some(Place(None));
        }
        let limit = self.service.backlog_beyond().unwrap_or(u64::MAX);
        lock(&self.state).take_place(limit).then(|| Place::counted_in(&self.state))
    }

    /// Counts a session that was let in when none were counted, where they are now.
    pub(super) fn count_place(&self, place: &mut Place, peer: PeerAddress) {
        if self.service.counts_sessions() && place.0.is_none() {
            let is_taken = lock(&self.state).take_place(u64::MAX);
            debug_assert!(is_taken, "there is no limit");
            *place = Place::counted_in(&self.state);
            place.occupy(peer);
        }
    }
}

/// The place of a session among those that there may be at a time, given back when dropped. Without such a limit it
/// is nothing.
#[derive(Debug, Default)]
pub(super) struct Place(Option<Box<Taken>>);

#[derive(Debug)]
struct Taken {
    state: Arc<Mutex<State>>,
    /// Who has it; `None` before a client has connected.
    peer: Option<PeerAddress>,
}

impl Place {
    /// One that was taken.
    fn counted_in(state: &Arc<Mutex<State>>) -> Self {
        Self(Some(Box::new(Taken { state: Arc::clone(state), peer: None })))
    }

    /// A client has connected, who has it from now on.
    pub(super) fn occupy(&mut self, peer: PeerAddress) {
        if let Some(taken) = &mut self.0 {
            taken.peer = Some(peer);
            lock(&taken.state).connected(peer);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.state).give_back_place(self.peer);
    }
}

/// What rules remember, for all shards together.
#[derive(Debug)]
pub(super) struct SharedState<'c>(&'c Mutex<State>);

impl Memory for SharedState<'_> {
    fn lend(&mut self, decide: &mut dyn FnMut(&mut State)) {
        decide(&mut lock(self.0));
    }
}
