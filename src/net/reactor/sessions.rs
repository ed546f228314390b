//! Open sessions for other threads: each message copies or ends a bounded number of them, and its sender requests the
//! rest. Finding them visits all numbers, which takes about a millisecond for a hundred thousand.

use super::Reactor;
use crate::net::connection::Connection;
use crate::net::control::{EndOrder, Ended, SessionRange, Sessions};
use crate::net::stream::Stream;

impl Reactor {
    /// Copies the sessions of a range, ordered by number.
    pub(super) fn glance(&self, range: SessionRange) -> Sessions {
        let now = self.resources.clock.now();
        let chosen = self.choose(range, |_| true).into_iter();
        let sessions = chosen.map(|(_, slot)| self.connections[slot].glance(now)).collect();
        let newest = self.connections.iter().map(|(_, connection)| connection.session_id()).max();
        Sessions { sessions, total: self.connections.len(), newest: newest.unwrap_or(0) }
    }

    pub(super) fn end_sessions(&mut self, EndOrder { range, up_to, farewell }: EndOrder) -> Ended {
        let chosen =
            self.choose(range, |connection| connection.session_id() <= up_to && !connection.is_ending());
        for &(_, slot) in &chosen {
            let token = self.connections[slot].token();
            self.drive(token, |connection, context, resources| {
                connection.leave(context, resources, farewell)
            });
        }
        let last = chosen.last().filter(|_| chosen.len() == range.most).map(|(number, _)| *number);
        Ended { count: chosen.len(), last }
    }

    /// The chosen numbers and slots. A connection without a session has no number.
    fn choose(
        &self,
        SessionRange { after, most }: SessionRange,
        fits: impl Fn(&Connection<Stream>) -> bool,
    ) -> Vec<(u64, usize)> {
        let fitting = self.connections.iter().filter(|(_, connection)| fits(connection));
        let numbered = fitting.map(|(slot, connection)| (connection.session_id(), slot));
        let mut chosen: Vec<_> = numbered.filter(|(number, _)| *number > after).collect();
        if chosen.len() > most {
            chosen.select_nth_unstable(most);
            chosen.truncate(most);
        }
        chosen.sort_unstable();
        chosen
    }
}
