//! Replies that have not left: a message is accepted, and a reply is in a record, only when all of it has left this
//! process.

use std::collections::VecDeque;

use super::{Connection, Phase, Transport};
use crate::measure::Asked;
use crate::net::context::Context;
use crate::net::resources::Resources;
use crate::records::Filed;
use crate::smtp::{Portion, Reply, Stage, Unsent};
use crate::time::Timestamp;

/// A queued reply.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct Outgoing {
    pub(super) asked: Asked,
    /// The end of the reply, in octets queued on its connection in all turns.
    pub(super) end: u64,
}

/// Replies and records that wait for the peer to read, or for the end of a delay.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Replies that have not left whole, in the order in which they were queued.
    replies: VecDeque<Outgoing>,
    /// Records that may contain these replies, or a delayed one.
    pub(super) records: VecDeque<Filed>,
    /// Bytes of these records, as measured when they were added.
    records_memory: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.records.is_empty()
    }

    fn push_reply(&mut self, reply: Outgoing) {
        debug_assert!(
            self.replies
                .back()
                .is_none_or(|last| last.end < reply.end && last.asked.number <= reply.asked.number),
            "replies leave in the order in which they are made"
        );
        self.replies.push_back(reply);
    }

    /// Removes the first reply if it ends within the first `left` octets.
    fn take_reply_before(&mut self, left: u64) -> Option<Asked> {
        self.replies.front().filter(|reply| reply.end <= left)?;
        self.replies.pop_front().map(|reply| reply.asked)
    }

    pub(super) fn push_record(&mut self, filed: Filed) {
        self.records_memory += filed.memory;
        self.records.push_back(filed);
    }

    /// Removes the first record if `is_taken` returns true for it.
    pub(super) fn take_record_if(&mut self, is_taken: impl FnOnce(&Filed) -> bool) -> Option<Filed> {
        self.records.front().filter(|filed| is_taken(filed))?;
        let filed = self.records.pop_front()?;
        self.records_memory -= filed.memory;
        Some(filed)
    }

    /// # Panics
    /// If this can't belong to a connection of which so many octets were queued, so many of these have left, and the
    /// delayed reply has this number.
    pub(super) fn assert_consistent(&self, left: u64, queued: u64, delayed: u32) {
        assert!(!self.is_empty(), "it is dropped when nothing waits");
        assert!(self.replies.iter().is_sorted_by_key(|reply| reply.end), "replies leave in order");
        let ends = self.replies.front().zip(self.replies.back());
        if let Some((first, last)) = ends {
            assert!(first.end > left, "the first ends at {}, and {left} octets have left", first.end);
            assert!(last.end <= queued, "the last ends at {}, beyond {queued}", last.end);
            assert!(last.asked.number <= delayed, "{last:?} is behind the delayed reply {delayed}");
        }
        let memory = self.records.iter().map(|filed| filed.memory).sum::<usize>();
        assert_eq!(memory, self.records_memory, "memory of the records that wait");
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.replies.capacity() * size_of::<Outgoing>()
            + self.records.capacity() * size_of::<Filed>()
            + self.records_memory
    }
}

impl<T: Transport> Connection<T> {
    /// Settles the replies that had left at the time `at`; the others wait.
    pub(super) fn note_sent(&mut self, context: &Context, resources: &mut Resources, at: Timestamp) {
        let left = self.left();
        let mut accepted = 0;
        while let Some(asked) = self.waiting.as_mut().and_then(|waiting| waiting.take_reply_before(left)) {
            accepted += self.note_reply(context, resources, at, &asked);
        }
        let mut outgoing = std::mem::take(&mut resources.outgoing);
        for reply in outgoing.drain(..) {
            if reply.end <= left {
                accepted += self.note_reply(context, resources, at, &reply.asked);
            } else {
                self.waiting.get_or_insert_default().push_reply(reply);
            }
        }
        resources.outgoing = outgoing;
        self.settle_records(context, resources);
        context.counters.note_messages(accepted);
    }

    /// Settles a reply that has left. Returns how many messages it accepts.
    fn note_reply(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        at: Timestamp,
        asked: &Asked,
    ) -> u64 {
        self.probe.note_reply(&mut resources.gathering.stats, at, asked);
        if asked.stage == Stage::Data {
            // The data timeout begins with the 354.
            self.data_deadline = resources.now.after(context.settings().data_timeout);
        }
        u64::from(asked.accepts.is_some())
    }

    /// The first queued reply that has not left whole.
    pub(super) fn first_unsent(&self) -> Option<Asked> {
        self.waiting.as_deref()?.replies.front().map(|reply| reply.asked)
    }

    /// Number of the last settled reply: it and all earlier ones have left, or will never be sent.
    pub(super) fn last_sent(&self) -> u32 {
        match (self.first_unsent(), &self.phase) {
            (Some(asked), _) => asked.number.saturating_sub(1),
            (None, Phase::Delayed(delayed)) => delayed.asked.number.saturating_sub(1),
            (None, _) => self.last_reply,
        }
    }

    /// Queues a reply in place of a delayed one.
    pub(super) fn answer_instead(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        asked: Asked,
        reply: &Reply,
    ) {
        let stats = &mut resources.gathering.stats;
        match reply.code() {
            Some(code) => self.probe.note_instead(stats, resources.now, &asked, code),
            None => self.probe.note_unsent(stats, &asked),
        }
        self.withdraw(context, resources, &Unsent { first: asked.number, instead: Some(reply.clone()) });
        // The new reply is decided now: the delay of the other is no service time.
        let asked = Asked { accepts: None, since: resources.now, ..asked };
        self.answer_asked(resources, asked, reply, Portion::Whole);
    }

    /// Withdraws the replies that have not left; the connection has ended.
    pub(super) fn withdraw_unsent(&mut self, context: &Context, resources: &mut Resources) {
        resources.replies.clear();
        let waiting = self.waiting.iter_mut().flat_map(|waiting| waiting.replies.drain(..));
        let outgoing = waiting.chain(resources.outgoing.drain(..)).map(|reply| reply.asked);
        let delayed = match &self.phase {
            Phase::Delayed(delayed) => Some(delayed.asked),
            _ => None,
        };
        let unsent: Vec<Asked> = outgoing.chain(delayed).collect();
        for asked in &unsent {
            self.probe.note_unsent(&mut resources.gathering.stats, asked);
        }
        if let Some(&Asked { number: first, stage, since, .. }) = unsent.first() {
            if self.peer_closed || self.is_reset {
                self.probe.note_giving_up(stage, resources.now.since(since));
            }
            self.withdraw(context, resources, &Unsent { first, instead: None });
        }
    }
}
