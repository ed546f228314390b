//! The replies to a message in LMTP (RFC 2033 section 4.2): one for each accepted RCPT, in order. Each is a separate
//! step with its own rules, delay and number; no input is taken between them.

use crate::smtp::policy::{MAX_RECIPIENTS, Policy};
use crate::smtp::receive::RetryKey;
use crate::smtp::receive::incoming::Content;
use crate::smtp::record::{Delivery, Event};
use crate::smtp::reply::{Next, ReplyKind, Stage};
use crate::smtp::session::answer::{Answer, Asked};
use crate::smtp::session::chunk::IncomingChunk;
use crate::smtp::session::dialogue::{Dialogue, Receiving};
use crate::smtp::session::envelope::Envelope;
use crate::smtp::session::protocol::Protocol;
use crate::smtp::session::sequence::Sequence;
use crate::smtp::session::step::{Details, Received, Step};
use crate::smtp::session::turn::Turn;

/// A message whose recipients are being answered.
#[derive(Debug)]
pub(super) struct Answering {
    /// Its text is moved to the recorder when it is accepted.
    content: Content,
    /// The message, as the next reply answers it.
    message: Received,
    /// It was sent in a single BDAT.
    is_only_chunk: bool,
    /// Replies so far, and their total.
    replies: u32,
    recipients: u32,
    /// One of these replies has accepted the message.
    is_accepted: bool,
}

impl Answering {
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.content.text.capacity()
    }

    /// Counts a reply. Returns the message as that reply answers it.
    fn next_reply(&mut self, accepts: bool) -> Received {
        let is_accepted = accepts && !self.is_accepted;
        let message = Received { recipient: Some(self.replies), is_accepted, ..self.message };
        self.is_accepted |= accepts;
        self.replies += 1;
        self.message.lines = None;
        message
    }
}

impl Dialogue {
    pub(super) fn is_lmtp(&self) -> bool {
        self.protocol == Protocol::Lmtp
    }

    /// Counts a RCPT as the client does, which expects a reply to the message for each 2yz reply, even by a rule.
    /// Returns whether to retain its path, and whether the transaction has a recipient. A rule can accept more
    /// recipients than are retained: the replies to these come last, and name no recipient.
    #[inline(never)]
    pub(super) fn count_lmtp_rcpt(&mut self, answer: &Answer<'_>, has_room: bool) -> (bool, bool) {
        let Sequence::Mail(mail) = &mut self.sequence else { return (false, false) };
        let is_accepted = answer.is_whole() && matches!(answer.reply.code(), Some(200..300));
        let has_room = has_room && mail.recipients < MAX_RECIPIENTS;
        mail.recipients += usize::from(has_room);
        mail.accepted = mail.accepted.saturating_add(u32::from(is_accepted));
        mail.has_recipient = mail.accepted > 0;
        (is_accepted && has_room, mail.has_recipient)
    }

    /// Answers the first recipient of a complete message.
    #[inline(never)]
    pub(super) fn answer_recipients(
        &mut self,
        turn: &mut Turn<'_, '_>,
        content: Content,
        last_chunk: Option<&IncomingChunk>,
    ) -> Step {
        let recipients = match self.sequence {
            Sequence::Mail(mail) | Sequence::Chunks(mail) => mail.accepted,
            _ => 0,
        };
        debug_assert!(recipients > 0, "a message is in sequence behind an accepted RCPT only");
        self.envelope_mut().begin_replies();
        self.receiving = Receiving::Replies(Box::new(Answering {
            message: self.received(turn.policy, &content, last_chunk),
            content,
            is_only_chunk: last_chunk.is_some_and(|chunk| chunk.is_first),
            replies: 0,
            recipients,
            is_accepted: false,
        }));
        self.answer_next_recipient(turn)
    }

    #[inline(never)]
    pub(super) fn answer_next_recipient(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let policy = turn.policy;
        let Receiving::Replies(mut answering) = std::mem::take(&mut self.receiving) else {
            unreachable!("there is a reply to come as long as one is expected")
        };
        self.envelope_mut().select_next(policy.book());
        let Content { size, refusal, .. } = answering.content;
        let asked = Asked { size: Some(size), ..Asked::at(Stage::Message) };
        let answer = self.answer(turn, asked, refusal.map_or(Ok(ReplyKind::MessageReceived), Err));
        let message = answering.next_reply(answer.accepted);
        self.messages = self.messages.saturating_add(u32::from(message.is_accepted));
        let mut text = std::mem::take(&mut answering.content.text);
        let answers_bdat = answering.is_only_chunk && message.is_first();
        // After a reply that ends the session no more follow.
        let is_last = answering.replies >= answering.recipients || answer.next != Next::Continue;
        if is_last {
            self.sequence = self.sequence.without_mail();
        }
        let retry_key = self.delivery_key(policy);
        let recipient = self.envelope.as_deref().and_then(Envelope::to);
        let event = Event::Delivery(Delivery { recipient, size, text: &mut text, answers_bdat, is_last });
        let details = Details { message: Some(message), retry_key, ..Details::default() };
        let step = self.conclude_with(turn, Stage::Message, &answer, Some(event), details);
        if !is_last {
            // Unless the recorder has taken it.
            answering.content.text = text;
            self.receiving = Receiving::Replies(answering);
        }
        step
    }

    fn delivery_key(&mut self, policy: &Policy) -> RetryKey {
        match self.envelope.as_deref().and_then(Envelope::to) {
            Some(recipient) if policy.may_defer() => {
                self.retry_keys.get_or_insert_default().delivery(recipient)
            }
            _ => RetryKey::Nothing,
        }
    }
}
