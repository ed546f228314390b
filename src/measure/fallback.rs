//! Addresses of clients whose TLS did not come about, to find those that send their mail in clear instead, on a new
//! connection. An address is all that is known of such a client: several behind one are taken for one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Timestamp;

/// Addresses at a time; beyond it the oldest is forgotten.
const MOST: usize = 65_536;
/// Later than this it is another attempt: clients that fall back do so at once.
const SOON: Duration = Duration::from_secs(60);

/// The addresses whose last session has failed to begin TLS.
#[derive(Debug, Default)]
pub(super) struct Fallbacks {
    failed: HashMap<IpAddr, Failure>,
    /// Those, the oldest first, and some that are forgotten.
    order: VecDeque<(IpAddr, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    session: u64,
    at: Timestamp,
}

impl Fallbacks {
    /// TLS did not come about in this session.
    pub(super) fn note_failure(&mut self, ip: IpAddr, session: u64, at: Timestamp) {
        self.failed.insert(ip, Failure { session, at });
        self.order.push_back((ip, session));
        if self.order.len() > MOST
            && let Some((oldest, session)) = self.order.pop_front()
        {
            // Unless it has failed again since.
            if self.failed.get(&oldest).is_some_and(|failure| failure.session == session) {
                self.failed.remove(&oldest);
            }
        }
    }

    /// A session of this address has come to mail, or to TLS. Returns whether the one before it, which began earlier, has
    /// failed shortly before.
    pub(super) fn end(&mut self, ip: IpAddr, session: u64, at: Timestamp) -> bool {
        match self.failed.get(&ip) {
            Some(failure) if failure.session < session => {
                let is_soon = at.since(failure.at) <= SOON;
                self.failed.remove(&ip);
                is_soon
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(seconds))
    }

    #[test]
    fn only_the_next_session_of_the_address_counts_and_only_soon() {
        let mut fallbacks = Fallbacks::default();
        fallbacks.note_failure(ip(1), 5, at(10));
        assert!(!fallbacks.end(ip(2), 6, at(11)), "another address");
        assert!(!fallbacks.end(ip(1), 5, at(11)) && !fallbacks.end(ip(1), 4, at(11)), "it began before");
        assert!(fallbacks.end(ip(1), 6, at(11)));
        assert!(!fallbacks.end(ip(1), 7, at(11)), "once");
        fallbacks.note_failure(ip(1), 8, at(20));
        assert!(!fallbacks.end(ip(1), 9, at(81)), "too late");
    }

    #[test]
    fn the_oldest_addresses_are_forgotten() {
        let mut fallbacks = Fallbacks::default();
        let most = MOST as u32;
        (0..most).for_each(|number| fallbacks.note_failure(ip(number), u64::from(number), at(1)));
        // The first address is not the oldest any more.
        fallbacks.note_failure(ip(0), u64::from(most), at(1));
        fallbacks.note_failure(ip(most), u64::from(most) + 1, at(1));
        assert_eq!((fallbacks.failed.len(), fallbacks.order.len()), (MOST, MOST));
        let mut end = |number| fallbacks.end(ip(number), u64::MAX, at(1));
        assert!(end(0) && !end(1) && end(2) && end(most));
    }
}
