//! A bounded cache of the indexes of parsed mails, so that a second search does not parse again.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use crate::mime::Mail;
use crate::process::lock;
use crate::records::Message;
use crate::records::store::Shown;
use crate::search::Index;

/// Octets of all cached indexes.
const MOST_OCTETS: usize = 128 << 20;

/// The indexes of messages, by their numbers. At the limit those of the newest messages are retained.
#[derive(Debug, Default)]
pub(super) struct Indexes(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_number: BTreeMap<u64, Entry>,
    memory: usize,
}

#[derive(Debug)]
struct Entry {
    /// The indexed message. A changed record is a different `Message`.
    message: Weak<Message>,
    index: Arc<Index>,
    memory: usize,
}

impl Indexes {
    /// The index of a message, which is parsed on first use.
    pub(super) fn index(&self, shown: &Shown) -> Arc<Index> {
        self.index_of(shown, || Mail::parse(shown.message.body()))
    }

    /// As [`index`](Self::index), with a mail that the caller may have parsed already.
    pub(super) fn index_of<M: Borrow<Mail>>(&self, shown: &Shown, mail: impl FnOnce() -> M) -> Arc<Index> {
        let Shown { number, message } = shown;
        if let Some(entry) = lock(&self.0).by_number.get(number)
            && std::ptr::eq(entry.message.as_ptr(), Arc::as_ptr(message))
        {
            return Arc::clone(&entry.index);
        }
        let index = Arc::new(Index::of_mail(message, mail().borrow()));
        let memory = index.memory() + size_of::<Entry>();
        let entry = Entry { message: Arc::downgrade(message), index: Arc::clone(&index), memory };
        lock(&self.0).insert(*number, entry, MOST_OCTETS);
        index
    }

    /// Drops the entries of messages with these numbers.
    pub(super) fn forget(&self, removed: impl Iterator<Item = u64>) {
        let mut entries = lock(&self.0);
        for number in removed {
            if let Some(entry) = entries.by_number.remove(&number) {
                entries.memory -= entry.memory;
            }
        }
    }

    /// Drops the entries of messages that no longer exist.
    pub(super) fn forget_removed(&self) {
        lock(&self.0).sweep();
    }
}

impl Entries {
    fn insert(&mut self, number: u64, entry: Entry, most: usize) {
        self.memory += entry.memory;
        if let Some(replaced) = self.by_number.insert(number, entry) {
            self.memory -= replaced.memory;
        }
        // Not swept here: each insertion into a full cache would look at all entries. Evicted messages are the oldest, too, and
        // the log of removals names the others.
        while self.memory > most
            && let Some((_, oldest)) = self.by_number.pop_first()
        {
            self.memory -= oldest.memory;
        }
    }

    fn sweep(&mut self) {
        self.by_number.retain(|_, entry| entry.message.strong_count() > 0);
        self.memory = self.by_number.values().map(|entry| entry.memory).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::message::sample;

    fn shown(number: u64, text: &str) -> Shown {
        Shown { number, message: Arc::new(sample::mail("a@example.com", &[], text)) }
    }

    #[test]
    fn a_mail_is_parsed_once_unless_it_has_changed() {
        let indexes = Indexes::default();
        let first = shown(1, "Subject: one\r\n\r\n");
        let index = indexes.index(&first);
        assert!(Arc::ptr_eq(&index, &indexes.index(&first)));
        let changed = shown(1, "Subject: two\r\n\r\n");
        assert_eq!(indexes.index(&changed).head.subject.as_deref(), Some("two"));
        drop((first, changed));
        indexes.forget_removed();
        let entries = lock(&indexes.0);
        assert_eq!((entries.by_number.len(), entries.memory), (0, 0));
    }

    #[test]
    fn the_newest_are_remembered_within_the_bound() {
        let mut entries = Entries::default();
        let mails: Vec<_> = (0..10).map(|number| shown(number, "Subject: x\r\n\r\n")).collect();
        for mail in &mails {
            let index = Arc::new(Index::of(&mail.message));
            let entry = Entry { message: Arc::downgrade(&mail.message), index, memory: 10 };
            entries.insert(mail.number, entry, 45);
        }
        assert_eq!(entries.by_number.keys().copied().collect::<Vec<_>>(), [6, 7, 8, 9]);
        assert_eq!(entries.memory, 40);
    }

    /// This would take minutes if each insertion looked at all entries.
    #[test]
    fn a_full_cache_takes_many_more() {
        let Shown { message, .. } = shown(0, "Subject: x\r\n\r\n");
        let index = Arc::new(Index::of(&message));
        let mut entries = Entries::default();
        for number in 0..150_000 {
            let entry = Entry { message: Arc::downgrade(&message), index: Arc::clone(&index), memory: 1 };
            entries.insert(number, entry, 50_000);
        }
        assert_eq!(entries.by_number.keys().next(), Some(&100_000));
    }
}
