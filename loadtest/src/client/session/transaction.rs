//! The mail transaction of a session: what was accepted and refused in it, and what follows.

use super::chunks::{Chunk, Chunks};
use super::{Command, Next, Session, State, Verdict};
use crate::client::enhanced::Reply;
use crate::client::phase::Phase;

/// What was answered in a transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transaction {
    /// Whether MAIL was refused.
    pub(super) is_mail_refused: bool,
    /// Recipients that the server accepted.
    pub(super) taken: u16,
    pub(super) chunks: Chunks,
    /// Replies to the end of the message, and how many of them accepted it.
    pub(super) concluded: u16,
    pub(super) delivered: u16,
    /// The first refusal of MAIL or a recipient.
    pub(super) refusal: Option<(Phase, Reply)>,
    /// The first refusal of a chunk before the last, and of the end of the message.
    pub(super) chunk_refusal: Option<(Phase, Reply)>,
    pub(super) content_refusal: Option<(Phase, Reply)>,
}

impl Session {
    /// Starts a mail transaction in a session that is ready; returns what to send. `size` is that of the message, in
    /// octets.
    #[inline]
    pub(crate) fn begin(&mut self, size: impl FnOnce() -> usize) -> Command {
        debug_assert_eq!(self.state, State::Ready);
        self.state = State::Mail;
        self.transaction = Transaction::default();
        match self.dialect.chunk.filter(|_| self.offer.chunking) {
            Some(each) => self.transaction.chunks = Chunks::of(size(), each.get()),
            None => return if self.is_grouped() { Command::Group } else { Command::Mail },
        }
        if self.is_grouped() { Command::ChunkGroup } else { Command::Mail }
    }

    /// Whether the next chunk may be sent although replies are due: those before it were pipelined, and nothing was
    /// refused.
    #[inline]
    pub(crate) fn may_send_chunk(&self) -> bool {
        self.transaction.chunks.are_left()
            && self.is_grouped()
            && self.phase().is_some()
            && !self.is_refused()
    }

    /// Begins the next chunk.
    pub(crate) fn next_chunk(&mut self) -> Chunk {
        self.transaction.chunks.begin()
    }

    /// Whether the end of the message was sent, or is being sent: the server may have accepted it.
    #[inline]
    pub(crate) fn has_begun_end(&self) -> bool {
        self.state == State::Body || (self.transaction.chunks.has_begun_last() && self.phase().is_some())
    }

    /// Whether the message can no longer be accepted.
    fn is_refused(&self) -> bool {
        let are_recipients_refused = self.transaction.taken == 0
            && matches!(self.state, State::Data | State::Body | State::Chunks | State::EmptyBody);
        self.transaction.is_mail_refused || are_recipients_refused || self.transaction.chunk_refusal.is_some()
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.transaction.chunks != Chunks::default()
    }

