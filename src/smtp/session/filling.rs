//! Fills the places of replies when a command is answered.

use std::net::IpAddr;

use crate::smtp::policy::Policy;
use crate::smtp::reply::{RecordId, Reply, ReplyKind, Stage, Values};
use crate::smtp::rules::Environment;
use crate::smtp::session::answer::Asked;
use crate::smtp::session::dialogue::Dialogue;
use crate::smtp::session::envelope::Envelope;
use crate::smtp::session::turn::Turn;

impl Dialogue {
    /// The reply to send at the end of a step: the envelope already has the names of the command. Not inlined, so that
    /// replies without places are cloned by the caller.
    #[inline(never)]
    pub(super) fn filled(
        &self,
        turn: &Turn<'_, '_>,
        stage: Stage,
        reply: &Reply,
        size: Option<u64>,
    ) -> Reply {
        let (policy, environment, asked) = (turn.policy, &*turn.environment, None);
        reply.filled(&Known { dialogue: self, policy, environment, stage, size, asked })
    }

    /// The reply to send before the envelope has the names of the command.
    pub(super) fn as_sent(
        &self,
        policy: &Policy,
        environment: &Environment<'_>,
        asked: Asked<'_>,
        reply: &Reply,
    ) -> Reply {
        let Asked { stage, parameters, .. } = asked;
        let size = asked.size.map(|size| size as u64).or_else(|| parameters.size());
        let known = Known { dialogue: self, policy, environment, stage, size, asked: Some(asked) };
        self.form_of(asked, reply).filled(&known)
    }

    /// A reply of this kind that answers no command.
    pub(super) fn reply_of_kind(
        &self,
        policy: &Policy,
        environment: &Environment<'_>,
        kind: ReplyKind,
    ) -> Reply {
        self.as_sent(policy, environment, Asked::at(Stage::Unknown), self.configured(policy, kind))
    }
}

impl Dialogue {
    /// The commands that this session can use: go-smtp-mock's, then those of extensions.
    fn commands(&self, policy: &Policy) -> impl Iterator<Item = &'static str> {
        let (is_lmtp, is_extended) = (self.is_lmtp(), self.is_extended(policy));
        [
            ("HELO", !is_lmtp),
            ("EHLO", !is_lmtp),
            ("LHLO", is_lmtp),
            ("MAIL FROM:", true),
            ("RCPT TO:", true),
            ("DATA", true),
            ("BDAT", self.extensions.have_chunking()),
            ("RSET", true),
            ("NOOP", true),
            ("QUIT", true),
            ("VRFY", is_extended),
            ("EXPN", is_extended),
            ("HELP", is_extended),
            ("AUTH", policy.auth().is_some() && self.extensions.include("AUTH")),
            ("STARTTLS", self.has_starttls(policy) && !self.is_encrypted),
            ("XCLIENT", is_extended && policy.knows_xclient() && self.is_trusted),
        ]
        .into_iter()
        .filter_map(|(command, is_known)| is_known.then_some(command))
    }
}

/// Values from a session and the command being answered.
struct Known<'q, 'e> {
    dialogue: &'q Dialogue,
    policy: &'q Policy,
    environment: &'q Environment<'e>,
    stage: Stage,
    size: Option<u64>,
    /// The command, if the envelope does not have its names yet.
    asked: Option<Asked<'q>>,
}

impl Known<'_, '_> {
    fn name(&self, stage: Stage, of: fn(&Envelope) -> Option<&[u8]>) -> Option<&[u8]> {
        match self.asked {
            Some(asked) => self.dialogue.named(asked, stage, of),
            None => self.dialogue.envelope.as_deref().and_then(of),
        }
    }
}

impl Values for Known<'_, '_> {
    fn to(&self) -> Option<&[u8]> {
        self.name(Stage::Rcpt, Envelope::to)
    }

    fn from(&self) -> Option<&[u8]> {
        self.name(Stage::Mail, Envelope::from)
    }

    fn helo(&self) -> Option<&[u8]> {
        self.name(Stage::Helo, Envelope::helo)
    }

    fn ip(&self) -> Option<IpAddr> {
        self.environment.peer.ip()
    }

    fn id(&self) -> RecordId {
        let &Environment { server, session, .. } = self.environment;
        RecordId { server, session, transaction: self.dialogue.transactions }
    }

    fn size(&self) -> Option<u64> {
        self.size
    }

    fn limit(&self) -> usize {
        match self.stage {
            Stage::Rcpt => self.policy.most_recipients(),
            _ => self.policy.message_size_limit(),
        }
    }

    fn commands(&self, list: &mut dyn FnMut(&str)) {
        self.dialogue.commands(self.policy).for_each(list);
    }
}
