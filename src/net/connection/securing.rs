//! TLS: how it begins, by STARTTLS or with the connection, and how its handshake ends.

use std::io;
use std::time::Duration;

use super::preface::header_timeout;
use super::ruling::Course;
use super::{BYTES_PER_TURN, Connection, Fate, Manner, Phase, Transport};
use crate::log::Event;
use crate::measure::Cause;
use crate::net::context::Context;
use crate::net::resources::{Resources, Stop};
use crate::net::stream::{Handshake, HandshakeFault};
use crate::smtp::auth::ExternalIdentity;
use crate::stats::HandshakeTimes;
use crate::time::Timestamp;

/// Octets discarded per read.
const DISCARDED: usize = 4096;

/// A connection whose handshake is to begin when all replies have left, or has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Securing {
    /// TLS began with the connection: the greeting is sent within TLS.
    is_implicit: bool,
    /// When the first octets of the client's hello could be read, plus the delay of a rule.
    pub(super) since: Option<Timestamp>,
    /// Octets that the handshake had read after its last step.
    octets: u32,
    /// Since when input, perhaps the client's, waits because the turn had no time for a step.
    waits_since: Option<Timestamp>,
    /// The server's share of the handshake time so far.
    pub(super) service: Duration,
    /// The client has sent input after STARTTLS without waiting for the reply.
    has_injected: bool,
    /// How rules affect the handshake.
    pub(super) course: Course,
}

impl Securing {
    /// The connection has nothing more to wait for. A stop that spares idle sessions still closes connections without
    /// one.
    pub(super) fn is_over(&self, stop: Stop) -> bool {
        stop.closes_idle() || (self.is_implicit && stop > Stop::None)
    }
}

impl<T: Transport> Connection<T> {
    /// Greets the client, at once or within TLS.
    pub(super) fn welcome(&mut self, context: &Context, resources: &mut Resources) {
        match self.origin.is_encrypted {
            true => self.await_tls(context, resources, true),
            false => self.greet(context, resources),
        }
    }

    /// Begins TLS with the next turn in which all replies have left. Input after STARTTLS that has arrived by now is
    /// discarded: the client can't have read the reply.
    pub(super) fn await_tls(&mut self, context: &Context, resources: &Resources, is_implicit: bool) {
        let has_injected = !is_implicit && self.discard_clear();
        let securing = Securing {
            is_implicit,
            since: None,
            octets: 0,
            waits_since: None,
            service: Duration::ZERO,
            has_injected,
            course: Course::Own,
        };
        self.phase = Phase::Securing(Box::new(securing));
        self.renew_handshake(context, resources);
    }

    /// Restarts the deadline of the handshake.
    pub(super) fn renew_handshake(&mut self, context: &Context, resources: &Resources) {
        self.deadline = resources.now.after(header_timeout(context));
    }

    /// Discards input, up to a bound. Returns whether there was any. Any rest reaches the handshake, which fails.
    fn discard_clear(&mut self) -> bool {
        let mut total = 0;
        let mut octets = [0; DISCARDED];
        while self.readable && total < BYTES_PER_TURN {
            // The handshake finds out that the stream is lost.
            total += self.receive(&mut octets).unwrap_or(0);
        }
        total > 0
    }

    /// All replies have left: the handshake begins.
    pub(super) fn begin_handshake(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        securing: Securing,
    ) -> Fate {
        let Some(tls) = &context.tls else { return Fate::Over };
        let asks = context.policy().has_rules_of_handshakes();
        let input = self.input.take();
        let received = input.as_ref().map_or(&[][..], |input| input.bytes());
        let encrypted = match securing.is_implicit {
            true => self.stream.encrypt(tls, received, asks),
            false => {
                let is_injection = securing.has_injected || !received.is_empty();
                resources.gathering.stats.tls.injected += u64::from(is_injection);
                self.stream.encrypt(tls, &[], asks)
            }
        };
        match encrypted {
            Ok(()) => self.run_handshake(context, resources, securing),
            Err(error) => self.lose_handshake(context, resources, &error),
        }
    }

