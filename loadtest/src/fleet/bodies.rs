//! The bodies of requests that a coordinator holds in memory: one of each agent, and a bounded number of octets of those with
//! long reports together. The other ones are small, and at most as many as agents and connections.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fleet::connections::Key;
use crate::fleet::protocol::{BODY_LIMIT, UPDATE_LIMIT};

/// Octets of all bodies that are longer than `UPDATE_LIMIT`.
const ROOM: usize = 4 * BODY_LIMIT;

/// Octets are counted in these.
const UNIT: usize = 4 << 10;

/// How often one that waits for room is called.
const CALLED_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Bodies {
    room: Arc<Semaphore>,
    /// The connection on which the body of an agent comes, by its id.
    coming: Mutex<HashMap<String, Key>>,
}

/// Room for a long body, until it is dropped.
pub(super) type Room = OwnedSemaphorePermit;

/// The body of an agent that comes, or is used.
#[derive(Debug)]
pub(super) struct Coming<'b> {
    bodies: &'b Bodies,
    id: &'b str,
    key: Key,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.bodies.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if coming.get(self.id) == Some(&self.key) {
            coming.remove(self.id);
        }
    }
}

impl Bodies {
    pub(super) fn new() -> Bodies {
        Bodies::with_room(ROOM)
    }

    fn with_room(octets: usize) -> Bodies {
        Bodies { room: Arc::new(Semaphore::new(octets / UNIT)), coming: Mutex::default() }
    }

    /// A body of an agent comes on a connection. Returns the connection that must end for that, too: the agent has given up
    /// the request there.
    pub(super) fn comes<'b>(&'b self, id: &'b str, key: Key) -> (Coming<'b>, Option<Key>) {
        let before = self.coming.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), key);
        (Coming { bodies: self, id, key }, before.filter(|before| *before != key))
    }

    /// Waits for the room of a body of at most so many octets, in turn; calls `on_wait` each second meanwhile. A body that is
    /// not long needs none.
    pub(super) async fn room(&self, octets: usize, mut on_wait: impl FnMut()) -> Option<Room> {
        if octets <= UPDATE_LIMIT {
            return None;
        }
        let units = u32::try_from(octets.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let mut taken = pin!(Arc::clone(&self.room).acquire_many_owned(units));
        loop {
            match tokio::time::timeout(CALLED_EVERY, &mut taken).await {
                // It is never closed.
                Ok(room) => return room.ok(),
                Err(_) => on_wait(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_wait_for_room_in_turn_and_others_do_not() {
        const MIB: usize = 1 << 20;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bodies = Arc::new(Bodies::with_room(10 * MIB));
            let first = bodies.room(6 * MIB, || ()).await.expect("there is room");
            let waits = |octets: usize| {
                let bodies = Arc::clone(&bodies);
                tokio::spawn(async move { bodies.room(octets, || ()).await })
            };
            let second = waits(6 * MIB);
            tokio::task::yield_now().await;
            // It would fit, but it is not its turn.
            let third = waits(3 * MIB);
            tokio::task::yield_now().await;
            assert!(bodies.room(UPDATE_LIMIT, || ()).await.is_none());
            assert!(!second.is_finished() && !third.is_finished());
            drop(first);
            let (second, third) = (second.await.unwrap().unwrap(), third.await.unwrap().unwrap());
            assert_eq!(bodies.room.available_permits(), MIB / UNIT);
            drop((second, third));
            // One whose connection ends while it waits gives up its turn.
            let all = bodies.room(10 * MIB, || ()).await.expect("there is room");
            let gone = waits(6 * MIB);
            tokio::task::yield_now().await;
            gone.abort();
            drop(all);
            assert!(bodies.room(10 * MIB, || ()).await.is_some());
        });
    }

    #[test]
    fn a_newer_body_of_an_agent_ends_the_older_one() {
        let bodies = Bodies::new();
        let (older, ends) = bodies.comes("a", 1);
        assert_eq!(ends, None);
        let (other, ends) = bodies.comes("b", 2);
        assert_eq!(ends, None);
        let (newer, ends) = bodies.comes("a", 3);
        assert_eq!(ends, Some(1));
        drop((older, other));
        let (newest, ends) = bodies.comes("a", 4);
        assert_eq!(ends, Some(3));
        drop((newer, newest));
        assert!(bodies.coming.lock().unwrap().is_empty());
    }
}
