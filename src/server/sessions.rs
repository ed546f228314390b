//! The open sessions of a running server, and ending them.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::Server;
use crate::net::control::{Control, EndOrder, Ended, SessionRange, Sessions};
#[cfg(feature = "http")]
use crate::net::passages::{Listeners, Passages};
use crate::net::{Farewell, OpenSession};
#[cfg(feature = "http")]
use crate::process::lock;

/// Most sessions that a shard copies, or ends, between two turns.
const COPIES: usize = 1000;
const ENDS: usize = 64;

impl Server {
    /// The open sessions, in the order of their numbers. Shards copy 1,000 of them at a time, between two turns;
    /// sessions that begin or end meanwhile may be missing. A connection that waits for a PROXY header has no session.
    ///
    /// # Panics
    /// If called by a hook on a reactor thread of this server, which could not answer while it waits.
    pub fn sessions(&self) -> Vec<OpenSession> {
        let mut all = Vec::<OpenSession>::new();
        loop {
            let page = self.sessions_after(all.last().map_or(0, |last| last.id), COPIES).sessions;
            let is_last = page.len() < COPIES;
            all.extend(page);
            if is_last {
                return all;
            }
        }
    }

    /// Sessions with a greater number, at most `most`.
    pub(crate) fn sessions_after(&self, after: u64, most: usize) -> Sessions {
        let mut all = Sessions::default();
        for Sessions { sessions, total, newest } in
            self.ask(|control| control.sessions(SessionRange { after, most }))
        {
            all.sessions.extend(sessions);
            all.total += total;
            all.newest = all.newest.max(newest);
        }
        all.sessions.sort_unstable_by_key(|session| session.id);
        all.sessions.truncate(most);
        all
    }

    /// Ends the session of this number. False if it does not exist, or is about to end.
    ///
    /// # Panics
    /// As [`sessions`](Self::sessions).
    pub fn end_session(&self, id: u64, farewell: Farewell) -> bool {
        let Some(before) = id.checked_sub(1) else { return false };
        let range = SessionRange { after: before, most: 1 };
        let ended = self.ask(|control| control.end(EndOrder { range, up_to: id, farewell }));
        ended.into_iter().any(|Ended { count, .. }| count > 0)
    }

    /// Ends all open sessions. Returns their number. Shards end 64 of them at a time, between two turns. Connections
    /// are accepted as before: see [`pause`](Self::pause).
    ///
    /// # Panics
    /// As [`sessions`](Self::sessions).
    pub fn end_sessions(&self, farewell: Farewell) -> usize {
        // Sessions that begin meanwhile are not ended.
        let up_to = self.sessions_after(0, 0).newest;
        let (mut count, mut after) = (0, Some(0));
        while let Some(number) = after {
            let range = SessionRange { after: number, most: ENDS };
            let ended = self.ask(|control| control.end(EndOrder { range, up_to, farewell }));
            count += ended.iter().map(|ended| ended.count).sum::<usize>();
            // The least of them: another shard may have older ones left.
            after = ended.iter().filter_map(|ended| ended.last).min();
        }
        count
    }

    /// Reports the beginning and end of sessions, as to other listeners, until
    /// [`stop_announcing`](Self::stop_announcing).
    #[cfg(feature = "http")]
    pub(crate) fn announce_sessions(&self, to: &Arc<Passages>) {
        self.change_listeners(|listeners| listeners.push(Arc::clone(to)));
    }

    /// Stops reporting to this listener.
    #[cfg(feature = "http")]
    pub(crate) fn stop_announcing(&self, to: &Arc<Passages>) {
        self.change_listeners(|listeners| listeners.retain(|listener| !Arc::ptr_eq(listener, to)));
    }

    #[cfg(feature = "http")]
    fn change_listeners(&self, change: impl FnOnce(&mut Vec<Arc<Passages>>)) {
        // Locked until the list is sent to the shards, so that the latest list is the last one sent.
        let mut listeners = lock(&self.listeners_to_sessions);
        change(&mut listeners);
        let all = Listeners::from(listeners.as_slice());
        self.controls.iter().for_each(|control| control.announce(Arc::clone(&all)));
    }

    /// Asks all shards at once. A shard that has ended does not answer.
    fn ask<A>(&self, ask: impl Fn(&Arc<Control>) -> Receiver<A>) -> Vec<A> {
        let would_wait = self.controls.iter().any(|control| control.would_wait_for_itself());
        assert!(!would_wait, "asking for sessions {}", super::WAITS_FOR_ITSELF);
        let answers: Vec<_> = self.controls.iter().map(ask).collect();
        answers.into_iter().filter_map(|answer| answer.recv().ok()).collect()
    }
}
