//! XCLIENT: a trusted peer names the client that it speaks for, and the session restarts (Postfix's XCLIENT_README).

use std::sync::Arc;

use crate::smtp::auth::Identity;
use crate::smtp::command::{ClientAttributes, Extensions};
use crate::smtp::policy::{Keep, Policy};
use crate::smtp::record::{Event, Filing};
use crate::smtp::reply::{ReplyKind, Stage};
use crate::smtp::rules::PeerAddress;
use crate::smtp::session::answer::Asked;
use crate::smtp::session::dialogue::Dialogue;
use crate::smtp::session::sequence::Sequence;
use crate::smtp::session::step::Step;
use crate::smtp::session::turn::Turn;

impl Dialogue {
    /// Handles XCLIENT. Rules and limits are evaluated for the named address, as at the greeting. A refused one changes
    /// nothing.
    pub(super) fn xclient(&mut self, turn: &mut Turn<'_, '_>, line: &[u8], arguments: &[u8]) -> Step {
        let client = ClientAttributes::parse(arguments);
        let verdict = match client {
            _ if !self.is_trusted => Err(ReplyKind::XclientNotAllowed),
            _ if self.is_in_transaction() => Err(ReplyKind::InvalidXclientSequence),
            None => Err(ReplyKind::InvalidXclientArgument),
            Some(_) => Ok(ReplyKind::Greeting),
        };
        let before = turn.environment.peer;
        let ip = client.as_ref().and_then(ClientAttributes::ip).filter(|_| verdict.is_ok());
        turn.environment.peer = ip.map_or(before, PeerAddress::Ip);
        let is_other_peer = turn.environment.peer != before;
        let asked = Asked { is_other_peer, ..Asked::at(Stage::Xclient) };
        let answer = self.answer(turn, asked, verdict);
        let named = self.identity.take_if(|_| answer.accepted);
        if answer.accepted {
            self.start_anew();
            // It belongs to the peer.
            self.external = None;
        }
        let mut step = self.conclude(turn, Stage::Xclient, &answer, None);
        turn.environment.peer = before;
        if let Some(client) = client.filter(|_| answer.accepted) {
            step.filing = self.file_before(turn);
            self.identity = user(&client, named);
            if let Some(identity) = &self.identity {
                let event = Event::Auth { line, identity };
                turn.records.note(turn.policy, turn.environment.now, &answer, &step.reply, Some(event));
            }
            step.client = Some(Box::new(client));
        }
        step
    }

    /// Returns to the state after the greeting: the client must begin with HELO or EHLO.
    pub(super) fn start_anew(&mut self) {
        debug_assert!(
            !self.is_in_transaction() && self.chunks.is_none(),
            "a mail transaction is ended first"
        );
        self.sequence = Sequence::Connected;
        self.extensions = Extensions::default();
        self.envelope = None;
        self.messages = 0;
        self.identity = None;
    }

    /// Files the record of the previous client, which is complete.
    fn file_before(&self, turn: &mut Turn<'_, '_>) -> Filing {
        let Policy { keep: Keep::Envelope | Keep::Message, .. } = turn.policy else {
            return Filing::Unchanged;
        };
        let last = turn.records.0.take().and_then(|recorder| recorder.finish(self.has_spoken));
        last.map_or(Filing::Unchanged, |last| Filing::Finished(Box::new(last.record)))
    }
}

/// The user of the named client. A user from an earlier XCLIENT persists, but not one that has authenticated.
fn user(client: &ClientAttributes, before: Option<Arc<Identity>>) -> Option<Arc<Identity>> {
    match client.has_login() {
        true => client.login().map(|user| Arc::new(Identity { user: user.into(), mechanism: None })),
        false => before.filter(|identity| identity.mechanism.is_none()),
    }
}
