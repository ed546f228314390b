//! Tracks deferrals (4yz replies) until the client retries. One tracker for all shards: a retry may arrive at another
//! shard.
//!
//! The message of a later attempt is known if it has the same ENVID or Message-ID, or is in the same mail transaction;
//! another SIZE means another message. Otherwise only reverse-path and forward-path are known. As long as a single
//! message of the pair was seen, the next attempt counts as a retry, tentatively: a second message revokes that.
//! Attempts that can't be distinguished are only counted.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::fallback::{Attempt, Fallbacks};
use super::refused::Refused;
use super::tries::{Recipient, ServerKey, Tries};
use crate::smtp::MailKey;
use crate::stats::RetryStats;
use crate::time::Timestamp;

/// Most entries. Beyond it the oldest is forgotten: this many take about 14 MiB, and up to 8 MiB more for waits.
const MOST_ENTRIES: usize = 65_536;
/// An attempt this soon at another address of the server continues the previous one: a client tries each of them (RFC
/// 5321 section 5.1).
const NEXT_ADDRESS: Duration = Duration::from_secs(1);
/// Most tentative retries of a pair. A pair with more of them, and no identity, can't be tracked.
const TENTATIVE: usize = 16;

/// The deferrals whose retries are expected, and the figures of all deferrals.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    entries: HashMap<Key, Entry>,
    /// All keys in the order in which they are forgotten: first those without an expected retry, then the oldest.
    order: BTreeMap<(bool, u64), Key>,
    next_number: u64,
    certain: RetryStats,
    tentative: Tentative,
    refused: Refused,
    fallbacks: Fallbacks,
}

/// What is tracked, as hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A message of a sender whose MAIL was deferred, by its ENVID; without one all of them.
    Sender(u64, Option<u64>),
    /// The messages of a pair of reverse-path and forward-path.
    Pair(u64),
    /// One message of a pair and its identity, while another one of the pair is expected too.
    Message(u64, u64),
}

#[derive(Debug, Default)]
struct Entry {
    /// Its position in the order.
    number: u64,
    expected: Option<Deferral>,
    /// Number of expected messages of this pair with separate keys.
    others: u32,
    /// A second message of the pair was seen: attempts without identity are ambiguous.
    is_shared: bool,
    /// The identity of a message of the pair that was delivered or refused permanently.
    over: Option<Option<u64>>,
    /// Tentative waits, in microseconds.
    waits: Vec<u64>,
    /// Recipients that count as retried only because of these.
    retried: u64,
}

/// A deferred recipient.
#[derive(Clone, Copy, Debug)]
struct Deferral {
    /// When the reply was due to leave.
    replied: Timestamp,
    /// The message's identity, and its SIZE.
    id: Option<u64>,
    size: Option<u64>,
    /// The server's address at which it was deferred.
    server: ServerKey,
    /// It was retried before.
    is_retried: bool,
}

/// Attempts of all pairs that count as retries because no other message was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tentative {
    /// Occurrences of each wait, in microseconds.
    waits: BTreeMap<u64, u64>,
    retried: u64,
}

/// The message of an attempt.
#[derive(Clone, Copy, Debug)]
enum Match {
    /// The same message, by its identity.
    Same(Deferral),
    /// The only message of its pair.
    Likely(Deferral),
    /// The same or only one, continued at the next address of the server.
    Continued(Deferral),
    /// An expected one, or another.
    Unclear,
    /// Not an expected one.
    New,
}

impl Retries {
    /// A user and password were refused with 535. Returns whether they had been refused before.
    pub(crate) fn note_refused(&mut self, attempt: u64) -> bool {
        self.refused.note(attempt)
    }

    /// TLS has failed in this session.
    pub(crate) fn note_failed_tls(&mut self, attempt: Attempt, at: Timestamp) {
        self.fallbacks.note_failure(attempt, at);
    }

    /// This session has begun a mail in clear, or TLS. Returns whether TLS has failed in the client's previous session,
    /// shortly before.
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

    /// The figures up to now: certain and tentative ones.
    pub(crate) fn figures(&self) -> (RetryStats, Tentative) {
        (self.certain.clone(), self.tentative.clone())
    }

