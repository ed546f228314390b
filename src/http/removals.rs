//! What follows when messages are removed, whether by a request of any interface or a call of the library: one task of the plane's
//! thread follows the log of the store. What it forgets is only a cache, or of messages that are gone.

use std::sync::Arc;
use std::time::Duration;

use crate::http::{Plane, events};
use crate::records::store::{Removal, Removed};
use crate::smtp::RecordId;
use crate::time::Deadline;

/// A wait for a removal begins again after this time.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Follows removals as long as the plane runs.
pub(super) async fn follow(plane: Arc<Plane>) {
    let mut seen = 0;
    loop {
        if Arc::clone(&plane.store).removal(seen, Deadline::after(LONG)).await {
            let removed = plane.store.removals_from(seen);
            let older = removed.end - seen - removed.removals.len() as u64;
            seen = removed.end;
            forget(&plane, &removed);
            announce(&plane, &removed, older);
        }
    }
}

fn records(removals: &[Removal]) -> impl Iterator<Item = (RecordId, u64)> {
    removals.iter().filter_map(|removal| match removal {
        Removal::Record { id, number } => Some((*id, *number)),
        Removal::All => None,
    })
}

fn forget(plane: &Plane, Removed { removals, is_partial, .. }: &Removed) {
    match is_partial {
        true => plane.indexes.forget_removed(),
        false => plane.indexes.forget(records(removals).map(|(_, number)| number)),
    }
    plane.mailpit.marks().forget(records(removals).map(|(id, _)| id));
}

/// Sends the events. `older` are the removals that are forgotten.
fn announce(plane: &Plane, Removed { removals, .. }: &Removed, older: u64) {
    // What was removed before all was is among all.
    let all = removals.iter().rposition(|removal| *removal == Removal::All);
    let ids: Vec<_> = records(&removals[all.map_or(0, |place| place + 1)..]).map(|(id, _)| id).collect();
    let missed = if all.is_some() { 0 } else { older };
    plane.mailpit.removed(&ids, all.is_some(), missed > 0);
    events::removed(&plane.events, &ids, all.is_some(), missed);
}
