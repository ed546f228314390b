//! The records of a connection, and the memory that it is charged for.

use super::unsent::Waiting;
use super::{Connection, Phase, Transport};
use crate::measure::Tries;
use crate::net::buffer::Buffer;
use crate::net::context::Context;
use crate::net::resources::Resources;
use crate::records::{Endpoint, Message};
use crate::smtp::{Expect, Filing, LastRecord, Received, Record, Unsent};
use crate::time::wall_time;

/// The records of a connection.
impl<T: Transport> Connection<T> {
    /// Stores the time at which a message was accepted in its record.
    pub(super) fn date_message(&mut self, context: &Context, message: Received) {
        if message.is_first() || message.is_accepted {
            self.accepted_at = (message.is_accepted && !context.records.are_unread()).then(wall_time);
        }
    }

    pub(super) fn file(&mut self, context: &Context, resources: &mut Resources, filing: Filing) {
        match filing {
            Filing::Unchanged => {}
            Filing::Accepted if context.records.show_running() => {
                if let Some(message) = self.running_message(context) {
                    self.running = context.records.accept(self.running, message);
                }
            }
            Filing::Changed => self.is_shown_stale = true,
            Filing::Accepted => {}
            Filing::Finished(record) => self.file_finished(context, resources, *record, false),
        }
    }

    /// Updates the copy of a changed record in the store, if readers can already see it.
    pub(super) fn update_shown(&mut self, context: &Context) {
        if std::mem::take(&mut self.is_shown_stale)
            && let Some(key) = self.running
            && let Some(message) = self.running_message(context)
        {
            context.records.update(key, message);
        }
    }

    fn running_message(&mut self, context: &Context) -> Option<Message> {
        let record = self.session.record()?.clone();
        Some(self.message(context, record))
    }

    /// Files the last record of the session. Does nothing the second time.
    pub(super) fn finish(&mut self, context: &Context, resources: &mut Resources) {
        if self.is_filed {
            return;
        }
        self.is_filed = true;
        // No message is being received any more: the data deadline must not end the connection.
        self.expects = Expect::Command;
        // A record from before an unfinished handshake is discarded, or was filed already.
        let last =
            self.session.finish(context.policy()).filter(|_| !matches!(self.phase, Phase::Securing(_)));
        match last {
            Some(LastRecord { record, has_newer_mail }) => {
                self.file_finished(context, resources, record, has_newer_mail);
            }
            None => context.records.forget(self.running.take()),
        }
    }

    fn file_finished(&mut self, context: &Context, resources: &mut Resources, record: Record, is_news: bool) {
        if !context.records.are_unread() {
            let message = self.message(context, record);
            let (key, last) = (self.running.take(), self.last_reply);
            resources.filed.push(context.records.finish(key, message, is_news, last));
        }
    }

    /// Removes replies that will never leave whole from all records.
    pub(super) fn withdraw(&mut self, context: &Context, resources: &mut Resources, unsent: &Unsent) {
        let waiting = self.waiting.iter_mut().flat_map(|waiting| &mut waiting.records);
        for filed in waiting.chain(&mut resources.filed) {
            context.records.withdraw(filed, unsent);
        }
        self.session.withdraw(unsent);
        self.is_shown_stale = true;
    }

    /// Captures the records whose replies have all left; the others wait.
    pub(super) fn settle_records(&mut self, context: &Context, resources: &mut Resources) {
        if self.waiting.is_none() && resources.filed.is_empty() {
            return;
        }
        let last_sent = self.last_sent();
        if let Some(waiting) = &mut self.waiting {
            while let Some(filed) = waiting.take_record_if(|filed| filed.is_certain(last_sent)) {
                context.records.settle(filed, &context.budget);
            }
        }
        for filed in resources.filed.drain(..) {
            if filed.is_certain(last_sent) {
                context.records.settle(filed, &context.budget);
            } else {
                self.waiting.get_or_insert_default().push_record(filed);
            }
        }
        self.waiting.take_if(|waiting| waiting.is_empty());
    }

    /// Captures the remaining records of a connection that has ended.
    pub(super) fn settle_all_records(&mut self, context: &Context, resources: &mut Resources) {
        let waiting = self.waiting.take().map(|waiting| waiting.records);
        for filed in waiting.into_iter().flatten().chain(resources.filed.drain(..)) {
            context.records.settle(filed, &context.budget);
        }
    }

    fn message(&mut self, context: &Context, record: Record) -> Message {
        let local_addr = self.local_addr();
        Message {
            accepted_at: self.accepted_at.filter(|_| record.msg),
            record,
            server: context.counters.tag(),
            session_id: self.origin.session_id,
            peer_addr: self.origin.peer_addr.clone(),
            local_addr,
            proxied: self.origin.proxied.clone(),
            protocol: self.origin.protocol,
            inbox: self.origin.inbox.clone(),
            tls: self.stream.tls_session().cloned(),
            connected_at: self.origin.connected_at,
            connected: self.origin.connected,
        }
    }

    /// The address that the client connected to. If the listener is bound to a wildcard address, the system is asked
    /// once.
    pub(super) fn local_addr(&mut self) -> Endpoint {
        if self.origin.local_addr.ip().is_some_and(|ip| ip.is_unspecified())
            && let Ok(address) = self.stream.local_addr()
        {
            self.origin.local_addr = address;
        }
        self.origin.local_addr.clone()
    }

    /// Sets how much more memory the session may use.
    pub(super) fn admit_memory(&mut self, context: &Context) {
        self.session.set_memory_left(Some(context.budget.left()));
    }

    /// Charges for unused input and for replies that the client does not read, including what the transport retains.
    pub(super) fn charge_memory(&mut self, context: &Context) {
        let held = self.held_memory();
        context.budget.set(&mut self.charge, held);
    }

    /// Bytes of memory that grow with what the client does. Memory shared with the store counts in full.
    fn held_memory(&self) -> usize {
        let buffers = [&self.input, &self.output].into_iter().flatten().map(Buffer::memory);
        let waiting = self.waiting.as_deref().map_or(0, Waiting::memory);
        let tries = self.tries.as_deref().map_or(0, Tries::memory);
        let check = if let Phase::Checking(checking) = &self.phase { checking.memory() } else { 0 };
        self.session.held_memory() + self.stream.memory() + buffers.sum::<usize>() + waiting + tries + check
    }
}