    /// MAIL has no recipient, and identifies a message only by ENVID.
    fn note_sender(&mut self, tries: &Tries) {
        let MailKey { sender, id, size } = tries.mail;
        let key = Key::Sender(sender, id);
        let before = self.take(key).and_then(|entry| entry.expected);
        let found = before.filter(|before| before.replied < tries.began && !differ(before.size, size));
        match (found, id) {
            (None, _) => {}
            (Some(before), _) if before.is_continued_by(tries) => {}
            (Some(before), Some(_)) => self.identify(tries.began.since(before.replied)),
            (Some(_), None) => self.certain.ambiguous += 1,
        }
        let unanswered = before.filter(|_| found.is_none());
        let deferral = tries.deferred_at.map(|replied| tries.deferral_at(replied));
        if let Some(expected) = deferral.or(unanswered) {
            self.put(key, Entry { expected: Some(expected), ..Entry::default() });
        }
    }

    fn note_recipient(&mut self, tries: &Tries, recipient: &Recipient) {
        let key = Key::Pair(recipient.pair);
        let known = self.take(key);
        if known.is_none() && !recipient.was_deferred {
            return;
        }
        let mut pair = known.unwrap_or_default();
        let found = match self.find(&mut pair, tries, recipient) {
            Match::Same(before) | Match::Likely(before) if before.is_continued_by(tries) => {
                Match::Continued(before)
            }
            found => found,
        };
        let deferral = self.count(&mut pair, found, tries, recipient);
        if let Some(replied) = recipient.deferred_at {
            // The assumed message does not identify it.
            let deferral = Deferral { is_retried: deferral.is_retried, ..tries.deferral_at(replied) };
            self.expect(&mut pair, recipient.pair, deferral);
        }
        if recipient.is_over {
            pair.over = Some(tries.id);
        }
        self.put(key, pair);
    }

    /// Finds the expected message of an attempt, if any, and removes it.
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
        // An attempt that had begun before the reply left was not caused by it.
        let is_other = differ(expected.id, tries.id) || differ(expected.size, tries.mail.size);
        if is_other || expected.replied >= tries.began {
            self.share(pair);
            return Match::New;
        }
        pair.expected = None;
        if pair.is_shared { Match::Unclear } else { Match::Likely(expected) }
    }

    /// Counts an attempt, and a recipient that was deferred for the first time. Returns the state of the recipient.
    fn count(&mut self, pair: &mut Entry, found: Match, tries: &Tries, recipient: &Recipient) -> Deferral {
        let new = tries.deferral_at(recipient.first);
        let mut deferral = match found {
            Match::Same(before) => {
                self.identify(recipient.first.since(before.replied));
                self.certain.retried += u64::from(!before.is_retried);
                Deferral { is_retried: true, ..before }
            }
            Match::Likely(before) => {
                let wait = recipient.first.since(before.replied);
                self.count_tentatively(pair, wait, !before.is_retried);
                Deferral { is_retried: true, ..before }
            }
            Match::Continued(before) => before,
            // Not counted as deferred, and so never as retried.
            Match::Unclear => {
                self.certain.ambiguous += 1;
                Deferral { is_retried: true, ..new }
            }
            Match::New => {
                self.certain.deferred += u64::from(recipient.was_deferred);
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

    /// Counts an attempt as a tentative retry.
    fn count_tentatively(&mut self, pair: &mut Entry, wait: Duration, is_first: bool) {
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

    /// Revokes and returns the tentative retries of a pair.
    fn revoke(&mut self, pair: &mut Entry) -> Tentative {
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

    /// Makes the tentative retries of a pair certain.
    fn confirm(&mut self, pair: &mut Entry) {
        self.revoke(pair).add_to(&mut self.certain);
    }

    /// A second message of a pair was seen: its tentative retries may belong to either.
    fn share(&mut self, pair: &mut Entry) {
        pair.is_shared = true;
        let own = self.revoke(pair);
        self.certain.ambiguous += own.waits.values().sum::<u64>();
        if let Some(expected) = pair.expected.as_mut().filter(|_| own.retried > 0) {
            expected.is_retried = false;
        }
    }

    /// Expects a retry of a deferral.
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
    /// A deferral by a reply that left at this time.
    fn deferral_at(&self, replied: Timestamp) -> Deferral {
        let Self { id, mail: MailKey { size, .. }, server, .. } = *self;
        Deferral { replied, id, size, server, is_retried: false }
    }
}

impl Deferral {
    /// The transaction continues the deferred attempt at another address.
    fn is_continued_by(&self, tries: &Tries) -> bool {
        self.server != tries.server && tries.began.since(self.replied) < NEXT_ADDRESS
    }
}

/// Both are known, and differ.
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
