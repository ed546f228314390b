//! How a verdict becomes an answer: the rules are asked, and have the last word.

use std::time::Duration;

use super::behaviour::{Decision, Environment, Moment, Question, Ruling, after_refusal, asks_at, judge};
use super::known::Known;
use super::policy::{DelayPoint, Keep, Policy};
use super::reply::{Reply, ReplyKind};
use super::session::Session;
use super::step::{Next, Portion, Stage};

/// What the protocol itself says: the reply to an accepted command, or to a refused one.
pub(super) type Verdict = Result<ReplyKind, ReplyKind>;

/// What a command is answered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'p> {
    pub(super) reply: &'p Reply,
    pub(super) portion: Portion,
    /// The client is told that its command was accepted, and it was.
    pub(super) accepted: bool,
    pub(super) delay: Duration,
    pub(super) next: Next,
}

impl Answer<'_> {
    /// The client hears all of the reply.
    pub(super) fn is_told(&self) -> bool {
        self.portion == Portion::Whole
    }

    /// The reply for the record: none where none is sent.
    pub(super) fn kept_reply(&self, policy: &Policy) -> Option<Reply> {
        (policy.keep != Keep::Nothing && self.portion != Portion::Nothing).then(|| self.reply.clone())
    }
}

/// What rules are asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'l> {
    pub(super) stage: Stage,
    /// `None` where no delay can be configured.
    pub(super) point: Option<DelayPoint>,
    /// The name or path in the command.
    pub(super) name: Option<&'l [u8]>,
    /// Of the message.
    pub(super) size: Option<usize>,
    /// The lists and limits of the server are asked too.
    pub(super) is_valid: bool,
}

impl<'l> Asked<'l> {
    pub(super) fn at(stage: Stage, point: DelayPoint) -> Self {
        Self { stage, point: Some(point), name: None, size: None, is_valid: true }
    }

    pub(super) fn about(stage: Stage, point: DelayPoint, name: Option<&'l [u8]>) -> Self {
        Self { name, ..Self::at(stage, point) }
    }

    pub(super) fn unknown() -> Self {
        Self { point: None, ..Self::at(Stage::Unknown, DelayPoint::Noop) }
    }
}

impl Session {
    /// Answers what the protocol has judged. Lists and limits are asked only about what it accepts.
    pub(super) fn answer<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        asked: Asked<'_>,
        verdict: Verdict,
    ) -> Answer<'p> {
        self.answer_asked(policy, environment, Asked { is_valid: verdict.is_ok(), ..asked }, verdict)
    }

    /// The same, where lists and limits are asked as `asked` says.
    pub(super) fn answer_asked<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        asked: Asked<'_>,
        verdict: Verdict,
    ) -> Answer<'p> {
        let moment = Moment { seed: policy.seed, session: environment.session, step: self.steps };
        self.steps = self.steps.wrapping_add(1);
        let Ruling { delay, decision } = match asks_at(policy, asked.stage) {
            true => judge(policy, environment, &self.question(asked, moment)),
            false => Ruling::default(),
        };
        let delay = delay.unwrap_or_else(|| match asked.point {
            Some(point) => policy.draw_delay(point, moment),
            None => Duration::ZERO,
        });
        let (reply, portion, accepted, next) = match decision {
            Decision::Own => return own_answer(policy, environment, verdict, Next::Continue, delay),
            Decision::Refuse(kind, next) => return own_answer(policy, environment, Err(kind), next, delay),
            Decision::Told { reply: None, portion, next } => {
                let reply = policy.reply(verdict.unwrap_or_else(|refusal| refusal));
                (reply, portion, verdict.is_ok(), next)
            }
            Decision::Told { reply: Some(reply), portion, next } => {
                (reply, portion, verdict.is_ok() && is_positive(asked.stage, reply), next)
            }
        };
        let is_refused = !accepted && portion == Portion::Whole && asked.stage != Stage::Unknown;
        let next = match next {
            Next::Continue if is_refused => after_refusal(policy, environment),
            next => next,
        };
        Answer { reply, portion, accepted: accepted && portion == Portion::Whole, delay, next }
    }

    fn question<'q>(&'q self, asked: Asked<'q>, moment: Moment) -> Question<'q> {
        let Asked { stage, name, size, is_valid, .. } = asked;
        let known: Option<&Known> = self.known.as_deref();
        let named = |at: Stage, of: fn(&Known) -> Option<&[u8]>| {
            if stage == at { name } else { known.and_then(of) }
        };
        Question {
            stage,
            moment,
            is_valid,
            helo: named(Stage::Helo, |known| known.helo.as_deref()),
            from: named(Stage::Mail, |known| known.from.as_deref()),
            to: named(Stage::Rcpt, |known| known.to.as_deref()),
            recipients: known.map_or(&[], |known| &known.recipients),
            size,
            messages: self.messages,
        }
    }

    /// Notes something for rules, if there are any.
    pub(super) fn know(&mut self, policy: &Policy, note: impl FnOnce(&mut Known)) {
        if policy.has_rules() {
            note(self.known.get_or_insert_default());
        }
    }
}

fn own_answer<'p>(
    policy: &'p Policy,
    environment: &mut Environment<'_>,
    verdict: Verdict,
    next: Next,
    delay: Duration,
) -> Answer<'p> {
    let next = match (verdict, next) {
        (Err(_), Next::Continue) => after_refusal(policy, environment),
        (_, next) => next,
    };
    let reply = policy.reply(verdict.unwrap_or_else(|refusal| refusal));
    Answer { reply, portion: Portion::Whole, accepted: verdict.is_ok(), delay, next }
}

/// The reply tells the client that the server goes along (RFC 5321 section 4.2.1). Only a 3yz reply asks for
/// the message.
fn is_positive(stage: Stage, reply: &Reply) -> bool {
    let first = reply.text().first();
    first == Some(&b'3') || (first == Some(&b'2') && stage != Stage::Data)
}
