//! BDAT: a message in chunks (RFC 3030 section 2). The command line decides about a chunk; the reply follows its
//! octets.
//!
//! A refused chunk is discarded with the rest of its message, until the last chunk, RSET, MAIL or HELO, as by Postfix
//! (`skip_bdat`): the client may have sent the rest before it could read the refusal.

use crate::smtp::command::Chunk;
use crate::smtp::policy::Policy;
use crate::smtp::receive::RetryKey;
use crate::smtp::receive::incoming::{Content, Intake};
use crate::smtp::record::Event;
use crate::smtp::reply::{Next, ReplyKind, Stage};
use crate::smtp::session::answer::{Answer, Asked};
use crate::smtp::session::dialogue::{Dialogue, Receiving};
use crate::smtp::session::sequence::{Sequence, Transaction};
use crate::smtp::session::step::{Details, Progress, Step};
use crate::smtp::session::turn::Turn;

/// The chunk being received.
#[derive(Clone, Copy, Debug)]
pub(super) struct IncomingChunk {
    /// Octets still to come.
    left: u64,
    is_last: bool,
    /// The first chunk of its message.
    pub(super) is_first: bool,
    /// The chunk has no message to belong to; it is discarded and gets this reply.
    stray: Option<ReplyKind>,
}

impl Dialogue {
    /// BDAT is a command in this session.
    pub(super) fn has_bdat(&self, policy: &Policy) -> bool {
        self.is_extended(policy) || self.extensions.have_chunking()
    }

    /// A message is being received in chunks, and a command is expected.
    pub(super) fn is_between_chunks(&self) -> bool {
        matches!(&self.chunks, Some(content) if content.refusal.is_none())
    }

    /// Handles BDAT and the received part of its chunk: `rest` follows the line.
    #[cold]
    #[inline(never)]
    pub(super) fn bdat_line(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        chunk: Option<Chunk>,
        rest: &[u8],
        consumed: usize,
    ) -> Progress {
        let progress = match self.bdat(turn, line, chunk) {
            Some(step) => {
                Progress { consumed: 0, line: None, step: Some(step), check: None, expects: self.expects() }
            }
            None => self.take_chunk(turn, rest),
        };
        Progress { consumed: consumed + progress.consumed, line: turn.line, ..progress }
    }

    /// Handles the command line. `None`: a chunk follows, of any size.
    fn bdat(&mut self, turn: &mut Turn<'_, '_>, line: &[u8], chunk: Option<Chunk>) -> Option<Step> {
        let policy = turn.policy;
        let Some(Chunk { size, is_last }) = chunk else { return Some(self.unframed(turn)) };
        let stray = self.check_bdat(policy);
        let is_first = self.chunks.is_none() && stray != Some(ReplyKind::InvalidCommand);
        if is_first {
            if let Some(mail) = self.sequence.mail() {
                mail.is_delivered = false;
            }
            turn.records.note_first_bdat(policy, line);
        }
        let is_too_big = stray.is_none() && self.expect_octets(policy, size);
        self.receiving = Receiving::Chunk(IncomingChunk { left: size, is_last, is_first, stray });
        // A session that will be closed need not read the octets.
        let is_over = policy.fail_fast && (stray.is_some() || is_too_big);
        is_over.then(|| {
            self.is_cut_short = size > 0;
            if let Some(content) = &mut self.chunks {
                content.size = sum(content.size, size);
            }
            self.end_of_chunk(turn)
        })
    }

    /// Why a chunk is out of sequence; `None` if it is valid.
    fn check_bdat(&self, policy: &Policy) -> Option<ReplyKind> {
        if !self.extensions.have_chunking() {
            return Some(ReplyKind::InvalidCommand);
        }
        match self.sequence {
            Sequence::Chunks(_) if !self.is_between_chunks() => Some(ReplyKind::ChunkAfterRefusal),
            Sequence::Chunks(_) => None,
            Sequence::Mail(Transaction { has_recipient: true, .. }) => self.room_for_message(policy).err(),
            _ => Some(ReplyKind::InvalidBdatSequence),
        }
    }

    /// Prepares for a chunk. Returns whether the message would become too big, and is refused.
    fn expect_octets(&mut self, policy: &Policy, size: u64) -> bool {
        if let Sequence::Mail(mail) = self.sequence {
            // Lines of a binary message may contain any octets (RFC 3030 section 3).
            let content = Content::in_chunks(self.is_next_inspected() && !mail.is_binary);
            self.begin_chunks(mail, content);
            self.retry_key(policy, |keys| keys.data(true));
        }
        let Some(content) = &mut self.chunks else { return false };
        let is_too_big = sum(content.size, size) > policy.message_size_limit();
        if is_too_big {
            content.refuse(ReplyKind::MessageTooBig);
        }
        is_too_big
    }

    fn begin_chunks(&mut self, mail: Transaction, content: Content) {
        self.sequence = Sequence::Chunks(mail);
        self.chunks = Some(Box::new(content));
    }