    /// Continues the handshake, if this turn of the reactor has time for another step.
    pub(super) fn run_handshake(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        mut securing: Securing,
    ) -> Fate {
        if self.stream.handshake() == Handshake::Done {
            // It has not begun.
            return match self.drain(context, resources) {
                Ok(()) => self.settle(context, resources),
                Err(_) => Fate::Over,
            };
        }
        if securing.course.waiting_since().is_some() {
            return self.wait_by_rule(context, resources, securing);
        }
        if !resources.take_handshake_step() {
            securing.waits_since.get_or_insert(resources.now);
            self.set_securing(securing);
            self.charge_memory(context);
            self.arm(resources);
            return Fate::Again;
        }
        let began = resources.clock.now();
        let may_have_more = match self.stream.drive() {
            Ok(may_have_more) => may_have_more,
            Err(error) => return self.lose_handshake(context, resources, &error),
        };
        self.note_step(resources, &mut securing, began);
        match self.stream.handshake() {
            Handshake::Running if !may_have_more && securing.is_over(resources.stop) => self.end_by_stop(),
            Handshake::Running => {
                self.charge_memory(context);
                self.arm(resources);
                if may_have_more { Fate::Again } else { self.waiting_fate() }
            }
            Handshake::Undecided => self.ask_rules(context, resources, securing),
            Handshake::Done => self.end_handshake(context, resources, securing, may_have_more),
            Handshake::Failed(fault) => self.fail_handshake(context, resources, fault),
        }
    }

    /// Adds a step of the handshake, from `began` until now, to the server's share. If the step has read all of the
    /// client's part, the share begins when that became readable; otherwise only the step itself counts.
    fn note_step(&mut self, resources: &Resources, securing: &mut Securing, began: Timestamp) {
        let readable = securing.waits_since.take().unwrap_or(resources.now);
        let octets = self.stream.handshake_octets();
        if octets > securing.octets {
            let is_partial = self.stream.owes_input() && self.stream.handshake() == Handshake::Running;
            let since = if is_partial { began } else { readable };
            securing.service += resources.clock.now().since(since);
            securing.since.get_or_insert(readable);
            securing.octets = octets;
        }
        self.set_securing(*securing);
    }

    fn set_securing(&mut self, securing: Securing) {
        if let Phase::Securing(own) = &mut self.phase {
            **own = securing;
        }
    }

    /// The handshake is done: the session continues or begins. `may_have_more`: octets of the dialogue may have come
    /// with those of the handshake.
    fn end_handshake(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        securing: Securing,
        may_have_more: bool,
    ) -> Fate {
        let now = resources.clock.now();
        if let Some((session, tls)) = self.stream.tls_session().zip(context.tls.as_ref()) {
            let whole = now.since(securing.since.unwrap_or(now));
            let times = HandshakeTimes { whole, service: securing.service };
            let newest = securing.course.version().unwrap_or(tls.newest());
            resources.gathering.stats.tls.note(session, newest, times);
            resources.note(|| Event::Encrypted(session.to_string()));
        }
        self.session.set_encrypted();
        self.end_failed_tls(context, resources.now);
        self.probe.note_encryption(securing.course.wrong_certificate(context));
        let client = self.stream.tls_session().and_then(|session| session.client_certificate());
        if let Some(identity) = client.and_then(|client| ExternalIdentity::new(client.names())) {
            self.session.set_external(identity);
        }
        self.phase = Phase::Open;
        self.readable = may_have_more || self.peer_closed;
        match securing.is_implicit {
            true => self.greet(context, resources),
            false => {
                self.probe.note_waiting(now);
                self.renew(context, resources);
            }
        }
        match resources.replies.is_empty() {
            true => self.run(context, resources),
            // The greeting leaves together with the end of the handshake.
            false => self.settle(context, resources),
        }
    }

