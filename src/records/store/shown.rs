//! Records as readers see them, and the removal of those that a reader has chosen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Store;
#[cfg(feature = "http")]
use super::removals::Removals;
use crate::process::lock;
use crate::records::Message;
#[cfg(feature = "http")]
use crate::smtp::RecordId;

/// What a reader removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Records that it has chosen.
    Chosen,
    /// All that it sees.
    All,
}

/// A record as readers see it. One that changes later is another `Arc`.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Its place in the order of all records; that of a running session changes when it ends or accepts another message.
    pub(crate) number: u64,
    pub(crate) message: Arc<Message>,
}

impl Shown {
    /// A copy of the message, which shares its text with it.
    pub(crate) fn into_message(self) -> Message {
        Arc::unwrap_or_clone(self.message)
    }
}

/// The finished records that readers have seen.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// Oldest first.
    pub(super) records: VecDeque<Shown>,
    #[cfg(feature = "http")]
    pub(super) removals: Removals,
}

/// All records at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// In the order of [`Store::messages`].
    pub(crate) records: Vec<Shown>,
    /// Records that arrive later have this number or a higher one.
    pub(crate) end: u64,
}

impl Store {
    /// The records with this number or a higher one, shared; all from 0 on.
    pub(crate) fn snapshot_from(&self, number: u64) -> Snapshot {
        let mut archive = lock(&self.archive);
        let (running, end) = self
            .collect(&mut archive, |running| running.message.clone().filter(|_| running.number >= number));
        let start = archive.records.partition_point(|shown| shown.number < number);
        let finished = archive.records.range(start..).cloned();
        let running =
            running.into_iter().map(|(number, message)| Shown { number, message: Arc::new(message) });
        Snapshot { records: finished.chain(running).collect(), end }
    }

    /// The record with this id.
    #[cfg(feature = "http")]
    pub(crate) fn find(&self, id: RecordId) -> Option<Shown> {
        let mut archive = lock(&self.archive);
        let is_it = |message: &Message| message.id() == id;
        let (mut running, _) = self
            .collect(&mut archive, |running| running.message.as_ref().filter(|shown| is_it(shown)).cloned());
        let finished = archive.records.iter().rfind(|shown| is_it(&shown.message)).cloned();
        let running = || running.pop().map(|(number, message)| Shown { number, message: Arc::new(message) });
        finished.or_else(running)
    }

    /// Removes those of these records that are there and unchanged, in one step, and returns them in their order: what another
    /// caller has removed is not among them. The only way, beside [`purge`](Store::purge), by which readers remove.
    pub(crate) fn take_shown(&self, chosen: &[Shown], extent: Extent) -> Vec<Shown> {
        let chosen: HashMap<u64, &Arc<Message>> =
            chosen.iter().map(|Shown { number, message }| (*number, message)).collect();
        let mut archive = lock(&self.archive);
        let (running, _) = self.collect(&mut archive, |running| {
            running.message.take_if(|_| chosen.contains_key(&running.number))
        });
        let mut taken = Vec::new();
        archive.records.retain(|shown| {
            let is_chosen =
                chosen.get(&shown.number).is_some_and(|message| Arc::ptr_eq(message, &shown.message));
            if is_chosen {
                taken.push(shown.clone());
            }
            !is_chosen
        });
        taken.extend(
            running.into_iter().map(|(number, message)| Shown { number, message: Arc::new(message) }),
        );
        taken.iter().for_each(|shown| self.uncount(Some(&shown.message)));
        self.note_removed(&mut archive, taken.iter().map(|shown| (shown.number, &*shown.message)), extent);
        drop(archive);
        self.wake_waits();
        taken
    }
}
