//! From the verdict of the protocol to the answer: rules are evaluated and may change it.

use std::time::Duration;

use crate::smtp::auth::{AuthExchange, Mechanism};
use crate::smtp::command::Parameters;
use crate::smtp::policy::{DelayPoint, Policy, Ruling};
use crate::smtp::reply::{Next, Portion, Reply, ReplyKind, Stage};
use crate::smtp::rules::{Decision, Environment, Memory, Moment, Question};
use crate::smtp::session::dialogue::Dialogue;
use crate::smtp::session::envelope::Envelope;
use crate::smtp::session::turn::Turn;

/// The decision of the protocol: the reply that accepts or refuses a command.
pub(in crate::smtp) type Verdict = Result<ReplyKind, ReplyKind>;

#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Answer<'p> {
    /// The reply as configured, before its places are filled.
    pub(in crate::smtp) reply: &'p Reply,
    pub(in crate::smtp) portion: Portion,
    /// The command is accepted, and so does its reply.
    pub(in crate::smtp) accepted: bool,
    pub(in crate::smtp) delay: Duration,
    pub(in crate::smtp) next: Next,
    /// Its number within the session; the greeting's is 1.
    pub(in crate::smtp) number: u32,
}

impl Answer<'_> {
    /// All of the reply is sent.
    pub(in crate::smtp) fn is_whole(&self) -> bool {
        self.portion == Portion::Whole
    }
}

/// The command that rules are evaluated for.
#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Asked<'l> {
    pub(in crate::smtp) stage: Stage,
    /// The name or path in the command; at `tls` the server name in the client's hello.
    pub(in crate::smtp) name: Option<&'l [u8]>,
    /// Size of the message.
    pub(in crate::smtp) size: Option<usize>,
    pub(in crate::smtp) parameters: Parameters<'l>,
    /// The authentication exchange being answered.
    pub(in crate::smtp) claimed: Option<&'l AuthExchange>,
    pub(in crate::smtp) is_ehlo: bool,
    /// It names another client than the one that the session is counted for.
    pub(in crate::smtp) is_other_peer: bool,
    /// Lists and limits are evaluated too.
    pub(in crate::smtp) is_valid: bool,
}

impl<'l> Asked<'l> {
    pub(in crate::smtp) fn at(stage: Stage) -> Self {
        let parameters = Parameters::default();
        Self {
            stage,
            name: None,
            size: None,
            parameters,
            claimed: None,
            is_ehlo: false,
            is_other_peer: false,
            is_valid: true,
        }
    }

    pub(in crate::smtp) fn about(stage: Stage, name: Option<&'l [u8]>) -> Self {
        Self { name, ..Self::at(stage) }
    }
}

