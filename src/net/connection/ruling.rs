//! Handshakes under rules: they are evaluated when the client's hello is complete.

use super::securing::Securing;
use super::{Connection, Fate, Manner, Phase, Transport};
use crate::log::Event;
use crate::net::context::Context;
use crate::net::resources::Resources;
use crate::net::stream::HandshakeFault;
use crate::smtp::rules::{Drop, HandshakeEnd, HandshakePlan, TlsVersion};
use crate::time::Timestamp;

/// How rules affect a handshake.
#[derive(Clone, Copy, Debug)]
pub(super) enum Course {
    /// Rules were not evaluated.
    Own,
    /// The hello is unanswered since this time, for the delay of the plan.
    Delayed(HandshakePlan, Timestamp),
    /// The hello is unanswered since this time, until the session timeout.
    Silent(HandshakePlan, Timestamp),
    /// The plan applies.
    Followed(HandshakePlan),
}

impl Course {
    /// Since when a rule leaves the hello unanswered, if one does.
    pub(super) fn waiting_since(&self) -> Option<Timestamp> {
        match self {
            Self::Delayed(_, since) | Self::Silent(_, since) => Some(*since),
            Self::Own | Self::Followed(_) => None,
        }
    }

    /// The delay of a rule has ended.
    fn is_due(&self, now: Timestamp) -> bool {
        matches!(self, Self::Delayed(plan, since) if since.after(plan.delay) <= now)
    }

    /// A rule has changed the handshake: a failure may not be the client's fault.
    pub(super) fn is_ruled(&self) -> bool {
        match self {
            Self::Own => false,
            Self::Delayed(..) | Self::Silent(..) => true,
            Self::Followed(plan) => plan.changes_course(),
        }
    }

    /// The only version allowed, if a rule restricts it.
    pub(super) fn version(&self) -> Option<TlsVersion> {
        match self {
            Self::Followed(plan) => plan.version,
            _ => None,
        }
    }

    fn plan(&self) -> Option<&HandshakePlan> {
        match self {
            Self::Own => None,
            Self::Delayed(plan, _) | Self::Silent(plan, _) | Self::Followed(plan) => Some(plan),
        }
    }

    /// The id or text of the rule that has changed the handshake.
    pub(super) fn rule(&self, context: &Context) -> Option<String> {
        self.plan().filter(|plan| plan.changes_course()).and_then(|plan| context.policy().rule_of(plan))
    }

    /// The wrong certificate presented and the rule that asks for it: `expired by tls certificate=expired`.
    pub(super) fn wrong_certificate(&self, context: &Context) -> Option<Box<str>> {
        let certificate = self.plan()?.certificate?;
        let rule = self.rule(context).unwrap_or_else(|| "a rule".to_owned());
        Some(format!("{certificate} by {rule}").into())
    }
}

impl<T: Transport> Connection<T> {
    /// The client's hello is complete: evaluates the rules.
    pub(super) fn ask_rules(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        mut securing: Securing,
    ) -> Fate {
        let name = self.stream.server_name().map(str::to_owned);
        let plan = self.environ(context, resources.now, |session, environment| {
            session.handshake(context.policy(), environment, name.as_deref().map(str::as_bytes))
        });
        if plan.delay.is_zero() {
            return self.follow_plan(context, resources, securing, plan);
        }
        resources.note(|| Event::Delay(plan.delay));
        // The hello may have come after this turn began, and a delay must not be shorter than configured.
        let since = resources.clock.now();
        self.deadline = since.after(plan.delay);
        securing.course = Course::Delayed(plan, since);
        self.phase = Phase::Securing(Box::new(securing));
        self.wait_by_rule(context, resources, securing)
    }

    /// Applies the plan of the rules after its delay.
    fn follow_plan(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        mut securing: Securing,
        plan: HandshakePlan,
    ) -> Fate {
        let Some(tls) = &context.tls else { return Fate::Over };
        resources.gathering.stats.tls.wrong_certificates += u64::from(plan.certificate.is_some());
        self.renew_handshake(context, resources);
        let is_silent = plan.end == Some(HandshakeEnd::Silent);
        securing.course =
            if is_silent { Course::Silent(plan, resources.now) } else { Course::Followed(plan) };
        if is_silent {
            self.phase = Phase::Securing(Box::new(securing));
            return self.wait_by_rule(context, resources, securing);
        }
        let began = resources.clock.now();
        self.stream.follow_plan(tls, &plan);
        securing.service += resources.clock.now().since(began);
        self.phase = Phase::Securing(Box::new(securing));
        match plan.end {
            Some(HandshakeEnd::Drop(Drop::Rst)) => {
                self.fail_handshake_as(context, resources, HandshakeFault::Ruled, Manner::Reset)
            }
            Some(_) => self.fail_handshake(context, resources, HandshakeFault::Ruled),
            None => self.run_handshake(context, resources, securing),
        }
    }

    /// A rule leaves the hello unanswered. A client that ends its output meanwhile has given up: it can't finish a
    /// handshake.
    pub(super) fn wait_by_rule(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        securing: Securing,
    ) -> Fate {
        if securing.course.is_due(resources.now) {
            return self.end_handshake_wait(context, resources, securing);
        }
        if self.peer_closed || self.is_reset {
            self.note_peer_closed(resources.now);
            return self.fail_handshake(context, resources, HandshakeFault::Ruled);
        }
        if securing.is_over(resources.stop) {
            return self.end_by_stop();
        }
        self.charge_memory(context);
        self.arm(resources);
        self.waiting_fate()
    }

    /// The time for a handshake, or the delay of a rule, is over.
    pub(super) fn end_handshake_wait(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        mut securing: Securing,
    ) -> Fate {
        match securing.course {
            // Continues in the next turn that has time for a step. A timer would expire within this turn again.
            Course::Delayed(plan, _) if plan.end.is_none() && !resources.take_handshake_step() => {
                self.renew_handshake(context, resources);
                self.arm(resources);
                Fate::Again
            }
            Course::Delayed(plan, since) => {
                let achieved = resources.clock.now().since(since);
                resources.gathering.stats.delays.note(plan.delay, achieved);
                resources.due += 1;
                securing.since = securing.since.map(|since| since.after(achieved));
                self.follow_plan(context, resources, securing, plan)
            }
            Course::Silent(..) => self.fail_handshake(context, resources, HandshakeFault::Ruled),
            Course::Own | Course::Followed(_) => {
                self.fail_handshake(context, resources, HandshakeFault::TimedOut)
            }
        }
    }

    /// The handshake failed because of a rule, or may have: the client is not blamed.
    pub(super) fn is_ruled(&self, fault: HandshakeFault) -> bool {
        let is_ruled = matches!(&self.phase, Phase::Securing(securing) if securing.course.is_ruled());
        (is_ruled && fault != HandshakeFault::Own) || fault == HandshakeFault::Ruled
    }
}
