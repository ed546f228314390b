//! Follows what was put off with a 4yz reply, until it is tried again. One for all shards: a client may connect to
//! another one the next time.
//!
//! Which message a later try is of is known where it has the same ENVID or Message-ID, or is made in the same mail
//! transaction; one of another SIZE is of another message. Otherwise only reverse-path and forward-path are known,
//! and they identify no message once there is a second one of the pair. As long as there is none, the next try is taken
//! for a retry, and taken back when a second message appears. Tries that can't be distinguished are only counted.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::fallback::{Attempt, Fallbacks};
use super::refused::Refused;
use super::tries::{Recipient, ServerKey, Tries};
use crate::smtp::MailKey;
use crate::stats::RetryStats;
use crate::time::Timestamp;

/// Entries at a time. Beyond it the oldest is forgotten: so many take about 14 MiB, and up to 8 more for waits.
const MOST_ENTRIES: usize = 65_536;
/// A try so soon at another address of the server continues the one before: a client tries each of them (RFC 5321
/// section 5.1).
const NEXT_ADDRESS: Duration = Duration::from_secs(1);
/// Tries of a pair that may be taken back. A pair with more of them, and no identity, can't be followed.
const TENTATIVE: usize = 16;

/// What was put off and is expected again, and the figures of all that was.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    entries: HashMap<Key, Entry>,
    /// All keys in the order in which they are forgotten: first those of which nothing is expected, then the oldest.
    order: BTreeMap<(bool, u64), Key>,
    next_number: u64,
    certain: RetryStats,
    tentative: Tentative,
    refused: Refused,
    fallbacks: Fallbacks,
}

/// What is followed, as hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A message of a sender whose MAIL was put off, by its ENVID; without one all of them.
    Sender(u64, Option<u64>),
    /// The messages of a pair of reverse-path and forward-path.
    Pair(u64),
    /// One message of a pair and its identity, while another one of the pair is expected.
    Message(u64, u64),
}

#[derive(Debug, Default)]
struct Entry {
    /// Its place in the order.
    number: u64,
    expected: Option<Deferral>,
    /// Messages of this pair that are expected beside it, by keys of their own.
    others: u32,
    /// A second message of the pair was seen: what has no identity may be any of them.
    is_shared: bool,
    /// The identity of a message of the pair that was delivered or refused permanently.
    over: Option<Option<u64>>,
    /// Waits that may be taken back, in microseconds.
    waits: Vec<u64>,
    /// Recipients that are tried again by these alone.
    retried: u64,
}

/// A recipient that was put off.
#[derive(Clone, Copy, Debug)]
struct Deferral {
    /// When the reply was to leave.
    replied: Timestamp,
    /// The message's identity, and its SIZE.
    id: Option<u64>,
    size: Option<u64>,
    /// The address of the server that put it off.
    server: ServerKey,
    /// It was tried again before.
    is_retried: bool,
}

/// The tries of all pairs that were taken for retries because there was no other message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tentative {
    /// How often each wait, in microseconds, was seen.
    waits: BTreeMap<u64, u64>,
    retried: u64,
}

/// What a try is of.
#[derive(Clone, Copy, Debug)]
enum Match {
    /// The same message, by its identity.
    Same(Deferral),
    /// The only message of its pair.
    Likely(Deferral),
    /// The same, or the only one, at the next address of the server.
    GoesOn(Deferral),
    /// One that is expected, or another.
    Unclear,
    /// None that is expected.
    New,
}

impl Retries {
    /// A user and password were refused with 535. Returns whether they were before.
    pub(crate) fn note_refused(&mut self, attempt: u64) -> bool {
        self.refused.note(attempt)
    }

    /// TLS did not come about in this session.
    pub(crate) fn note_failed_tls(&mut self, attempt: Attempt, at: Timestamp) {
        self.fallbacks.note_failure(attempt, at);
    }

    /// This session has come to mail in clear, or to TLS. Returns whether TLS has failed in the client's one before, shortly
    /// before.
    pub(crate) fn end_failed_tls(&mut self, attempt: Attempt, at: Timestamp) -> bool {
        self.fallbacks.end(attempt, at)
    }

    /// A mail transaction is over.
    pub(crate) fn note(&mut self, tries: &Tries) {
        self.note_sender(tries);
        for recipient in &tries.recipients {
            self.note_recipient(tries, recipient);
        }
    }

