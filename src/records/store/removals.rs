//! Removals of records by readers: by a request of the control plane, whichever interface it used, or a call of the library. All
//! followers of removals read this one log.

use std::collections::VecDeque;

use super::{Extent, Store};
use crate::process::lock;
use crate::records::Message;
use crate::smtp::RecordId;

/// Removals that are remembered, the last ones.
const REMEMBERED: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Record {
        id: RecordId,
        /// In the order of all records.
        number: u64,
    },
    /// A caller has removed all: the records are before this.
    All,
}

/// The log of removals.
#[derive(Debug, Default)]
pub(super) struct Removals {
    last: VecDeque<Removal>,
    /// Of all, those that are forgotten among them.
    count: u64,
}

/// The removals behind a position.
#[derive(Debug)]
pub(crate) struct Removed {
    /// The oldest first.
    pub(crate) removals: Vec<Removal>,
    /// There were more, which are forgotten; they are older.
    pub(crate) is_partial: bool,
    /// The position of the next removal.
    pub(crate) end: u64,
}

impl Removals {
    /// Adds removals, and returns the position of the next one.
    pub(super) fn note<'r>(
        &mut self,
        removed: impl Iterator<Item = (u64, &'r Message)>,
        extent: Extent,
    ) -> u64 {
        let all = (extent == Extent::All).then_some(Removal::All);
        let removed = removed.map(|(number, message)| Removal::Record { id: message.id(), number });
        for removal in removed.chain(all) {
            if self.last.len() == REMEMBERED {
                self.last.pop_front();
            }
            self.last.push_back(removal);
            self.count += 1;
        }
        self.count
    }

    /// From a position on; behind the last there are none.
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
    use super::*;
    use crate::records::message::sample;

    #[test]
    fn the_last_removals_are_remembered_and_others_counted() {
        let mail = |session| Message { session_id: session, ..sample::mail("a@example.com", &[], "\r\n") };
        let mails: Vec<_> = (0..REMEMBERED as u64 + 10).map(mail).collect();
        let numbered = || mails.iter().map(|mail| (mail.session_id, mail));
        let mut removals = Removals::default();
        assert_eq!(removals.note(numbered().take(5), Extent::Chosen), 5);
        let Removed { removals: last, is_partial, end } = removals.from(3);
        let expected: Vec<_> = numbered()
            .skip(3)
            .take(2)
            .map(|(number, mail)| Removal::Record { id: mail.id(), number })
            .collect();
        assert_eq!((last, is_partial, end), (expected, false, 5));
        assert_eq!(removals.note(numbered().skip(5), Extent::All), REMEMBERED as u64 + 11);
        assert_eq!(removals.from(5).removals.last(), Some(&Removal::All));
        assert!(removals.from(5).is_partial && !removals.from(20).is_partial);
        assert_eq!(removals.number_of(mails[5].id()), None, "forgotten");
        assert_eq!(removals.number_of(mails[40].id()), Some(40));
        assert_eq!(removals.note(std::iter::empty(), Extent::All), REMEMBERED as u64 + 12, "of nothing");
    }
}
