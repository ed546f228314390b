//! Waiting for what a server measures. It gives its figures between two turns: once they are read, the turn in which
//! something was read or answered is over, and its clock was read.

use smtpmock::{Server, Stats};

use super::client::{PATIENCE, now};

/// The figures once they are so far.
pub(crate) fn once(server: &Server, is_so_far: impl Fn(&Stats) -> bool) -> Stats {
    let start = now();
    loop {
        let stats = server.stats();
        if is_so_far(&stats) {
            return stats;
        }
        assert!(start.elapsed() < PATIENCE, "{stats:?}");
        std::thread::yield_now();
    }
}

/// The figures once so many sessions are over.
pub(crate) fn after_sessions(server: &Server, count: u64) -> Stats {
    once(server, |stats| stats.sessions.closed >= count)
}
