//! DATA and the message (RFC 5321 section 4.1.1.4).

use crate::smtp::policy::{Keep, Policy, RecordMode};
use crate::smtp::receive::incoming::{Content, Incoming};
use crate::smtp::record::Event;
use crate::smtp::reply::{ReplyKind, Stage};
use crate::smtp::session::answer::{Asked, Verdict};
use crate::smtp::session::chunk::IncomingChunk;
use crate::smtp::session::dialogue::{Dialogue, Receiving};
use crate::smtp::session::sequence::{Sequence, Transaction};
use crate::smtp::session::step::{Details, Received, Step};
use crate::smtp::session::turn::Turn;

/// Messages of a session whose lines are all inspected, so that a short test misses no fault; after that only every
/// n-th, since inspection costs time.
const INSPECT_FIRST: u32 = 16;
const INSPECT_EVERY: u32 = 16;

impl Dialogue {
    pub(super) fn data(&mut self, turn: &mut Turn<'_, '_>, line: &[u8], is_bare: bool) -> Step {
        let policy = turn.policy;
        if matches!(self.sequence, Sequence::Chunks(_)) {
            return self.refuse_amid_chunks(turn, Asked::at(Stage::Data));
        }
        let verdict = self.check_data(policy, is_bare);
        let answer = self.answer(turn, Asked::at(Stage::Data), verdict);
        if let Some(mail) = self.sequence.mail() {
            mail.is_delivered = false;
        }
        let is_in_transaction = self.is_in_transaction();
        let retry_key = self.retry_key(policy, |keys| keys.data(is_in_transaction));
        if answer.accepted {
            debug_assert!(matches!(self.sequence, Sequence::Mail(Transaction { has_recipient: true, .. })));
            let content = Content::new(self.is_next_inspected());
            self.receiving = Receiving::Data(Incoming::new(content));
        }
        let details = Details { retry_key, ..Details::default() };
        self.conclude_with(turn, Stage::Data, &answer, Some(Event::Data { line }), details)
    }

    fn check_data(&self, policy: &Policy, is_bare: bool) -> Verdict {
        let (Sequence::Mail(mail) | Sequence::Past(mail)) = self.sequence else {
            return Err(ReplyKind::InvalidDataSequence);
        };
        if !mail.has_recipient {
            return Err(ReplyKind::InvalidDataSequence);
        }
        if !is_bare {
            return Err(ReplyKind::InvalidCommand);
        }
        // As for RCPT: one message per transaction.
        if !self.is_in_transaction() {
            return Err(ReplyKind::InvalidDataSequence);
        }
        if mail.is_binary {
            return Err(ReplyKind::BdatExpected);
        }
        self.room_for_message(policy)?;
        Ok(ReplyKind::DataReceived)
    }

    pub(super) fn room_for_message(&self, policy: &Policy) -> Result<(), ReplyKind> {
        match policy.keep == Keep::Message && !self.has_memory_left() {
            true => Err(ReplyKind::InsufficientStorage),
            false => Ok(()),
        }
    }

    /// A message begins. Returns whether its lines are inspected.
    pub(super) fn is_next_inspected(&mut self) -> bool {
        let is_inspected = self.data_begun < INSPECT_FIRST || self.data_begun.is_multiple_of(INSPECT_EVERY);
        self.data_begun = self.data_begun.wrapping_add(1);
        is_inspected
    }

    pub(super) fn end_of_data(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let Receiving::Data(incoming) = std::mem::take(&mut self.receiving) else {
            unreachable!("the end of data is only found in data")
        };
        self.end_of_message(turn, incoming.content, None)
    }

    /// The message is complete, in chunks with the last one.
    pub(super) fn end_of_message(
        &mut self,
        turn: &mut Turn<'_, '_>,
        mut content: Content,
        last_chunk: Option<&IncomingChunk>,
    ) -> Step {
        if self.is_lmtp() {
            return self.answer_recipients(turn, content, last_chunk);
        }
        let policy = turn.policy;
        let verdict = content.refusal.map_or(Ok(ReplyKind::MessageReceived), Err);
        let received = self.received(policy, &content, last_chunk);
        let asked = Asked { size: Some(content.size), ..Asked::at(Stage::Message) };
        let answer = self.answer(turn, asked, verdict);
        self.messages = self.messages.saturating_add(u32::from(answer.accepted));
        self.end_mail(policy, answer.accepted);
        let retry_key = self.retry_key(policy, |keys| keys.message());
        let message = Received { is_accepted: answer.accepted, ..received };
        let is_only_chunk = last_chunk.is_some_and(|chunk| chunk.is_first);
        let event = Event::Message { size: content.size, text: &mut content.text, is_only_chunk };
        let details = Details { message: Some(message), retry_key, ..Details::default() };
        self.conclude_with(turn, Stage::Message, &answer, Some(event), details)
    }

    /// The properties of the received message, before its mail transaction ends.
    #[inline]
    pub(super) fn received(
        &self,
        policy: &Policy,
        content: &Content,
        last_chunk: Option<&IncomingChunk>,
    ) -> Received {
        let lines = content.lines();
        let mut message = Received {
            size: content.size,
            lines,
            is_chunked: last_chunk.is_some(),
            declared: None,
            is_undeclared_eight_bit: false,
            recipient: None,
            is_accepted: false,
        };
        let has_parameters = matches!(
            self.sequence,
            Sequence::Mail(Transaction { has_parameters: true, .. })
                | Sequence::Chunks(Transaction { has_parameters: true, .. })
        );
        if has_parameters || lines.is_some() {
            self.compare_with_parameters(policy, &mut message);
        }
        message
    }

    /// Compares the message with the declarations of MAIL.
    #[cold]
    #[inline(never)]
    fn compare_with_parameters(&self, policy: &Policy, message: &mut Received) {
        message.declared = self.declared.size.filter(|_| self.is_extended(policy));
        message.is_undeclared_eight_bit = message.lines.is_some_and(|lines| lines.has_eight_bit)
            && self.requires_eight_bit_declared(policy);
    }

    /// The session was offered 8BITMIME, but MAIL declares neither BODY nor SMTPUTF8, which allows 8-bit header fields.
    fn requires_eight_bit_declared(&self, policy: &Policy) -> bool {
        self.is_extended(policy) && !self.declared.is_eight_bit() && self.extensions.include("8BITMIME")
    }

    /// The mail transaction ends with its message.
    pub(super) fn end_mail(&mut self, policy: &Policy, is_delivered: bool) {
        self.sequence = match self.sequence {
            Sequence::Mail(mail) | Sequence::Chunks(mail) if policy.records == RecordMode::Session => {
                Sequence::Past(Transaction { is_delivered, ..mail })
            }
            sequence => sequence.without_mail(),
        };
    }
}
