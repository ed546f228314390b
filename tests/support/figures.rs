//! Waits for a server's figures. A server sends its figures between two turns: once they arrive, the turn in which
//! something was read or answered is over, and its time was recorded.

use smtpmock::{Server, Stats};

use super::waiting::until;

/// Waits until the figures satisfy the condition, and returns them.
pub(crate) fn once(server: &Server, is_so_far: impl Fn(&Stats) -> bool) -> Stats {
    until(|| {
        let stats = server.stats();
        if is_so_far(&stats) { Ok(stats) } else { Err(Box::new(stats)) }
    })
}

/// The figures once all opened sessions have ended.
pub(crate) fn after_all_sessions(server: &Server) -> Stats {
    once(server, |stats| stats.sessions.closed == stats.sessions.opened)
}

/// The figures once this many sessions have ended.
pub(crate) fn after_sessions(server: &Server, count: u64) -> Stats {
    once(server, |stats| stats.sessions.closed >= count)
}
