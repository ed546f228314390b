//! A check on another thread that a reply depends on.

use super::{Connection, Fate, Manner, Phase, Transport};
use crate::measure::Cause;
use crate::net::context::Context;
use crate::net::resources::Resources;
use crate::net::verifier::Ticket;
use crate::smtp::auth::{Check, Checked};
use crate::time::Timestamp;

/// The check that a session waits for. Dropping this cancels a check that has not begun.
#[derive(Debug)]
pub(super) struct Checking {
    /// When the command came.
    since: Timestamp,
    ticket: Ticket,
}

impl Checking {
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.ticket.memory()
    }
}

impl<T: Transport> Connection<T> {
    /// Waits for a check. The session does nothing else meanwhile.
    pub(super) fn await_check(&mut self, context: &Context, resources: &mut Resources, check: Box<Check>) {
        let ticket = resources.verifier.submit(self.token, check);
        self.phase = Phase::Checking(Box::new(Checking { since: resources.now, ticket }));
        self.deadline = resources.now.after(context.hold_limit);
        if self.peer_closed {
            self.limit_check(context, resources);
        }
    }

    /// Limits the time for the check to begin, since the client has ended its output: it may still read the reply, or
    /// may have gone.
    pub(super) fn limit_check(&mut self, context: &Context, resources: &Resources) {
        if matches!(self.phase, Phase::Checking(_)) {
            self.deadline = resources.now.after(context.linger_timeout);
        }
    }

    /// The time for a check is up. One that has begun is awaited.
    pub(super) fn end_check(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        checking: Box<Checking>,
    ) -> Fate {
        if self.peer_closed && !checking.ticket.is_waiting() {
            self.phase = Phase::Checking(checking);
            self.deadline = resources.now.after(context.hold_limit);
            return self.settle(context, resources);
        }
        if !self.peer_closed {
            self.probe.end(Cause::Dismissed);
        }
        self.begin_end(context, resources, Manner::Orderly);
        self.settle(context, resources)
    }

    /// The result of a check. The session may have ended meanwhile.
    pub(in crate::net) fn on_checked(
        &mut self,
        checked: Checked,
        context: &Context,
        resources: &mut Resources,
    ) -> Fate {
        if let Phase::Checking(checking) = &self.phase {
            let since = checking.since;
            self.phase = Phase::Open;
            let progress = self.environ(context, resources.now, |session, environment| {
                session.resume(context.policy(), environment, checked)
            });
            self.expects = progress.expects;
            if let Some(step) = progress.step {
                self.follow_since(context, resources, step, since);
            }
        }
        self.run(context, resources)
    }
}
