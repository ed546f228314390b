//! The open sessions of a running server, and their end.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::Server;
use crate::net::control::{Control, SessionRange, Sessions};
use crate::net::{Farewell, OpenSession};

impl Server {
    /// The open sessions, in the order of their numbers. Each shard is asked in turn, and answers between two turns.
    ///
    /// # Panics
    /// Called by a hook on a reactor thread of this server, which could not answer while it waits.
    pub fn sessions(&self) -> Vec<OpenSession> {
        self.sessions_after(0, usize::MAX).sessions
    }

    /// Those with a greater number, `most` at most.
    pub(crate) fn sessions_after(&self, after: u64, most: usize) -> Sessions {
        let mut all = Sessions::default();
        for Sessions { sessions, total } in self.ask(|control| control.sessions(SessionRange { after, most }))
        {
            all.sessions.extend(sessions);
            all.total += total;
        }
        all.sessions.sort_unstable_by_key(|session| session.id);
        all.sessions.truncate(most);
        all
    }

    /// Ends the session of this number. False if there is none.
    ///
    /// # Panics
    /// As [`sessions`](Self::sessions) does.
    pub fn end_session(&self, id: u64, farewell: Farewell) -> bool {
        self.ask(|control| control.end(Some(id), farewell)).into_iter().any(|ended| ended > 0)
    }

    /// Ends all sessions that are open, and returns how many that are.
    ///
    /// # Panics
    /// As [`sessions`](Self::sessions) does.
    pub fn end_sessions(&self, farewell: Farewell) -> usize {
        self.ask(|control| control.end(None, farewell)).into_iter().sum()
    }

    /// Asks all shards at once. One that has ended does not answer.
    fn ask<A>(&self, ask: impl Fn(&Arc<Control>) -> Receiver<A>) -> Vec<A> {
        let would_wait = self.controls.iter().any(|control| control.would_wait_for_itself());
        assert!(!would_wait, "asking for sessions {}", super::WAITS_FOR_ITSELF);
        let answers: Vec<_> = self.controls.iter().map(ask).collect();
        answers.into_iter().filter_map(|answer| answer.recv().ok()).collect()
    }
}
