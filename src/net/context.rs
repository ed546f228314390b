//! The settings that a connection is served with and the state that it shares with others. Both are borrowed for one
//! turn, on the shard's thread.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::counters::Counters;
use super::verifier::CheckQueue;
use crate::config::{OverLimit, ProxyHeaders, Settings};
use crate::log::HeaderHook;
use crate::measure::Retries;
use crate::process::lock;
use crate::records::Records;
use crate::records::budget::Budget;
use crate::smtp::Policy;
use crate::smtp::rules::{ByteRate, Memory, PeerAddress, State};
use crate::tls::ServerTls;

/// How long a client that still sends may take to receive the last reply.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Longest pause of such a client after the shutdown timeout.
const STOP_LINGER: Duration = Duration::from_millis(250);

/// Longest time that a rule may hold a connection: more than any client waits (at most 10 minutes in RFC 5321 section
/// 4.5.3.2), but bounded.
pub(super) const HOLD_LIMIT: Duration = Duration::from_secs(3600);

/// The settings that connections are served with. A service is immutable: a reactor replaces it between two turns, and
/// each session uses the new one from its next line on.
#[derive(Debug)]
pub(crate) struct Service {
    settings: Settings,
    /// This service or an earlier one offers PIPELINING in its reply to EHLO.
    offers_pipelining: bool,
}

impl Service {
    /// Builds the service of validated settings; `before` is its predecessor.
    pub(crate) fn new(mut settings: Settings, before: Option<&Self>) -> Self {
        let mut offers_pipelining = settings.policy.may_offer("PIPELINING");
        if let Some(before) = before {
            settings.policy = settings.policy.of_the_server_of(before.policy()).succeeding(before.policy());
            offers_pipelining |= before.offers_pipelining;
        }
        if let Some(auth) = settings.policy.auth() {
            auth.prepare();
        }
        Self { settings, offers_pipelining }
    }

    /// A copy for one shard that shares no reply with other shards.
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

    /// The number of sessions is limited, and so they are counted.
    fn counts_sessions(&self) -> bool {
        let limits = self.policy().limits();
        limits.max_sessions.is_some() || limits.max_sessions_per_ip.is_some()
    }

    /// Largest number of sessions; further connections stay in the backlog.
    fn backlog_beyond(&self) -> Option<u64> {
        let waits = self.settings.over_limit == OverLimit::Backlog;
        self.policy().limits().max_sessions.filter(|_| waits)
    }

    pub(super) fn rates(&self) -> Rates {
        Rates { drip: self.settings.drip, read: self.settings.read_rate }
    }
}

/// Rate limits of a connection; `None`: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    /// Rate of replies.
    pub(super) drip: Option<ByteRate>,
    pub(super) read: Option<ByteRate>,
}

/// What the connections of a shard share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) service: Arc<Service>,
    pub(super) linger_timeout: Duration,
    pub(super) stop_linger: Duration,
    pub(super) hold_limit: Duration,
    /// The state of rules, shared by all shards.
    state: Arc<Mutex<State>>,
    /// Deferred commands and messages, shared by all shards.
    retries: Arc<Mutex<Retries>>,
    pub(super) records: Records,
    pub(super) budget: Budget,
    pub(super) counters: Arc<Counters>,
    /// Pending password checks of all shards.
    pub(super) checks: Arc<CheckQueue>,
    /// `None` if TLS is not configured.
    pub(super) tls: Option<ServerTls>,
    /// `None` if no hook is configured.
    pub(super) header_hook: Option<HeaderHook>,
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
            checks: Arc::default(),
            tls: None,
            header_hook: None,
        }
    }

    /// With a queue of checks that is shared with other shards.
    pub(crate) fn sharing_checks(self, checks: Arc<CheckQueue>) -> Self {
        Self { checks, ..self }
    }

    pub(crate) fn with_tls(self, tls: Option<ServerTls>) -> Self {
        Self { tls, ..self }
    }

    /// With a hook that is called when a connection is closed because of its PROXY header.
    pub(crate) fn with_header_hook(self, header_hook: Option<HeaderHook>) -> Self {
        Self { header_hook, ..self }
    }

    pub(super) fn policy(&self) -> &Policy {
        self.service.policy()
    }

    pub(super) fn settings(&self) -> &Settings {
        self.service.settings()
    }

    /// A command or message can be deferred, and so retries are tracked.
    pub(super) fn follows_retries(&self) -> bool {
        self.policy().may_defer()
    }

    /// The state of rules. Locked for one decision at a time, and only if a rule, list or limit needs it.
    pub(super) fn memory(&self) -> SharedState<'_> {
        SharedState(&self.state)
    }

    /// Borrows the deferred commands and messages.
    pub(super) fn retries(&self) -> MutexGuard<'_, Retries> {
        lock(&self.retries)
    }

    /// Reserves a place for a connection before it is accepted; `None` while connections must stay in the backlog. If
    /// shards checked the limit first and counted afterwards, together they could exceed it. If a PROXY header names
    /// the client later, and connections do not wait in the backlog, the place is taken [then](Self::assign_place).
    pub(super) fn take_place(&self, proxy: ProxyHeaders) -> Option<SessionPermit> {
        let limit = self.service.backlog_beyond();
        let is_later = proxy != ProxyHeaders::None && limit.is_none();
        if is_later || !self.service.counts_sessions() {
            return Some(SessionPermit(None));
        }
        let limit = limit.unwrap_or(u64::MAX);
        lock(&self.state).take_place(limit).then(|| SessionPermit::counted_in(&self.state))
    }

    /// Assigns the place to a client now known, and takes one if sessions are counted and it has none.
    pub(super) fn assign_place(&self, place: &mut SessionPermit, peer: PeerAddress) {
        match place.0 {
            Some(_) => place.occupy(peer),
            None => self.count_place(place, peer),
        }
    }

    /// Counts the session for another client from now on.
    pub(super) fn reassign_place(&self, place: &mut SessionPermit, peer: PeerAddress) {
        if let Some(Taken { state, peer: counted }) = place.0.as_deref_mut() {
            let mut state = lock(state);
            if let Some(counted) = counted.replace(peer) {
                state.disconnected(counted);
            }
            state.connected(peer);
        }
    }

    /// Counts a session that was accepted without a limit, if there is one now.
    pub(super) fn count_place(&self, place: &mut SessionPermit, peer: PeerAddress) {
        if self.service.counts_sessions() && place.0.is_none() {
            let is_taken = lock(&self.state).take_place(u64::MAX);
            debug_assert!(is_taken, "there is no limit");
            *place = SessionPermit::counted_in(&self.state);
            place.occupy(peer);
        }
    }
}

/// A place in a limited number of sessions, released when dropped. Not counted without a limit.
#[derive(Debug, Default)]
pub(super) struct SessionPermit(Option<Box<Taken>>);

#[derive(Debug)]
struct Taken {
    state: Arc<Mutex<State>>,
    /// The client's address; `None` before a client has connected.
    peer: Option<PeerAddress>,
}

impl SessionPermit {
    /// Wraps a place that is already counted.
    fn counted_in(state: &Arc<Mutex<State>>) -> Self {
        Self(Some(Box::new(Taken { state: Arc::clone(state), peer: None })))
    }

    /// Assigns the place to a client that has connected.
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

/// Lends the shared state of rules.
#[derive(Debug)]
pub(super) struct SharedState<'c>(&'c Mutex<State>);

impl Memory for SharedState<'_> {
    fn lend(&mut self, decide: &mut dyn FnMut(&mut State)) {
        decide(&mut lock(self.0));
    }
}
