//! How a connection ends: by its own doing, a timeout or a stop, and so that the last reply arrives.

use super::{Connection, Fate, InputEnd, Manner, Phase, Transport};
use crate::log::Event;
use crate::measure::Cause;
use crate::net::connection::Origin;
use crate::net::context::Context;
use crate::net::resources::{Resources, Stop};
use crate::smtp::ReplyKind;

/// What ends it.
impl<T: Transport> Connection<T> {
    /// The client was silent too long.
    pub(super) fn time_out(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.note_timeout(resources, "read");
        self.send_away(context, resources)
    }

    pub(super) fn note_timeout(&mut self, resources: &mut Resources, doing: &str) {
        self.probe.end(Cause::TimedOut);
        let Origin { local_addr, peer_addr, .. } = self.origin;
        self.note_data_lines(resources);
        resources.note(|| Event::ReadFailed(format!("{doing} tcp {local_addr}->{peer_addr}: i/o timeout")));
    }

    /// The server stops. What the client has sent by now is taken first; then the session ends if nothing is under
    /// way and it is not to be spared.
    pub(in crate::net) fn on_stop(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.readable |= matches!(self.phase, Phase::Open);
        self.run(context, resources)
    }

    /// Between two mails, as far as is known.
    pub(super) fn is_idle(&self) -> bool {
        self.session.is_idle() && self.input.is_none() && !self.readable && !self.stream.owes_input()
    }

    /// The server stops and can't wait any longer: what is left to be sent and 421, as far as the peer takes it at
    /// once.
    pub(in crate::net) fn dismiss(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.probe.end(Cause::Stopped);
        let goodbye = context.policy().reply(ReplyKind::ServiceClosing);
        match &self.phase {
            Phase::Delayed(delayed) => {
                let asked = delayed.asked;
                self.phase = Phase::Open;
                self.answer_instead(context, resources, asked, goodbye);
            }
            Phase::Open => self.announce(resources, goodbye),
            Phase::Held(..) | Phase::Closing(_) | Phase::Lingering { .. } => {}
        }
        if matches!(self.phase, Phase::Open | Phase::Held(..)) {
            self.begin_end(context, resources, Manner::Orderly);
        }
        // The last replies do not drip: there is no time. Nor is there for an event to say that there is unread input.
        self.pace = None;
        self.readable = true;
        let is_lost = self.write(context, resources).is_err() || self.drain(context, resources).is_err();
        if is_lost || self.has_unsent() {
            return Fate::Over;
        }
        self.renew(context, resources);
        self.settle(context, resources)
    }

    /// Closes with 421.
    pub(super) fn send_away(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.announce(resources, context.policy().reply(ReplyKind::ServiceClosing));
        self.begin_end(context, resources, Manner::Orderly);
        self.settle(context, resources)
    }
}

/// What follows.
impl<T: Transport> Connection<T> {
    /// A reader of the last reply can see the whole record.
    pub(super) fn begin_end(&mut self, context: &Context, resources: &mut Resources, manner: Manner) {
        self.finish(context, resources);
        self.phase = Phase::Closing(manner);
    }

    /// The client has ended its output, and everything it sent was answered.
    pub(super) fn end_with_input(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.note_data_lines(resources);
        let is_truncated = self.input_end == Some(InputEnd::Truncated);
        let error = if is_truncated { "unexpected EOF" } else { "EOF" };
        resources.note(|| Event::ReadFailed(error.into()));
        self.begin_end(context, resources, Manner::Orderly);
        self.settle(context, resources)
    }

    /// All replies have left: so must the end of the output, before the connection is closed.
    pub(super) fn close_output(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        match self.stream.finish() {
            Ok(true) => self.linger(context, resources),
            Ok(false) if resources.stop < Stop::Forced => self.waiting_fate(),
            Ok(false) | Err(_) => Fate::Over,
        }
    }

    /// Closes at once, unless the peer is known to be sending: then sees to it that the last reply arrives.
    pub(super) fn linger(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        if !self.is_peer_sending(resources) || self.stream.shut_down_output().is_err() {
            return Fate::Over;
        }
        self.input = None;
        self.phase = Phase::Lingering { until: resources.now.after(context.linger_timeout) };
        self.renew(context, resources);
        Fate::Again
    }

    /// The peer has sent more than was taken, or is in the middle of something.
    fn is_peer_sending(&mut self, resources: &mut Resources) -> bool {
        let has_sent_more = self.input.is_some() || self.drop_input(resources);
        let owes_input = || self.session.owes_input() || self.stream.owes_input();
        self.input_end.is_none() && (has_sent_more || owes_input())
    }

    /// Reads once what there may be to read, and drops it. False when there was nothing.
    fn drop_input(&mut self, resources: &mut Resources) -> bool {
        // What can't be read is not there.
        self.readable && self.receive(&mut resources.scratch).is_ok_and(|count| count > 0)
    }

    /// Cleans up behind a connection that is over; its socket closes when it is dropped.
    pub(in crate::net) fn close(mut self, context: &Context, resources: &mut Resources) {
        self.withdraw_unsent(context, resources);
        self.finish(context, resources);
        self.settle_all_records(context, resources);
        if let Some((timer, _)) = self.timer.take() {
            resources.wheel.cancel(timer);
        }
        self.measure_end(context, resources);
        if self.place.is_some() {
            // Before its place is another's.
            context.counters.note_farewell();
        }
        self.place = None;
        context.counters.note_end();
        self.note_data_lines(resources);
        resources.note(|| Event::SessionFinished);
    }
}
