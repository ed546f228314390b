//! Replies that have not left: a message is accepted, and a reply is in a record, only once the socket took all of it.

use std::collections::VecDeque;

use super::{Connection, Phase, Transport};
use crate::measure::Asked;
use crate::net::resources::Resources;
use crate::net::shard::Context;
use crate::records::Filed;
use crate::smtp::{Portion, Reply, Stage, Unsent};
use crate::time::Timestamp;

/// A reply on its way.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct Outgoing {
    pub(super) asked: Asked,
    /// Where it ends: among the replies of its turn, and once it [waits](Waiting) among all that waited.
    pub(super) end: usize,
}

/// What waits for the peer to take replies, or for a delay to be over.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Replies of which the socket has not taken all.
    replies: VecDeque<Outgoing>,
    /// Records that may hold them, or a reply that is held back.
    pub(super) records: VecDeque<Filed>,
    /// Bytes of these in memory, when they were put here.
    records_memory: usize,
    /// Octets of replies that waited and have left.
    left: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.records.is_empty()
    }

    pub(super) fn push_record(&mut self, filed: Filed) {
        self.records_memory += filed.memory;
        self.records.push_back(filed);
    }

    /// Takes out the first record, where that is so.
    pub(super) fn take_record_if(&mut self, is_taken: impl FnOnce(&Filed) -> bool) -> Option<Filed> {
        self.records.front().filter(|filed| is_taken(filed))?;
        let filed = self.records.pop_front()?;
        self.records_memory -= filed.memory;
        Some(filed)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.replies.capacity() * size_of::<Outgoing>()
            + self.records.capacity() * size_of::<Filed>()
            + self.records_memory
    }
}

impl<T: Transport> Connection<T> {
    /// Of the replies of this turn so many octets have left, at this time. The others wait.
    pub(super) fn note_written(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        at: Timestamp,
        count: usize,
    ) {
        let mut accepted = 0;
        let mut outgoing = std::mem::take(&mut resources.outgoing);
        for Outgoing { asked, end } in outgoing.drain(..) {
            if end <= count {
                accepted += self.note_reply(context, resources, at, &asked);
            } else {
                let before = self.output.as_ref().map_or(0, |output| output.bytes().len());
                let waiting = self.waiting.get_or_insert_default();
                let end = waiting.left + before + end - count;
                waiting.replies.push_back(Outgoing { asked, end });
            }
        }
        resources.outgoing = outgoing;
        self.settle_records(context, resources);
        context.counters.note_messages(accepted);
    }

    /// A reply has left. Returns how many messages it accepts.
    fn note_reply(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        at: Timestamp,
        asked: &Asked,
    ) -> u64 {
        self.probe.note_reply(&mut resources.gathering.stats, at, asked);
        if asked.stage == Stage::Data {
            // The time for the message begins with its 354.
            self.data_deadline = resources.now.after(context.data_timeout);
        }
        u64::from(asked.accepts.is_some())
    }

    /// So many octets that waited have left, at this time.
    pub(super) fn note_drained(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        at: Timestamp,
        count: usize,
    ) {
        let Some(waiting) = &mut self.waiting else { return };
        waiting.left += count;
        let whole = waiting.replies.partition_point(|reply| reply.end <= waiting.left);
        let left: Vec<Outgoing> = waiting.replies.drain(..whole).collect();
        let mut accepted = 0;
        for Outgoing { asked, .. } in &left {
            accepted += self.note_reply(context, resources, at, asked);
        }
        self.settle_records(context, resources);
        context.counters.note_messages(accepted);
    }

    /// Number of the last reply that has left, as all before it have, or of which nothing will be sent.
    pub(super) fn last_sent(&self) -> u32 {
        let waiting = self.waiting.as_deref().and_then(|waiting| waiting.replies.front());
        match (waiting, &self.phase) {
            (Some(Outgoing { asked, .. }), _) => asked.number.saturating_sub(1),
            (None, Phase::Delayed(delayed)) => delayed.asked.number.saturating_sub(1),
            (None, _) => self.session.last_reply(),
        }
    }

    /// Sends this in place of a reply that was held back.
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
        self.answer_asked(resources, Asked { accepts: None, ..asked }, reply, Portion::Whole);
    }

    /// The connection is over: what has not left never will.
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
        if let Some(Asked { number: first, .. }) = unsent.first() {
            self.withdraw(context, resources, &Unsent { first: *first, instead: None });
        }
    }
}
