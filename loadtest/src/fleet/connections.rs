//! The connections of a coordinator: how many there may be, and which ends for another. An agent's own always has a place:
//! those that have not sent a valid request end first, and soon.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::fleet::protocol::AGENTS_LIMIT;

/// The most connections: one for each agent, and those of agents that connect anew.
const CONNECTIONS_LIMIT: usize = 2 * AGENTS_LIMIT as usize;

/// The most connections from one address without a valid request yet.
const STRANGERS_LIMIT: usize = 64;

/// The time for the first valid request.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// Identifies a connection.
pub(super) type Key = u64;

#[derive(Debug)]
struct Entry {
    from: IpAddr,
    /// Whether it has sent a valid request.
    is_known: bool,
    /// When it was accepted; of a known one, when its last request came.
    since: Duration,
}

/// Connections, by a number that is never reused.
#[derive(Debug, Default)]
pub(super) struct Connections {
    entries: BTreeMap<Key, Entry>,
    last: Key,
}

impl Connections {
    /// Adds a connection. Returns its key, and that of a connection that must end for it.
    pub(super) fn admit(&mut self, from: IpAddr, now: Duration) -> (Key, Option<Key>) {
        let is_stranger = |entry: &Entry| entry.from == from && !entry.is_known;
        let strangers = self.entries.values().filter(|entry| is_stranger(entry)).count();
        let ends = if strangers >= STRANGERS_LIMIT {
            self.first_of(is_stranger)
        } else if self.entries.len() >= CONNECTIONS_LIMIT {
            self.first_of(|_| true)
        } else {
            None
        };
        ends.into_iter().for_each(|key| self.end(key));
        self.last += 1;
        self.entries.insert(self.last, Entry { from, is_known: false, since: now });
        (self.last, ends)
    }

    /// Of such connections the one that ends for another: a stranger before an agent, and of each the one that has sent
    /// nothing for the longest time.
    fn first_of(&self, is_one: impl Fn(&Entry) -> bool) -> Option<Key> {
        let candidates = self.entries.iter().filter(|(_, entry)| is_one(entry));
        candidates.min_by_key(|(_, entry)| (entry.is_known, entry.since)).map(|(key, _)| *key)
    }

    /// A connection has sent a valid request.
    pub(super) fn know(&mut self, key: Key, now: Duration) {
        if let Some(entry) = self.entries.get_mut(&key) {
            (entry.is_known, entry.since) = (true, now);
        }
    }

    /// A connection has ended.
    pub(super) fn end(&mut self, key: Key) {
        self.entries.remove(&key);
    }

    /// Removes and returns those whose first request has not come in time.
    pub(super) fn overdue(&mut self, now: Duration) -> Vec<Key> {
        let is_overdue = |entry: &Entry| !entry.is_known && now.saturating_sub(entry.since) > FIRST_WITHIN;
        let overdue = self.entries.iter().filter(|(_, entry)| is_overdue(entry)).map(|(key, _)| *key);
        let overdue: Vec<Key> = overdue.collect();
        overdue.iter().for_each(|key| self.end(*key));
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u16) -> IpAddr {
        let [high, low] = host.to_be_bytes();
        [192, 0, high, low].into()
    }

    #[test]
    fn strangers_of_one_address_end_for_each_other_and_never_an_agent() {
        let mut connections = Connections::default();
        let (agent, _) = connections.admit(address(1), Duration::ZERO);
        connections.know(agent, Duration::ZERO);
        let ended: Vec<Option<Key>> =
            (0..5000).map(|at| connections.admit(address(1), Duration::from_millis(at)).1).collect();
        assert!(ended[..STRANGERS_LIMIT].iter().all(Option::is_none));
        // The oldest of them, one after the other.
        let keys: Vec<Key> = ended[STRANGERS_LIMIT..].iter().map(|key| key.unwrap()).collect();
        assert!(keys.is_sorted() && keys[0] == agent + 1);
        assert!(connections.entries.contains_key(&agent));
        assert_eq!(connections.entries.len(), STRANGERS_LIMIT + 1);
        assert_eq!(connections.overdue(Duration::from_secs(11)).len(), STRANGERS_LIMIT);
        assert!(connections.entries.contains_key(&agent));
    }

    #[test]
    fn when_all_places_are_taken_strangers_end_first_and_then_what_is_idle_the_longest() {
        let mut connections = Connections::default();
        let mut keys = Vec::new();
        for host in 0..CONNECTIONS_LIMIT as u16 {
            let (key, ended) = connections.admit(address(host), Duration::from_millis(host.into()));
            assert_eq!(ended, None);
            keys.push(key);
        }
        keys.iter().for_each(|key| connections.know(*key, Duration::from_secs(9)));
        connections.know(keys[0], Duration::from_secs(10));
        let (stranger, ended) = connections.admit(address(7), Duration::from_secs(10));
        assert_eq!(ended, Some(keys[1]), "the agent that has sent nothing for the longest time");
        let (_, ended) = connections.admit(address(8), Duration::from_secs(10));
        assert_eq!(ended, Some(stranger));
        connections.end(keys[2]);
        assert_eq!(connections.admit(address(9), Duration::from_secs(10)).1, None);
    }
}
