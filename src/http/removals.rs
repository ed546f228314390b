//! The effects of removed messages, whether a request of any interface or a call of the library has removed them: one task of the
//! plane's thread follows the log of the store, and a thread of the desk reads it. It drops only caches, and state of messages
//! that no longer exist.

use std::sync::Arc;

use crate::http::{Plane, events};
use crate::records::store::{Removal, Removed};
use crate::smtp::RecordId;

/// Follows removals as long as the plane runs.
pub(super) async fn follow(plane: Arc<Plane>) {
    let mut seen = 0;
    loop {
        plane.store.removal(seen).await;
        let own = Arc::clone(&plane);
        // Only a bug ends it without a result: these removals are skipped.
        seen = plane.desk.run(move || look(&own, seen)).await.unwrap_or(seen + 1);
    }
}

/// Processes the removals from this position on. Returns the position of the next one.
fn look(plane: &Plane, seen: u64) -> u64 {
    let removed = plane.store.removals_from(seen);
    let older = removed.end - seen - removed.removals.len() as u64;
    forget(plane, &removed);
    announce(plane, &removed, older);
    plane.mailpit.marks().tidy();
    removed.end
}

fn records(removals: &[Removal]) -> impl Iterator<Item = (RecordId, u64)> {
    removals.iter().filter_map(|removal| match removal {
        Removal::Record { id, number } => Some((*id, *number)),
        Removal::All { .. } => None,
    })
}

fn forget(plane: &Plane, Removed { removals, is_partial, .. }: &Removed) {
    match is_partial {
        true => plane.indexes.forget_removed(),
        false => plane.indexes.forget(records(removals).map(|(_, number)| number)),
    }
}

/// Sends the events. `older` is the number of removals that the log has dropped.
fn announce(plane: &Plane, Removed { removals, .. }: &Removed, older: u64) {
    // A removal of all includes those before it. If a message has been filed since, which clients may know already, they are sent
    // the ids instead.
    let is_all =
        |removal: &Removal| matches!(removal, Removal::All { end } if !plane.store.has_filed_from(*end));
    let all = removals.iter().rposition(is_all);
    let ids: Vec<_> = records(&removals[all.map_or(0, |place| place + 1)..]).map(|(id, _)| id).collect();
    let missed = if all.is_some() { 0 } else { older };
    plane.mailpit.removed(&ids, all.is_some(), missed > 0);
    events::removed(&plane.events, &ids, all.is_some(), missed);
}