    #[inline]
    pub(super) fn after_mail(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            self.transaction.is_mail_refused = true;
            self.transaction.refusal = Some((Phase::Mail, reply));
        }
        if self.is_grouped() {
            self.state = State::Rcpt(0);
            return (None, Next::Wait);
        }
        if positive {
            return (None, self.send(Command::Rcpt(0), State::Rcpt(0)));
        }
        self.state = State::Ready;
        (Some(Verdict::Refused { phase: Phase::Mail, reply }), Next::Ready)
    }

    #[inline]
    pub(super) fn after_rcpt(&mut self, index: u16, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            self.transaction.refusal.get_or_insert((Phase::Rcpt, reply));
        } else if !self.transaction.is_mail_refused {
            self.transaction.taken += 1;
        }
        let following = index + 1;
        if following < self.dialect.recipients {
            self.state = State::Rcpt(following);
            let next = if self.is_grouped() { Next::Wait } else { Next::Send(Command::Rcpt(following)) };
            return (None, next);
        }
        if self.is_grouped() {
            self.state = if self.is_chunked() { State::Chunks } else { State::Data };
            return (None, Next::Wait);
        }
        if self.transaction.taken == 0 {
            return self.reset(Phase::Rcpt, reply);
        }
        let next = match self.is_chunked() {
            true => self.send(Command::Chunk, State::Chunks),
            false => self.send(Command::Data, State::Data),
        };
        (None, next)
    }

    #[inline]
    pub(super) fn after_data(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            return self.reset(Phase::Data, reply);
        }
        if !self.is_refused() {
            return (None, self.send(Command::Body, State::Body));
        }
        if self.dialect.is_lmtp {
            // Without a recipient, nothing says how many replies a dot would have (RFC 2033 section 4.2).
            self.state = State::Closed;
            return (Some(refused_by(self.transaction.refusal, Phase::Data, reply)), Next::Close);
        }
        (None, self.send(Command::EmptyBody, State::EmptyBody))
    }

    #[inline]
    pub(super) fn after_body(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        match self.conclude(reply, positive) {
            None => (None, Next::Wait),
            Some(verdict) => {
                self.state = State::Ready;
                (Some(verdict), Next::Ready)
            }
        }
    }

    /// Counts a reply to the end of the message. Returns the verdict with the last one.
    #[inline]
    fn conclude(&mut self, reply: Reply, positive: bool) -> Option<Verdict> {
        self.transaction.concluded += 1;
        if positive {
            self.transaction.delivered += 1;
        } else {
            self.transaction.content_refusal.get_or_insert((Phase::Dot, reply));
        }
        let due = if self.dialect.is_lmtp { self.transaction.taken.max(1) } else { 1 };
        if self.transaction.concluded < due {
            return None;
        }
        let is_refused = self.transaction.delivered == 0;
        Some(if is_refused {
            refused_by(self.transaction.content_refusal, Phase::Dot, reply)
        } else {
            Verdict::Accepted
        })
    }

    #[inline(never)]
    pub(super) fn after_chunk(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if self.transaction.chunks.awaits_last() {
            if self.conclude(reply, positive).is_none() {
                return (None, Next::Wait);
            }
        } else if !positive {
            self.transaction.chunk_refusal.get_or_insert((Phase::Bdat, reply));
        }
        self.transaction.chunks.answer();
        if self.transaction.chunks.unanswered() > 0 {
            return if self.is_out_of_step() { self.end_refused(reply) } else { (None, Next::Wait) };
        }
        let has_ended = !self.transaction.chunks.are_left();
        if self.is_refused() || (has_ended && self.transaction.delivered == 0) {
            // What is left of the transaction is not defined (RFC 3030 section 2).
            let verdict = self.refused_by_first(reply);
            self.transaction.chunks = Chunks::default();
            return (Some(verdict), self.send(Command::Rset, State::Rset));
        }
        if has_ended {
            self.state = State::Ready;
            return (Some(Verdict::Accepted), Next::Ready);
        }
        (None, if self.is_grouped() { Next::Wait } else { Next::Send(Command::Chunk) })
    }

    /// Whether the last chunk follows a refused one, and nothing says how many replies it has: one, or with LMTP
    /// one for each recipient.
    fn is_out_of_step(&self) -> bool {
        self.dialect.is_lmtp
            && self.transaction.chunk_refusal.is_some()
            && self.transaction.chunks.has_begun_last()
    }

    /// Ends the transaction and the session.
    fn end_refused(&mut self, reply: Reply) -> (Option<Verdict>, Next) {
        let verdict = self.refused_by_first(reply);
        self.state = State::Closed;
        (Some(verdict), Next::Close)
    }

    /// The verdict of a message that was refused in chunks.
    fn refused_by_first(&self, reply: Reply) -> Verdict {
        let of_envelope = self.transaction.refusal.filter(|_| self.transaction.taken == 0);
        refused_by(
            of_envelope.or(self.transaction.chunk_refusal).or(self.transaction.content_refusal),
            Phase::Dot,
            reply,
        )
    }

    /// Ends the transaction without a message; the first refusal is the reason.
    fn reset(&mut self, phase: Phase, reply: Reply) -> (Option<Verdict>, Next) {
        let reason = if self.transaction.taken > 0 { None } else { self.transaction.refusal };
        let verdict = refused_by(reason, phase, reply);
        (Some(verdict), self.send(Command::Rset, State::Rset))
    }
}

pub(super) fn refused_by(first: Option<(Phase, Reply)>, phase: Phase, reply: Reply) -> Verdict {
    let (phase, reply) = first.unwrap_or((phase, reply));
    Verdict::Refused { phase, reply }
}
