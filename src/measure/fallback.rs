//! Clients whose TLS has failed, to detect those that then send their mail in clear on a new connection.
//!
//! A client is identified by its IP address and the name in its EHLO. That is no proof: two programs on one host may
//! use one name. So a client that has sent mail in clear before without a failure is never suspected
//! ([`ClearSenders`]).

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Timestamp;

/// Most clients tracked at a time; beyond it the oldest is forgotten.
const MOST_CLIENTS: usize = 65_536;
/// A later session is another attempt: clients that fall back do so at once.
const SOON: Duration = Duration::from_secs(60);
/// A session accepted this long before the failure was not opened because of it. Shorter times may pass until a shard
/// learns of the failure.
const LATE_NEWS: Duration = Duration::from_millis(100);
/// Size of the table of clients that send in clear, in bits: 8 KiB.
const SENDERS: usize = 65_536;

/// A client's IP address and the name in its EHLO, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey(u64);

impl ClientKey {
    /// The name is compared ignoring case.
    pub(crate) fn of(ip: IpAddr, name: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        ip.hash(&mut hasher);
        name.iter().for_each(|octet| hasher.write_u8(octet.to_ascii_lowercase()));
        Self(hasher.finish())
    }
}

/// A session of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) client: ClientKey,
    /// Its number, in the order of connections.
    pub(crate) session: u64,
    pub(crate) opened: Timestamp,
}

/// The clients that have sent mail in clear without an earlier failure of TLS, for all shards. A client whose bit is
/// set by another is never suspected.
#[derive(Debug)]
pub(crate) struct ClearSenders(Box<[AtomicU64]>);

impl Default for ClearSenders {
    fn default() -> Self {
        Self((0..SENDERS / 64).map(|_| AtomicU64::new(0)).collect())
    }
}

impl ClearSenders {
    pub(crate) fn note(&self, client: ClientKey) {
        let (word, bit) = self.place(client);
        // Most clients are already known: then this only reads.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether this client may be one of them.
    pub(crate) fn may_contain(&self, client: ClientKey) -> bool {
        let (word, bit) = self.place(client);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn place(&self, client: ClientKey) -> (&AtomicU64, u64) {
        let index = (client.0 % SENDERS as u64) as usize;
        (&self.0[index / 64], 1 << (index % 64))
    }
}

/// The clients whose last session has failed to begin TLS.
#[derive(Debug, Default)]
pub(super) struct Fallbacks {
    failed: HashMap<ClientKey, Failure>,
    /// These clients, the oldest first, and some that are forgotten.
    order: VecDeque<(ClientKey, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    session: u64,
    at: Timestamp,
}

impl Fallbacks {
    /// TLS has failed in this session.
    pub(super) fn note_failure(&mut self, attempt: Attempt, at: Timestamp) {
        let Attempt { client, session, .. } = attempt;
        self.failed.insert(client, Failure { session, at });
        self.order.push_back((client, session));
        if self.order.len() > MOST_CLIENTS
            && let Some((oldest, session)) = self.order.pop_front()
        {
            // Unless it has failed again since.
            if self.failed.get(&oldest).is_some_and(|failure| failure.session == session) {
                self.failed.remove(&oldest);
            }
        }
    }

    /// The session has begun a mail, or TLS. Returns whether TLS has failed shortly before in an earlier session of the
    /// client, and this one was probably opened because of it.
    pub(super) fn end(&mut self, attempt: Attempt, at: Timestamp) -> bool {
        match self.failed.get(&attempt.client) {
            Some(failure) if failure.session < attempt.session => {
                let is_behind = failure.at <= attempt.opened.after(LATE_NEWS);
                let is_soon = at.since(failure.at) <= SOON;
                if is_behind {
                    self.failed.remove(&attempt.client);
                }
                is_behind && is_soon
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_millis(milliseconds))
    }

    fn attempt(client: u64, session: u64, opened: u64) -> Attempt {
        Attempt { client: ClientKey(client), session, opened: at(opened) }
    }

    #[test]
    fn only_the_next_session_of_the_client_counts_and_only_soon() {
        let mut fallbacks = Fallbacks::default();
        fallbacks.note_failure(attempt(1, 5, 9_000), at(10_000));
        assert!(!fallbacks.end(attempt(2, 6, 10_000), at(11_000)), "another client");
        for session in [5, 4] {
            assert!(!fallbacks.end(attempt(1, session, 10_000), at(11_000)), "it began before");
        }
        assert!(!fallbacks.end(attempt(1, 6, 9_800), at(11_000)), "it was open when the other failed");
        assert!(fallbacks.end(attempt(1, 7, 10_000), at(11_000)));
        assert!(!fallbacks.end(attempt(1, 8, 11_000), at(11_000)), "once");
        fallbacks.note_failure(attempt(1, 9, 20_000), at(20_000));
        assert!(!fallbacks.end(attempt(1, 10, 80_500), at(81_000)), "too late");
    }

    #[test]
    fn the_oldest_clients_are_forgotten() {
        let mut fallbacks = Fallbacks::default();
        let most = MOST_CLIENTS as u64;
        (0..most).for_each(|number| fallbacks.note_failure(attempt(number, number, 1), at(1)));
        // The first client is no longer the oldest.
        fallbacks.note_failure(attempt(0, most, 1), at(1));
        fallbacks.note_failure(attempt(most, most + 1, 1), at(1));
        assert_eq!((fallbacks.failed.len(), fallbacks.order.len()), (MOST_CLIENTS, MOST_CLIENTS));
        let mut end = |number| fallbacks.end(attempt(number, u64::MAX, 1), at(1));
        assert!(end(0) && !end(1) && end(2) && end(most));
    }

    #[test]
    fn a_client_is_an_address_and_a_name_in_any_letters() {
        let key = |ip: [u8; 4], name: &str| ClientKey::of(IpAddr::from(ip), name.as_bytes());
        let own = key([127, 0, 0, 1], "client.example");
        assert_eq!(own, key([127, 0, 0, 1], "CLIENT.example"));
        assert_ne!(own, key([127, 0, 0, 1], "other.example"));
        assert_ne!(own, key([127, 0, 0, 2], "client.example"));
    }

    #[test]
    fn clients_that_send_in_clear_are_known_from_then_on() {
        let senders = ClearSenders::default();
        assert!(!senders.may_contain(ClientKey(7)));
        senders.note(ClientKey(7));
        assert!(senders.may_contain(ClientKey(7)) && !senders.may_contain(ClientKey(8)));
    }
}
