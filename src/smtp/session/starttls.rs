//! STARTTLS (RFC 3207): its reply, the state that it resets, and the commands that require it.

use crate::smtp::policy::{Keep, Policy};
use crate::smtp::record::Filing;
use crate::smtp::reply::{Next, ReplyKind, Stage};
use crate::smtp::rules::{Environment, HandshakePlan};
use crate::smtp::session::answer::Asked;
use crate::smtp::session::dialogue::Dialogue;
use crate::smtp::session::step::{Details, Step, Usage};
use crate::smtp::session::turn::{Records, Turn};

impl Dialogue {
    /// STARTTLS is a command in this session: its driver can begin TLS, or has begun it.
    pub(super) fn has_starttls(&self, policy: &Policy) -> bool {
        self.is_extended(policy) && policy.has_tls()
    }

    /// TLS is possible and offered, and has not begun.
    pub(super) fn offers_starttls(&self, policy: &Policy) -> bool {
        policy.has_tls() && !self.is_encrypted && self.extensions.include("STARTTLS")
    }

    /// Before TLS, if it is required, no command is possible that needs a session (RFC 3207 section 4).
    #[cold]
    pub(super) fn lacks_tls(&self, policy: &Policy, asked: Asked<'_>) -> bool {
        let is_allowed = asked.is_ehlo
            || matches!(asked.stage, Stage::Greeting | Stage::Noop | Stage::Quit | Stage::Starttls);
        policy.requires_tls() && !self.is_encrypted && !is_allowed
    }

    /// The decision of rules about a handshake in which the client requests this server name.
    pub(super) fn handshake(
        &self,
        policy: &Policy,
        environment: &mut Environment<'_>,
        sni: Option<&[u8]>,
    ) -> HandshakePlan {
        let question = self.question(policy, environment, Asked::about(Stage::Tls, sni));
        policy.book().judge_handshake(environment.state.as_deref_mut(), &question)
    }

    /// Handles STARTTLS. It is accepted within a mail transaction too, which then ends.
    pub(super) fn starttls(&mut self, turn: &mut Turn<'_, '_>, is_bare: bool) -> Step {
        let verdict = match self.extensions.include("STARTTLS") {
            _ if self.is_encrypted => Err(ReplyKind::InvalidStarttlsSequence),
            false => Err(ReplyKind::InvalidStarttlsSequence),
            true if !is_bare => Err(ReplyKind::InvalidStarttlsArgument),
            true => Ok(ReplyKind::StarttlsReady),
        };
        let usage = Usage { starttls: verdict.is_ok(), ..Usage::default() };
        let answer = self.answer(turn, Asked::at(Stage::Starttls), verdict);
        let begins = answer.accepted && answer.next == Next::Continue;
        if begins {
            self.abandon_mail();
            self.start_anew();
        }
        let mut step =
            self.conclude_with(turn, Stage::Starttls, &answer, None, Details { usage, ..Details::default() });
        if begins {
            step.next = Next::StartTls;
            step.filing = file_mail_in_clear(turn);
        }
        step
    }
}

/// Files the record of mail sent before TLS; a session without MAIL has none.
fn file_mail_in_clear(turn: &mut Turn<'_, '_>) -> Filing {
    let Records(recorder) = &mut *turn.records;
    let Some(recorder) = recorder.take().filter(|recorder| recorder.record().transaction > 0) else {
        return Filing::Unchanged;
    };
    let last = match turn.policy.keep {
        Keep::Nothing => None,
        Keep::Envelope | Keep::Message => recorder.finish(true),
    };
    last.map_or(Filing::Unchanged, |last| Filing::Finished(Box::new(last.record)))
}