    /// Answers RCPT or DATA between chunks; the message continues unaffected, as with Postfix.
    #[cold]
    pub(super) fn refuse_amid_chunks(&mut self, turn: &mut Turn<'_, '_>, asked: Asked<'_>) -> Step {
        let kind = match self.is_between_chunks() {
            true => ReplyKind::BdatExpected,
            false => ReplyKind::ChunkAfterRefusal,
        };
        let answer = self.answer(turn, asked, Err(kind));
        self.conclude(turn, asked.stage, &answer, None)
    }

    /// The next command can't be located: closes the session.
    fn unframed(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let answer = self.answer(turn, Asked::at(Stage::Bdat), Err(ReplyKind::InvalidBdatArgument));
        let next = if answer.next == Next::Continue { Next::Close } else { answer.next };
        self.is_cut_short = true;
        self.conclude(turn, Stage::Bdat, &Answer { next, ..answer }, None)
    }

    /// Takes octets of the chunk being received.
    pub(super) fn take_chunk(&mut self, turn: &mut Turn<'_, '_>, input: &[u8]) -> Progress {
        let Receiving::Chunk(chunk) = &mut self.receiving else { unreachable!("a chunk is being received") };
        let consumed = usize::try_from(chunk.left).map_or(input.len(), |left| left.min(input.len()));
        chunk.left -= consumed as u64;
        if let Some(content) = self.chunks.as_deref_mut().filter(|_| chunk.stray.is_none()) {
            let (memory_left, retry_keys) = (self.memory_left, self.retry_keys.as_deref_mut());
            content.take(&mut Intake { policy: turn.policy, memory_left, retry_keys }, &input[..consumed]);
        }
        let step = (chunk.left == 0).then(|| self.end_of_chunk(turn));
        Progress { consumed, line: None, step, check: None, expects: self.expects() }
    }

    fn end_of_chunk(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let Receiving::Chunk(chunk) = std::mem::take(&mut self.receiving) else {
            unreachable!("a chunk ends after it has begun")
        };
        match (chunk.stray, chunk.is_last, self.chunks.take()) {
            (Some(kind), _, content) => {
                self.chunks = content;
                self.refuse_stray(turn, chunk, kind)
            }
            (None, true, Some(content)) => self.end_of_message(turn, *content, Some(&chunk)),
            (None, _, content) => {
                self.chunks = content;
                self.accept_chunk(turn, chunk)
            }
        }
    }

    /// Answers a chunk without a message.
    fn refuse_stray(&mut self, turn: &mut Turn<'_, '_>, chunk: IncomingChunk, kind: ReplyKind) -> Step {
        let policy = turn.policy;
        let answer = self.answer(turn, Asked::at(Stage::Bdat), Err(kind));
        if kind == ReplyKind::InvalidCommand {
            return self.conclude(turn, Stage::Bdat, &answer, None);
        }
        let retry_key = match self.sequence {
            Sequence::Mail(Transaction { has_recipient: true, .. }) if chunk.is_first => {
                self.retry_key(policy, |keys| keys.data(true))
            }
            _ => RetryKey::Nothing,
        };
        let ends_mail = self.is_in_transaction() && chunk.is_last;
        match self.sequence {
            _ if ends_mail => {
                self.end_mail(policy, false);
                self.chunks = None;
            }
            Sequence::Mail(mail) => {
                self.begin_chunks(mail, Content::default());
                self.refuse_rest();
            }
            _ => {}
        }
        let event = Event::Bdat { is_first: chunk.is_first, size: None, ends_mail };
        let details = Details { retry_key, ..Details::default() };
        self.conclude_with(turn, Stage::Bdat, &answer, Some(event), details)
    }

    /// Answers a chunk that is not the last.
    fn accept_chunk(&mut self, turn: &mut Turn<'_, '_>, chunk: IncomingChunk) -> Step {
        let refusal = self.chunks.as_ref().and_then(|content| content.refusal);
        let verdict = refusal.map_or(Ok(ReplyKind::ChunkReceived), Err);
        let answer = self.answer(turn, Asked::at(Stage::Bdat), verdict);
        let size = self.chunks.as_ref().map(|content| content.size);
        let retry_key = match (chunk.is_first, answer.accepted) {
            (true, _) => self.retry_key(turn.policy, |_| RetryKey::Data),
            (false, false) => self.retry_key(turn.policy, |keys| keys.message()),
            (false, true) => RetryKey::Nothing,
        };
        if !answer.accepted {
            self.refuse_rest();
        }
        let event = Event::Bdat { is_first: chunk.is_first, size, ends_mail: false };
        let details = Details { retry_key, ..Details::default() };
        self.conclude_with(turn, Stage::Bdat, &answer, Some(event), details)
    }

    /// Refuses the message in chunks.
    fn refuse_rest(&mut self) {
        if let Some(content) = &mut self.chunks {
            content.refuse(ReplyKind::ChunkAfterRefusal);
        }
    }
}

fn sum(octets: usize, more: u64) -> usize {
    usize::try_from(more).map_or(usize::MAX, |more| octets.saturating_add(more))
}
