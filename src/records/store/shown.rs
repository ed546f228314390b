//! Records as readers see them, and the removal of chosen ones.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Store;
#[cfg(feature = "http")]
use super::removals::Removals;
use crate::process::lock;
use crate::records::Message;
#[cfg(feature = "http")]
use crate::smtp::RecordId;

/// A record as readers see it. After a change it is another `Arc`.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Its number in the order of all records; that of a running session changes when it ends or accepts another
    /// message.
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
        Snapshot { records: finished.chain(running).collect(), end }
    }

    #[cfg(feature = "http")]
    pub(crate) fn find(&self, id: RecordId) -> Option<Shown> {
        let mut archive = lock(&self.archive);
        let is_it = |message: &Message| message.id() == id;
        let (mut running, _) = self
            .collect(&mut archive, |running| running.message.as_ref().filter(|shown| is_it(shown)).cloned());
        let finished = archive.records.iter().rfind(|shown| is_it(&shown.message)).cloned();
        finished.or_else(|| running.pop())
    }

    /// Atomically removes those of these records that are present and unchanged, and returns them in order.
    pub(crate) fn take_shown(&self, chosen: &[Shown]) -> Vec<Shown> {
        let chosen: HashMap<u64, &Arc<Message>> =
            chosen.iter().map(|Shown { number, message }| (*number, message)).collect();
        // A changed record is another `Arc`; the chosen ones are held, so that no address is reused.
        self.take_if(
            |number, message| chosen.get(&number).is_some_and(|chosen| Arc::ptr_eq(chosen, message)),
            |_| None,
        )
    }

    /// Atomically removes all matching records, and returns them in order. The same step determines whether these were
    /// all records, for the log of removals.
    #[cfg(feature = "http")]
    pub(crate) fn take_all_where(&self, matches: impl Fn(&Message) -> bool) -> Vec<Shown> {
        self.take_if(|_, message| matches(message), Some)
    }

    /// All removals by readers, except of all records at once. `all_before` maps the number of the next record to the
    /// log entry if none is left.
    fn take_if(
        &self,
        is_chosen: impl Fn(u64, &Arc<Message>) -> bool,
        all_before: impl FnOnce(u64) -> Option<u64>,
    ) -> Vec<Shown> {
        let mut archive = lock(&self.archive);
        let mut is_left = false;
        let (running, end) = self.collect(&mut archive, |running| {
            let number = running.number;
            let taken = running.message.take_if(|message| is_chosen(number, message));
            is_left |= running.message.is_some();
            taken
        });
        let mut taken = Vec::new();
        archive.records.retain(|shown| {
            let is_chosen = is_chosen(shown.number, &shown.message);
            if is_chosen {
                taken.push(shown.clone());
            }
            !is_chosen
        });
        taken.extend(running);
        is_left |= !archive.records.is_empty();
        self.note_removed(&mut archive, &taken, if is_left { None } else { all_before(end) });
        drop(archive);
        self.announce_removals();
        taken
    }
}
