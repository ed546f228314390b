//! Read marks and tags: the only things that Mailpit's interface has beside the records.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::process::lock;
use crate::records::Message;
use crate::records::store::Shown;
use crate::smtp::RecordId;

/// Marks of messages that are gone are forgotten when there are so many more than messages.
const SURPLUS: usize = 1024;
/// Tags of one message, and octets of each.
pub(super) const MOST_TAGS: usize = 100;
pub(super) const LONGEST_TAG: usize = 100;

/// What is known of messages beside their records, by their ids.
#[derive(Debug, Default)]
pub(in crate::http) struct Marks(Mutex<HashMap<RecordId, Mark>>);

#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) is_read: bool,
    /// In the order of the alphabet, each once whatever its case.
    pub(super) tags: Arc<[String]>,
}

impl Mark {
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| is_same(own, tag))
    }
}

impl Marks {
    /// The mark of a message.
    pub(super) fn of(&self, message: &Message) -> Mark {
        lock(&self.0).entry(message.id()).or_insert_with(|| fresh(message)).clone()
    }

    /// The marks of all messages that there are, in their order. Those of others are forgotten if there are many.
    pub(super) fn of_all(&self, all: &[Shown]) -> Vec<Mark> {
        let mut marks = lock(&self.0);
        let one =
            |shown: &Shown| marks.entry(shown.message.id()).or_insert_with(|| fresh(&shown.message)).clone();
        let found = all.iter().map(one).collect();
        if marks.len() > all.len() + SURPLUS {
            let present: std::collections::HashSet<_> = all.iter().map(|shown| shown.message.id()).collect();
            marks.retain(|id, _| present.contains(id));
        }
        found
    }

    /// Forgets the marks of messages that were removed.
    pub(in crate::http) fn forget(&self, removed: impl Iterator<Item = RecordId>) {
        let mut marks = lock(&self.0);
        removed.for_each(|id| _ = marks.remove(&id));
    }

    /// Changes the mark of a message.
    pub(super) fn change(&self, message: &Message, change: impl FnOnce(&mut Mark)) {
        change(lock(&self.0).entry(message.id()).or_insert_with(|| fresh(message)));
    }
}

/// The mark of a message that nobody has looked at: its tags are those of its field `X-Tags`, and what stands behind a plus in
/// the addresses that it was sent to.
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

/// Each tag once, whatever its case, in order.
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

    #[test]
    fn tags_come_from_the_field_and_from_plus_addresses() {
        let message = sample::mail(
            "a@example.com",
            &["bob+News@example.com", "carol@example.com"],
            "X-Tags: zeta, news , b@d, , Alpha one\r\n\r\n",
        );
        assert_eq!(Marks::default().of(&message).tags[..], ["Alpha one", "News", "zeta"]);
    }

    #[test]
    fn marks_of_messages_that_are_gone_are_forgotten() {
        let marks = Marks::default();
        let mail = |session| {
            let message = Message { session_id: session, ..sample::mail("a@example.com", &[], "\r\n") };
            Shown { number: session, message: Arc::new(message) }
        };
        let mails: Vec<_> = (0..2 * SURPLUS as u64).map(mail).collect();
        marks.change(&mails[0].message, |mark| mark.is_read = true);
        assert_eq!(marks.of_all(&mails).iter().filter(|mark| mark.is_read).count(), 1);
        assert!(marks.of_all(&mails[..1])[0].is_read, "that of one that is there is retained");
        assert_eq!(lock(&marks.0).len(), 1);
    }
}