    /// The figures up to now: those that are certain, and those that may be taken back.
    pub(crate) fn figures(&self) -> (RetryStats, Tentative) {
        (self.certain.clone(), self.tentative.clone())
    }

    /// MAIL names no recipient, and a message by its ENVID alone.
    fn note_sender(&mut self, tries: &Tries) {
        let MailKey { sender, id, size } = tries.mail;
        let key = Key::Sender(sender, id);
        let before = self.take(key).and_then(|entry| entry.expected);
        let found = before.filter(|before| before.replied < tries.began && !differ(before.size, size));
        match (found, id) {
            (None, _) => {}
            (Some(before), _) if before.goes_on(tries) => {}
            (Some(before), Some(_)) => self.identify(tries.began.since(before.replied)),
            (Some(_), None) => self.certain.ambiguous += 1,
        }
        let unanswered = before.filter(|_| found.is_none());
        let put_off = tries.put_off.map(|replied| tries.put_off_at(replied));
        if let Some(expected) = put_off.or(unanswered) {
            self.put(key, Entry { expected: Some(expected), ..Entry::default() });
        }
    }

    fn note_recipient(&mut self, tries: &Tries, recipient: &Recipient) {
        let key = Key::Pair(recipient.pair);
        let known = self.take(key);
        if known.is_none() && !recipient.was_put_off {
            return;
        }
        let mut pair = known.unwrap_or_default();
        let found = match self.find(&mut pair, tries, recipient) {
            Match::Same(before) | Match::Likely(before) if before.goes_on(tries) => Match::GoesOn(before),
            found => found,
        };
        let deferral = self.count(&mut pair, found, tries, recipient);
        if let Some(replied) = recipient.put_off {
            // The message that it was taken for does not identify it.
            let deferral = Deferral { is_retried: deferral.is_retried, ..tries.put_off_at(replied) };
            self.expect(&mut pair, recipient.pair, deferral);
        }
        if recipient.is_over {
            pair.over = Some(tries.id);
        }
        self.put(key, pair);
    }

    /// Finds which expected message a try is of, if any, and removes that.
    fn find(&mut self, pair: &mut Entry, tries: &Tries, recipient: &Recipient) -> Match {
        let is_this = |id: Option<u64>| id.is_some() && id == tries.id;
        let other = tries.id.and_then(|id| self.take(Key::Message(recipient.pair, id)));
        if let Some(same) = other.and_then(|entry| entry.expected) {
            pair.others = pair.others.saturating_sub(1);
            return Match::Same(same);
        }
        let Some(expected) = pair.expected else {
            if pair.over.is_some_and(|over| !is_this(over)) {
                self.share(pair);
            }
            let may_be_another = pair.others > 0 && tries.id.is_none();
            return if may_be_another { Match::Unclear } else { Match::New };
        };
        if is_this(expected.id) {
            pair.expected = None;
            return Match::Same(expected);
        }
        // A try that had begun when the reply left was not made because of it.
        let is_other = differ(expected.id, tries.id) || differ(expected.size, tries.mail.size);
        if is_other || expected.replied >= tries.began {
            self.share(pair);
            return Match::New;
        }
        pair.expected = None;
        if pair.is_shared { Match::Unclear } else { Match::Likely(expected) }
    }

    /// Counts a try, and a recipient that was put off for the first time. Returns what is known of the recipient.
    fn count(&mut self, pair: &mut Entry, found: Match, tries: &Tries, recipient: &Recipient) -> Deferral {
        let new = tries.put_off_at(recipient.first);
        let mut deferral = match found {
            Match::Same(before) => {
                self.identify(recipient.first.since(before.replied));
                self.certain.retried += u64::from(!before.is_retried);
                Deferral { is_retried: true, ..before }
            }
            Match::Likely(before) => {
                let wait = recipient.first.since(before.replied);
                self.suppose(pair, wait, !before.is_retried);
                Deferral { is_retried: true, ..before }
            }
            Match::GoesOn(before) => before,
            // Not counted as put off, and so never as retried.
            Match::Unclear => {
                self.certain.ambiguous += 1;
                Deferral { is_retried: true, ..new }
            }
            Match::New => {
                self.certain.deferred += u64::from(recipient.was_put_off);
                new
            }
        };
        for wait in &recipient.again {
            self.identify(*wait);
            self.certain.retried += u64::from(!std::mem::replace(&mut deferral.is_retried, true));
        }
        deferral
    }

    fn identify(&mut self, wait: Duration) {
        self.certain.after.add(wait);
        self.certain.identified.add(wait);
    }