    /// The handshake has failed: sends the alert, if any, and closes the connection.
    pub(super) fn fail_handshake(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        fault: HandshakeFault,
    ) -> Fate {
        self.fail_handshake_as(context, resources, fault, Manner::Orderly)
    }

    /// As [`fail_handshake`](Self::fail_handshake), with another manner of ending.
    pub(super) fn fail_handshake_as(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        fault: HandshakeFault,
        manner: Manner,
    ) -> Fate {
        let is_put_off = matches!(&self.phase, Phase::Securing(securing) if securing.waits_since.is_some());
        let fault = match fault {
            HandshakeFault::TimedOut if is_put_off => HandshakeFault::Own,
            fault => fault,
        };
        self.note_fault(context, resources, fault);
        match fault {
            _ if self.is_ruled(fault) => self.probe.end(Cause::Dismissed),
            HandshakeFault::TimedOut => self.probe.end(Cause::TimedOut),
            HandshakeFault::Malformed
            | HandshakeFault::Incompatible
            | HandshakeFault::NoCertificate
            | HandshakeFault::BadCertificate(_)
            | HandshakeFault::Ruled
            | HandshakeFault::Other
            | HandshakeFault::Own => self.probe.end(Cause::Dismissed),
            // The client has left.
            HandshakeFault::Alert(_) | HandshakeFault::BrokenOff => {}
        }
        self.leave_ungreeted();
        self.begin_end(context, resources, manner);
        self.settle(context, resources)
    }

    /// A stop ends a connection without an open mail.
    pub(super) fn end_by_stop(&mut self) -> Fate {
        self.probe.end(Cause::Stopped);
        Fate::Over
    }

    /// The connection is lost.
    fn lose_handshake(&mut self, context: &Context, resources: &mut Resources, error: &io::Error) -> Fate {
        if self.is_ruled(HandshakeFault::BrokenOff) {
            self.probe.end(Cause::Dismissed);
        } else if error.kind() == io::ErrorKind::ConnectionReset {
            self.probe.note_reset();
            self.is_reset = true;
        }
        let fault = match error.kind() {
            io::ErrorKind::Unsupported => HandshakeFault::Own,
            _ => HandshakeFault::BrokenOff,
        };
        self.note_fault(context, resources, fault);
        Fate::Over
    }

    fn note_fault(&mut self, context: &Context, resources: &mut Resources, fault: HandshakeFault) {
        self.note_failed_tls(context, resources.now);
        let is_ruled = self.is_ruled(fault);
        let figures = &mut resources.gathering.stats.tls;
        if let HandshakeFault::Alert(alert) = fault {
            figures.alerts.add(alert, 1);
        }
        *match fault {
            _ if is_ruled => &mut figures.by_rule,
            HandshakeFault::Alert(_) => &mut figures.refused,
            HandshakeFault::Malformed => &mut figures.malformed,
            HandshakeFault::Incompatible => &mut figures.incompatible,
            HandshakeFault::NoCertificate => &mut figures.no_client_certificate,
            HandshakeFault::BadCertificate(_) => &mut figures.bad_client_certificate,
            HandshakeFault::BrokenOff => &mut figures.broken_off,
            HandshakeFault::TimedOut => &mut figures.timed_out,
            HandshakeFault::Ruled => &mut figures.by_rule,
            HandshakeFault::Other => &mut figures.failed,
            HandshakeFault::Own => &mut figures.own_failures,
        } += 1;
        resources.note(|| {
            let rule = match &self.phase {
                Phase::Securing(securing) => securing.course.rule(context),
                _ => None,
            };
            let rule = rule.map_or_else(String::new, |rule| format!(" (rule: {rule})"));
            Event::ConnectionFailed(format!(
                "TLS handshake {}: {}{rule}",
                self.origin.route(),
                fault.reason()
            ))
        });
    }

    /// A client that was not greeted was not counted as served.
    pub(super) fn leave_ungreeted(&mut self) {
        if matches!(&self.phase, Phase::Securing(securing) if securing.is_implicit) {
            self.place = None;
        }
    }
}
