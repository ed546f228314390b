//! How a connection ends, by its session, a timeout or a stop, so that the last reply arrives.

use std::io;

use super::{Connection, Fate, InputEnd, Manner, Phase, Transport};
use crate::log::Event;
use crate::measure::Cause;
use crate::net::context::Context;
use crate::net::passages::{End, Passage};
use crate::net::resources::{Resources, Stop};
use crate::smtp::{Reply, ReplyKind};
use crate::time::Timestamp;

/// Reasons for an end.
impl<T: Transport> Connection<T> {
    /// The client was silent for longer than the timeout.
    pub(super) fn time_out(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.note_timeout(resources, "read");
        self.send_away(context, resources)
    }

    pub(super) fn note_timeout(&mut self, resources: &mut Resources, doing: &str) {
        self.probe.end(Cause::TimedOut);
        self.note_data_lines(resources);
        resources.note(|| Event::ConnectionFailed(format!("{doing} {}: i/o timeout", self.origin.route())));
    }

    /// The server stops. Pending input is read first; then the session ends if it is idle, unless idle sessions are
    /// spared.
    pub(in crate::net) fn on_stop(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.readable |= matches!(self.phase, Phase::Preface(_) | Phase::Open);
        self.run(context, resources)
    }

    /// Between two mails, as far as the server can know.
    pub(super) fn is_idle(&self) -> bool {
        self.session.is_idle() && self.input.is_none() && !self.readable && !self.stream.owes_input()
    }

    /// The shutdown timeout is over: sends the pending replies and 421, as far as the transport takes them without
    /// waiting.
    pub(in crate::net) fn dismiss(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.probe.end(Cause::Stopped);
        let goodbye = self.goodbye(context, resources.now);
        match &self.phase {
            Phase::Delayed(delayed) => {
                let asked = delayed.asked;
                self.phase = Phase::Open;
                self.answer_instead(context, resources, asked, &goodbye);
            }
            Phase::Open | Phase::Checking(_) => self.announce(resources, &goodbye),
            Phase::Preface(_) | Phase::Securing(_) => return Fate::Over,
            Phase::Held(..) | Phase::Closing(_) | Phase::Lingering { .. } => {}
        }
        if matches!(self.phase, Phase::Open | Phase::Checking(_) | Phase::Held(..)) {
            self.begin_end(context, resources, Manner::Orderly);
        }
        // No time is left for the last replies to drip, nor for an event that reports unread input.
        self.pace = None;
        self.readable = true;
        let is_lost = self.write(context, resources).is_err() || self.drain(context, resources).is_err();
        if is_lost || self.has_unsent() {
            return Fate::Over;
        }
        self.renew(context, resources);
        self.settle(context, resources)
    }

    /// The reply with which the server ends a session on its own account.
    fn goodbye(&mut self, context: &Context, now: Timestamp) -> Reply {
        self.environ(context, now, |session, environment| {
            session.reply_of_kind(context.policy(), environment, ReplyKind::ServiceClosing)
        })
    }

    /// Closes with 421.
    pub(super) fn send_away(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        let goodbye = self.goodbye(context, resources.now);
        self.announce(resources, &goodbye);
        self.begin_end(context, resources, Manner::Orderly);
        self.settle(context, resources)
    }
}

/// Steps of an end.
impl<T: Transport> Connection<T> {
    /// Begins the end: the record is finished before the last reply leaves, so that whoever reads the reply can see the
    /// whole record.
    pub(super) fn begin_end(&mut self, context: &Context, resources: &mut Resources, manner: Manner) {
        self.finish(context, resources);
        self.phase = Phase::Closing(manner);
    }

    /// The client has ended its output, and all its input was answered.
    pub(super) fn end_with_input(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.note_data_lines(resources);
        let is_truncated = self.input_end == Some(InputEnd::Truncated);
        // A client that rejects the certificate after the handshake makes no SMTP fault.
        let is_fault = is_truncated && !self.probe.is_tls_unused();
        resources.gathering.stats.tls.truncated += u64::from(is_fault);
        let error = if is_truncated { "unexpected EOF" } else { "EOF" };
        resources.note(|| Event::ConnectionFailed(error.into()));
        self.begin_end(context, resources, Manner::Orderly);
        self.settle(context, resources)
    }

    /// A read has failed: the connection is lost. If the client only broke the rules of its transport, the close is
    /// orderly: closing with input unread would destroy the alert that gives the reason.
    #[cold]
    pub(super) fn lose(&mut self, context: &Context, resources: &mut Resources, error: &io::Error) -> Fate {
        let is_broken = error.kind() == io::ErrorKind::InvalidData && matches!(self.phase, Phase::Open);
        if !is_broken || self.has_unsent() {
            return Fate::Over;
        }
        self.withdraw_unsent(context, resources);
        self.probe.end(Cause::Dismissed);
        self.begin_end(context, resources, Manner::Orderly);
        // Further input is read and dropped.
        self.readable = true;
        self.settle(context, resources)
    }

    /// All replies have left. The connection is closed when the end of the transport's output has left too.
    pub(super) fn close_output(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        match self.stream.finish() {
            Ok(true) => self.linger(context, resources),
            Ok(false) if resources.stop < Stop::Forced => {
                // The transport may retain its end.
                self.charge_memory(context);
                self.waiting_fate()
            }
            Ok(false) | Err(_) => Fate::Over,
        }
    }

    /// Closes at once, unless the peer is known to be sending: then input is read until the last reply has arrived.
    pub(super) fn linger(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        if !self.is_peer_sending(resources) || self.stream.shut_down_output().is_err() {
            return Fate::Over;
        }
        self.input = None;
        // The transport may have read more since it was charged.
        self.charge_memory(context);
        self.phase = Phase::Lingering { until: resources.now.after(context.linger_timeout) };
        self.renew(context, resources);
        Fate::Again
    }

    /// The peer has sent more than was used, or is in the middle of a line, a message or a TLS record.
    fn is_peer_sending(&mut self, resources: &mut Resources) -> bool {
        let has_sent_more = self.input.is_some() || self.drop_input(resources);
        let owes_input = || self.session.owes_input() || self.stream.owes_input();
        self.input_end.is_none() && (has_sent_more || owes_input())
    }

    /// Reads once, if input is possible, and drops it. Returns whether there was any.
    fn drop_input(&mut self, resources: &mut Resources) -> bool {
        // A failed read counts as no input.
        self.readable && self.receive(&mut resources.scratch).is_ok_and(|count| count > 0)
    }

    /// Settles figures and records of a connection that has ended; dropping it closes its socket.
    pub(in crate::net) fn close(mut self, context: &Context, resources: &mut Resources) {
        if let Some((timer, _)) = self.timer.take() {
            resources.wheel.cancel(timer);
        }
        if let Phase::Preface(preface) = &self.phase {
            return self.close_before_session(resources, **preface);
        }
        self.leave_ungreeted();
        self.withdraw_unsent(context, resources);
        self.finish(context, resources);
        self.settle_all_records(context, resources);
        let ending = self.measure_end(context, resources);
        resources.announcer.announce(|| {
            let age = resources.now.since(self.probe.opened());
            Passage::of(&self.origin, Some(End { ending, messages: self.session.messages(), age }))
        });
        if self.place.is_some() {
            // Before another session can take the place.
            context.counters.note_farewell();
        }
        self.place = None;
        context.counters.note_end();
        self.note_data_lines(resources);
        resources.note(|| Event::SessionFinished);
    }
}