    /// Takes a try for a retry until more is known.
    fn suppose(&mut self, pair: &mut Entry, wait: Duration, is_first: bool) {
        if pair.waits.len() >= TENTATIVE {
            self.certain.ambiguous += 1;
            return;
        }
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        pair.waits.push(wait);
        pair.retried += u64::from(is_first);
        *self.tentative.waits.entry(wait).or_default() += 1;
        self.tentative.retried += u64::from(is_first);
    }

    /// Takes back and returns what was supposed of a pair.
    fn take_back(&mut self, pair: &mut Entry) -> Tentative {
        let mut own = Tentative { waits: BTreeMap::new(), retried: std::mem::take(&mut pair.retried) };
        self.tentative.retried -= own.retried;
        for wait in std::mem::take(&mut pair.waits) {
            *own.waits.entry(wait).or_default() += 1;
            if let MapEntry::Occupied(mut all) = self.tentative.waits.entry(wait) {
                *all.get_mut() -= 1;
                if *all.get() == 0 {
                    all.remove();
                }
            }
        }
        own
    }

    /// Makes what was supposed of a pair certain.
    fn confirm(&mut self, pair: &mut Entry) {
        self.take_back(pair).add_to(&mut self.certain);
    }

    /// A second message of a pair was seen: what was supposed may have been of either.
    fn share(&mut self, pair: &mut Entry) {
        pair.is_shared = true;
        let own = self.take_back(pair);
        self.certain.ambiguous += own.waits.values().sum::<u64>();
        if let Some(expected) = pair.expected.as_mut().filter(|_| own.retried > 0) {
            expected.is_retried = false;
        }
    }

    /// Expects another try of what was put off.
    fn expect(&mut self, pair: &mut Entry, hash: u64, deferral: Deferral) {
        match (pair.expected, deferral.id) {
            (Some(_), Some(id)) => {
                let entry = Entry { expected: Some(deferral), ..Entry::default() };
                pair.others += u32::from(self.take(Key::Message(hash, id)).is_none());
                self.put(Key::Message(hash, id), entry);
            }
            _ => pair.expected = Some(deferral),
        }
    }

    fn take(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        let listed = self.order.remove(&entry.place());
        debug_assert_eq!(listed, Some(key), "each entry has its place in the order");
        Some(entry)
    }

    fn put(&mut self, key: Key, mut entry: Entry) {
        if self.entries.len() >= MOST_ENTRIES
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.forget(oldest);
        }
        entry.number = self.next_number;
        self.next_number += 1;
        debug_assert!(entry.waits.len() <= TENTATIVE, "{} waits of a pair", entry.waits.len());
        self.order.insert(entry.place(), key);
        self.entries.insert(key, entry);
        debug_assert_eq!(self.order.len(), self.entries.len(), "each entry has its place in the order");
        debug_assert!(self.entries.len() <= MOST_ENTRIES, "{} entries", self.entries.len());
    }

    fn forget(&mut self, key: Key) {
        let Some(mut entry) = self.entries.remove(&key) else { return };
        self.confirm(&mut entry);
        match key {
            Key::Sender(..) => return,
            Key::Pair(_) => {}
            Key::Message(hash, _) => {
                if let Some(pair) = self.entries.get_mut(&Key::Pair(hash)) {
                    pair.others = pair.others.saturating_sub(1);
                }
            }
        }
        self.certain.forgotten += u64::from(entry.expected.is_some());
    }
}

impl Tries {
    /// Put off by a reply that left at this time.
    fn put_off_at(&self, replied: Timestamp) -> Deferral {
        let Self { id, mail: MailKey { size, .. }, server, .. } = *self;
        Deferral { replied, id, size, server, is_retried: false }
    }
}

impl Deferral {
    /// The transaction continues the try that was put off, at another address.
    fn goes_on(&self, tries: &Tries) -> bool {
        self.server != tries.server && tries.began.since(self.replied) < NEXT_ADDRESS
    }
}

/// Both are known, and not the same.
fn differ(one: Option<u64>, other: Option<u64>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

impl Tentative {
    pub(crate) fn add_to(self, stats: &mut RetryStats) {
        stats.retried += self.retried;
        for (wait, count) in self.waits {
            stats.after.add_times(Duration::from_micros(wait), count);
        }
    }
}

impl Entry {
    fn place(&self) -> (bool, u64) {
        (self.expected.is_some(), self.number)
    }
}

#[cfg(test)]
mod tests;
