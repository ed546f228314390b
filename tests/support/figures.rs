//! Waiting for what a server measures. It gives its figures between two turns: once they are read, the turn in which
//! something was read or answered is over, and its clock was read.

use smtpmock::{Server, Stats};

use super::waiting::until;

/// The figures once they are so far.
pub(crate) fn once(server: &Server, is_so_far: impl Fn(&Stats) -> bool) -> Stats {
    until(|| {
        let stats = server.stats();
        if is_so_far(&stats) { Ok(stats) } else { Err(Box::new(stats)) }
    })
}

/// The figures once all sessions that there were are over.
pub(crate) fn after_all_sessions(server: &Server) -> Stats {
    once(server, |stats| stats.sessions.closed == stats.sessions.opened)
}

/// The figures once so many sessions are over.
pub(crate) fn after_sessions(server: &Server, count: u64) -> Stats {
    once(server, |stats| stats.sessions.closed >= count)
}