impl Dialogue {
    /// Answers a command by its verdict. Lists and limits are evaluated only if the protocol accepts it.
    pub(super) fn answer<'p>(
        &mut self,
        turn: &mut Turn<'p, '_>,
        asked: Asked<'_>,
        verdict: Verdict,
    ) -> Answer<'p> {
        self.answer_asked(turn, Asked { is_valid: verdict.is_ok(), ..asked }, verdict)
    }

    /// As [`answer`](Self::answer), but `asked` decides whether lists and limits are evaluated.
    #[inline]
    pub(super) fn answer_asked<'p>(
        &mut self,
        turn: &mut Turn<'p, '_>,
        asked: Asked<'_>,
        verdict: Verdict,
    ) -> Answer<'p> {
        let (policy, environment) = (turn.policy, &mut *turn.environment);
        let (asked, verdict) = match self.is_refused() && asked.stage != Stage::Quit {
            true => (Asked { is_valid: false, ..asked }, Err(ReplyKind::SessionRefused)),
            false => (asked, verdict),
        };
        let answer = match policy.plan().is_eventful(asked.stage) {
            true => self.ruled_answer(policy, environment, asked, verdict),
            false => {
                let memory = environment.state.as_deref_mut();
                self.own_answer(policy, memory, asked.stage, verdict, Next::Continue, Duration::ZERO)
            }
        };
        self.steps = self.steps.wrapping_add(1);
        Answer { reply: self.form_of(asked, answer.reply), number: self.steps, ..answer }
    }

    /// Not inlined, so that the path without rules can be inlined into each command.
    #[inline(never)]
    fn ruled_answer<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        asked: Asked<'_>,
        verdict: Verdict,
    ) -> Answer<'p> {
        if let Some(envelope) = &mut self.envelope {
            envelope.match_anew(policy.book());
        }
        let (asked, verdict) = match self.lacks_tls(policy, asked) {
            true => (Asked { is_valid: false, ..asked }, Err(ReplyKind::TlsRequired)),
            false => (asked, verdict),
        };
        let question = self.question(policy, environment, asked);
        let Ruling { delay, decision } = policy.judge(environment.state.as_deref_mut(), &question);
        let stage = asked.stage;
        let delay = delay.unwrap_or_else(|| match DelayPoint::of(stage) {
            Some(point) => policy.draw_delay(point, question.moment),
            None => Duration::ZERO,
        });
        let (reply, portion, accepted, next) = match decision {
            Decision::Own => {
                let memory = environment.state.as_deref_mut();
                return self.own_answer(policy, memory, stage, verdict, Next::Continue, delay);
            }
            Decision::Refuse(kind, next) => {
                let memory = environment.state.as_deref_mut();
                return self.own_answer(policy, memory, stage, Err(kind), next, delay);
            }
            Decision::Ruled { reply: None, portion, next } => {
                let answer = self.own_answer(policy, None, stage, verdict, next, delay);
                (answer.reply, portion, answer.accepted, next)
            }
            Decision::Ruled { reply: Some(reply), portion, next } => {
                (reply, portion, verdict.is_ok() && reply.accepts(stage), next)
            }
        };
        let portion = match portion {
            Portion::First(_) => portion.within(&self.as_sent(policy, environment, asked, reply)),
            portion => portion,
        };
        let is_whole = portion == Portion::Whole;
        let memory = environment.state.as_deref_mut();
        let next = next_of(policy, memory, stage, accepted || !is_whole, next);
        Answer { reply, portion, accepted: accepted && is_whole, delay, next, number: 0 }
    }

    pub(super) fn question<'q, 'e: 'q>(
        &'q self,
        policy: &Policy,
        environment: &Environment<'e>,
        asked: Asked<'q>,
    ) -> Question<'q> {
        let Asked { stage, size, parameters, claimed, is_ehlo, is_other_peer, is_valid, .. } = asked;
        let identity = self.identity.as_deref();
        let (user, mechanism) = match claimed {
            Some(exchange) => (exchange.user(), Some(exchange.mechanism())),
            None => (identity.map(|own| &*own.user), identity.and_then(|own| own.mechanism)),
        };
        let &Environment { now, session, peer, inbox, .. } = environment;
        Question {
            stage,
            moment: Moment { seed: policy.seed, session, step: self.steps },
            now,
            peer,
            is_other_peer,
            is_valid,
            is_ehlo,
            helo: self.named(asked, Stage::Helo, Envelope::helo),
            from: self.named(asked, Stage::Mail, Envelope::from),
            to: self.named(asked, Stage::Rcpt, Envelope::to),
            matched: self.envelope.as_deref().map_or(&[], |envelope| envelope.matched(policy.book())),
            inbox: inbox.map(str::as_bytes),
            size,
            parameters: match self.envelope.as_deref() {
                Some(envelope) if matches!(stage, Stage::Data | Stage::Bdat | Stage::Message) => {
                    envelope.parameters()
                }
                _ => parameters.into(),
            },
            user,
            mechanism: mechanism.map(Mechanism::name),
            sni: asked.name.filter(|_| stage == Stage::Tls),
            messages: self.messages,
        }
    }

    /// The name or path of `asked` if it is at `stage`, otherwise that of the last such command.
    pub(super) fn named<'q>(
        &'q self,
        asked: Asked<'q>,
        stage: Stage,
        of: fn(&Envelope) -> Option<&[u8]>,
    ) -> Option<&'q [u8]> {
        if asked.stage == stage { asked.name } else { self.envelope.as_deref().and_then(of) }
    }

    /// The form of a reply for this session.
    #[inline]
    pub(super) fn form_of<'p>(&self, asked: Asked<'_>, reply: &'p Reply) -> &'p Reply {
        match asked.stage {
            Stage::Helo if !asked.is_ehlo => reply.for_helo(),
            Stage::Helo => {
                let reply = if self.is_encrypted { reply.for_encrypted() } else { reply };
                let reply = if self.external.is_some() { reply.for_external() } else { reply };
                if self.is_trusted { reply.for_trusted() } else { reply }
            }
            _ => reply,
        }
    }

    /// The reply of this kind in this session, before its places are filled.
    #[inline]
    pub(super) fn configured<'p>(&self, policy: &'p Policy, kind: ReplyKind) -> &'p Reply {
        match self.has_codes(policy) {
            false if kind == ReplyKind::MessageReceived => self.acceptance(policy),
            has_codes => policy.reply_with(kind, has_codes),
        }
    }

    /// The acceptance of a message, without an enhanced status code. Without extensions it is go-smtp-mock's.
    fn acceptance<'p>(&self, policy: &'p Policy) -> &'p Reply {
        match self.extensions.are_none() || !self.is_extended(policy) {
            true => policy.reply(ReplyKind::MessageReceived),
            false => policy.acceptance_without_code(),
        }
    }

    /// Replies have enhanced status codes: they were offered, and extensions are served.
    #[inline]
    fn has_codes(&self, policy: &Policy) -> bool {
        self.extensions.have_codes() && self.is_extended(policy)
    }

    /// go-smtp-mock has no LMTP to be compatible with.
    fn accepts_with_any_code(&self, policy: &Policy, stage: Stage) -> bool {
        !self.is_lmtp() && policy.accepts_with_any_code(stage)
    }

    #[inline]
    fn own_answer<'p>(
        &self,
        policy: &'p Policy,
        memory: Option<&mut (dyn Memory + '_)>,
        stage: Stage,
        verdict: Verdict,
        next: Next,
        delay: Duration,
    ) -> Answer<'p> {
        let reply = self.configured(policy, verdict.unwrap_or_else(|refusal| refusal));
        let accepted = verdict
            .is_ok_and(|kind| policy.plan().is_positive(kind) || self.accepts_with_any_code(policy, stage));
        let next = next_of(policy, memory, stage, accepted, next);
        Answer { reply, portion: Portion::Whole, accepted, delay, next, number: 0 }
    }
}

/// What follows an answer. `fail_fast` applies to refusals that do not end the session, but not to unknown commands.
#[inline]
fn next_of(
    policy: &Policy,
    memory: Option<&mut (dyn Memory + '_)>,
    stage: Stage,
    accepted: bool,
    next: Next,
) -> Next {
    match next {
        Next::Continue if !accepted && stage != Stage::Unknown => policy.after_refusal(memory),
        next => next,
    }
}
