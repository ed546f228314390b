//! The log of removals of records by readers: by requests of the control plane, through any interface, or calls of the
//! library.

use std::collections::VecDeque;

use super::Awaited;
use super::{Shown, Store};
use crate::process::lock;
use crate::smtp::RecordId;

/// Number of the last removals that are retained.
const REMEMBERED: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Record {
        id: RecordId,
        /// Its number in the order of all records.
        number: u64,
    },
    /// All records were removed, and none was left: the removed ones precede `end`.
    All {
        /// The number of the next record at that moment: later records have this number or a higher one.
        end: u64,
    },
}

#[derive(Debug, Default)]
pub(super) struct Removals {
    last: VecDeque<Removal>,
    /// Total number of removals, including forgotten ones.
    count: u64,
}

/// The removals from a position on.
#[derive(Debug)]
pub(crate) struct Removed {
    /// The oldest first.
    pub(crate) removals: Vec<Removal>,
    /// Older removals were forgotten.
    pub(crate) is_partial: bool,
    /// The position of the next removal.
    pub(crate) end: u64,
}

impl Removals {
    /// Adds removals. Returns the number of entries added. `all_before`: no record with a lower number was left.
    pub(super) fn note(&mut self, removed: &[Shown], all_before: Option<u64>) -> u64 {
        let before = self.count;
        let all = all_before.map(|end| Removal::All { end });
        let removed = removed
            .iter()
            .map(|Shown { number, message }| Removal::Record { id: message.id(), number: *number });
        for removal in removed.chain(all) {
            if self.last.len() == REMEMBERED {
                self.last.pop_front();
            }
            self.last.push_back(removal);
            self.count += 1;
        }
        self.count - before
    }

    /// From a position on; empty after the last.
    fn from(&self, position: u64) -> Removed {
        let wanted = self.count.saturating_sub(position);
        let known = wanted.min(self.last.len() as u64);
        let removals = self.last.iter().skip(self.last.len() - known as usize).copied().collect();
        Removed { removals, is_partial: known < wanted, end: self.count }
    }

    fn number_of(&self, id: RecordId) -> Option<u64> {
        self.last.iter().rev().find_map(|removal| match removal {
            Removal::Record { id: removed, number } if *removed == id => Some(*number),
            _ => None,
        })
    }
}

impl Store {
    /// Waits for a removal at this position of the log, or after it.
    pub(crate) async fn removal(&self, position: u64) {
        self.removals.after(position).await;
    }

    /// Whether a record with this number or a higher one has been filed.
    pub(crate) fn has_filed_from(&self, number: u64) -> bool {
        self.has(Awaited::Number(number))
    }

    /// The removals from this position on.
    pub(crate) fn removals_from(&self, position: u64) -> Removed {
        lock(&self.archive).removals.from(position)
    }

    /// The number of a record that readers have removed; only the last ones are remembered.
    pub(crate) fn number_of_removed(&self, id: RecordId) -> Option<u64> {
        lock(&self.archive).removals.number_of(id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::records::Message;
    use crate::records::message::sample;

    #[test]
    fn the_last_removals_are_remembered_and_others_counted() {
        let mail = |session| Message { session_id: session, ..sample::mail("a@example.com", &[], "\r\n") };
        let shown = |number| Shown { number, message: Arc::new(mail(number)) };
        let mails: Vec<_> = (0..REMEMBERED as u64 + 10).map(shown).collect();
        let mut removals = Removals::default();
        assert_eq!(removals.note(&mails[..5], None), 5);
        let Removed { removals: last, is_partial, end } = removals.from(3);
        let entry = |Shown { number, message }: &Shown| Removal::Record { id: message.id(), number: *number };
        let expected: Vec<_> = mails[3..5].iter().map(entry).collect();
        assert_eq!((last, is_partial, end), (expected, false, 5));
        assert_eq!(removals.note(&mails[5..], Some(9000)), REMEMBERED as u64 + 6);
        assert_eq!(removals.from(5).removals.last(), Some(&Removal::All { end: 9000 }));
        assert!(removals.from(5).is_partial && !removals.from(20).is_partial);
        assert_eq!(removals.number_of(mails[5].message.id()), None, "forgotten");
        assert_eq!(removals.number_of(mails[40].message.id()), Some(40));
        assert_eq!(removals.note(&[], Some(9000)), 1, "of nothing");
    }
}
