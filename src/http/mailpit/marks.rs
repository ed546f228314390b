//! Read marks and tags: the only state of Mailpit's interface apart from the records.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::process::lock;
use crate::records::Message;
use crate::records::store::{Shown, Store};
use crate::smtp::RecordId;

/// Marks that are retained in addition to two for each message. Beyond it, those of messages that no longer exist are dropped,
/// which takes a look at all messages.
const SURPLUS: usize = 1024;
/// Tags of one message, and octets of each.
pub(super) const MOST_TAGS: usize = 100;
pub(super) const LONGEST_TAG: usize = 100;

/// The marks of messages. Only the store knows which messages exist.
#[derive(Debug)]
pub(in crate::http) struct Marks {
    by_id: Mutex<HashMap<RecordId, Mark>>,
    store: Arc<Store>,
}

#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) is_read: bool,
    /// Sorted, each once, ignoring case.
    pub(super) tags: Arc<[String]>,
}

impl Mark {
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| is_same(own, tag))
    }
}

impl Marks {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { by_id: Mutex::default(), store: Arc::clone(store) }
    }

    /// The mark of a message.
    pub(super) fn of(&self, message: &Message) -> Mark {
        self.change(message, |mark| mark.clone())
    }

    /// The marks of these messages, in their order.
    pub(super) fn of_all(&self, all: &[Shown]) -> Vec<Mark> {
        let mut marks = lock(&self.by_id);
        let one =
            |shown: &Shown| marks.entry(shown.message.id()).or_insert_with(|| fresh(&shown.message)).clone();
        let found = all.iter().map(one).collect();
        self.bound(&mut marks);
        found
    }

    /// Changes the mark of a message, and returns what `change` does.
    pub(super) fn change<T>(&self, message: &Message, change: impl FnOnce(&mut Mark) -> T) -> T {
        let mut marks = lock(&self.by_id);
        let changed = change(marks.entry(message.id()).or_insert_with(|| fresh(message)));
        self.bound(&mut marks);
        changed
    }

    /// Drops the marks of messages that no longer exist, if they may be many.
    pub(in crate::http) fn tidy(&self) {
        self.bound(&mut lock(&self.by_id));
    }

    fn bound(&self, marks: &mut HashMap<RecordId, Mark>) {
        if marks.len() > 2 * self.store.visible() + SURPLUS {
            // Under the lock: the mark of a message that arrives meanwhile is set later.
            let present = self.store.snapshot_from(0).records;
            let present: HashSet<_> = present.iter().map(|shown| shown.message.id()).collect();
            marks.retain(|id, _| present.contains(id));
            marks.shrink_to_fit();
        }
    }
}

/// The mark of a new message: its tags are those of its field `X-Tags`, and those after a plus in the addresses of its
/// recipients.
fn fresh(message: &Message) -> Mark {
    let field = message.header("X-Tags").unwrap_or_default();
    let paths = message.forward_paths();
    let plus = paths.iter().filter_map(|path| path.rsplit_once('@')?.0.split_once('+')).map(|(_, tag)| tag);
    let tags = field.split(',').map(str::trim).chain(plus).filter(|tag| is_tag(tag));
    Mark { is_read: false, tags: tidied(tags.map(str::to_owned)).into() }
}

/// Letters, digits, dashes, dots, underscores and spaces.
pub(super) fn is_tag(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-._ ".contains(c);
    !text.trim().is_empty() && text.len() <= LONGEST_TAG && text.chars().all(is_fine)
}

/// Each tag once, ignoring case, sorted.
pub(super) fn tidied(tags: impl Iterator<Item = String>) -> Vec<String> {
    let by_name: BTreeMap<_, _> = tags.map(|tag| (tag.to_ascii_lowercase(), tag)).collect();
    by_name.into_values().take(MOST_TAGS).collect()
}

pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::message::sample;

    fn marks(max_records: usize) -> Marks {
        Marks::new(&Arc::new(Store::new(1, max_records, usize::MAX)))
    }

    #[test]
    fn tags_come_from_the_field_and_from_plus_addresses() {
        let message = sample::mail(
            "a@example.com",
            &["bob+News@example.com", "carol@example.com"],
            "X-Tags: zeta, news , b@d, , Alpha one\r\n\r\n",
        );
        assert_eq!(marks(1).of(&message).tags[..], ["Alpha one", "News", "zeta"]);
    }

    #[test]
    fn marks_of_messages_that_are_gone_are_forgotten_however_they_went() {
        let marks = marks(10);
        for session in 0..3 * SURPLUS as u64 {
            let mail = Message { session_id: session, ..sample::mail("a@example.com", &[], "\r\n") };
            marks.store.finish(0, None, mail.clone(), false);
            assert!(!marks.change(&mail, |mark| std::mem::replace(&mut mark.is_read, true)));
            assert!(lock(&marks.by_id).len() <= SURPLUS + 20, "others are evicted");
        }
        let all = marks.store.snapshot_from(0).records;
        assert!(
            marks.of_all(&all).iter().all(|mark| mark.is_read),
            "those of messages that exist are retained"
        );
        assert_eq!(all.len(), 10);
        marks.store.purge();
        // One that was looked at before it was removed, and is changed afterwards.
        let gone = |session| Message { session_id: session, ..sample::mail("b@example.com", &[], "\r\n") };
        (0..3 * SURPLUS as u64).for_each(|session| marks.change(&gone(session), |_| ()));
        assert!(lock(&marks.by_id).len() <= SURPLUS);
    }
}
