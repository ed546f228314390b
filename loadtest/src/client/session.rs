//! The SMTP client as a state machine. Pure: no sockets, no clocks.
//!
//! The reactor passes in what arrived ([`Session::on_connected`], [`Session::on_line`]) and carries out the returned
//! [`Reaction`]. With PIPELINING (RFC 2920) MAIL, every RCPT and DATA are sent as one group, and the replies are
//! matched to the commands in the order in which they were sent. A reply answers only what has left the process: an
//! earlier one is an error of the server, whatever its code.
//!
//! With CHUNKING (RFC 3030) the first chunk takes the place of DATA in a group, and the next ones follow without a wait
//! until something is refused ([`Session::may_send_chunk`]). With LMTP (RFC 2033) the end of the message has a reply for
//! each recipient that was accepted.

mod chunks;

use std::sync::Arc;

use crate::client::dialect::Dialect;
use crate::client::enhanced::Reply;
use crate::client::offer::Offer;
use crate::client::phase::Phase;
use crate::client::reply::Line;
use crate::client::sasl::{BadChallenge, Exchange, Mechanism};
pub(crate) use chunks::Chunk;
use chunks::Chunks;

/// The reply code with which a server ends the session (RFC 5321 section 3.8).
const CLOSING: u16 = 421;

/// The reply code of a challenge (RFC 4954 section 4).
const CONTINUE: u16 = 334;

/// What the client sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ehlo,
    /// The greeting of a session without extensions, where the server refuses EHLO (RFC 5321 section 3.2).
    Helo,
    /// AUTH, and a response to a challenge of its exchange: [`Session::take_line`].
    Auth,
    Response,
    Mail,
    /// RCPT for the recipient with this index.
    Rcpt(u16),
    Data,
    /// MAIL, every RCPT and DATA in one write.
    Group,
    /// MAIL, every RCPT and the first chunk in one write.
    ChunkGroup,
    /// The next chunk of the message.
    Chunk,
    /// The message and its final dot.
    Body,
    /// A lone dot: DATA was accepted although MAIL or every recipient was refused (RFC 2920 section 3.1).
    EmptyBody,
    Rset,
    Quit,
}

/// How the server decided on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused {
        phase: Phase,
        reply: Reply,
    },
    /// The server does not offer what the message needs.
    NotOffered(Need),
}

/// What a message may need of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Smtputf8,
    /// A mechanism of AUTH that the credentials can complete.
    Mechanism,
}

/// The next step of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait: more replies are due.
    Wait,
    Send(Command),
    /// The session is ready for its next message.
    Ready,
    Close,
    /// The server has ended the session with 421.
    Ended,
}

/// What has not left the process yet of the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    Nothing,
    /// The ends of this number of commands, one or more.
    Commands(usize),
    /// The end of the message.
    Message,
    /// All of it: the server's line had arrived before.
    All,
}

/// A reply to a command, or the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) phase: Phase,
    pub(crate) reply: Reply,
    /// Whether the code is one of success in this phase.
    pub(crate) positive: bool,
    /// Whether it decides on a recipient, and MAIL was accepted: a reply to RCPT, or with LMTP a refusal by it, and
    /// the recipient's reply to the message.
    pub(crate) is_of_recipient: bool,
}

/// What follows from a complete reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reaction {
    /// Set when a timed phase has ended.
    pub(crate) answer: Option<Answer>,
    /// Set when the message in flight has ended.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) next: Next,
}

/// Why a reply is an error of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The code does not fit the command, like 250 to DATA.
    OutOfOrder,
    /// What the reply would answer has not left yet, or nothing awaits a reply.
    Early,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Banner,
    Ehlo,
    Helo,
    Auth,
    Ready,
    Mail,
    Rcpt(u16),
    Data,
    Body,
    Chunks,
    /// The lone dot of a group of which MAIL or every recipient was refused.
    EmptyBody,
    Rset,
    Quit,
    Closed,
}

/// One session, from the connection to its end.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    dialect: Dialect,
    offer: Offer,
    /// Whether the first line of the reply to EHLO, which is no keyword, has been read.
    is_greeted: bool,
    /// Whether EHLO was refused.
    is_without_ehlo: bool,
    /// The exchange of AUTH, also when it has ended, and its next line.
    exchange: Option<Box<Exchange>>,
    line: Vec<u8>,
    /// Whether MAIL was refused in this transaction.
    is_mail_refused: bool,
    /// Recipients that the server accepted in this transaction.
    taken: u16,
    chunks: Chunks,
    /// Replies to the end of the message, and how many of them accepted it.
    concluded: u16,
    delivered: u16,
    /// The first refusal of MAIL or a recipient in this transaction.
    refusal: Option<(Phase, Reply)>,
    /// The first refusal of a chunk before the last, and of the end of the message.
    chunk_refusal: Option<(Phase, Reply)>,
    content_refusal: Option<(Phase, Reply)>,
    /// Whether QUIT was sent; the state may be `Closed` since.
    sent_quit: bool,
}

impl Session {
    pub(crate) fn new(dialect: Dialect) -> Session {
        Session {
            state: State::Connecting,
            dialect,
            offer: Offer::default(),
            is_greeted: false,
            is_without_ehlo: false,
            exchange: None,
            line: Vec::new(),
            is_mail_refused: false,
            taken: 0,
            chunks: Chunks::default(),
            concluded: 0,
            delivered: 0,
            refusal: None,
            chunk_refusal: None,
            content_refusal: None,
            sent_quit: false,
        }
    }

    /// The timed phase of the session; `None` when idle, resetting or quitting.
    pub(crate) fn phase(&self) -> Option<Phase> {
        match self.state {
            State::Connecting => Some(Phase::Connect),
            State::Banner => Some(Phase::Banner),
            State::Ehlo | State::Helo => Some(Phase::Ehlo),
            State::Auth => Some(Phase::Auth),
            State::Mail => Some(Phase::Mail),
            State::Rcpt(_) => Some(Phase::Rcpt),
            State::Data => Some(Phase::Data),
            State::Chunks if !self.chunks.awaits_last() => Some(Phase::Bdat),
            State::Body | State::Chunks | State::EmptyBody => Some(Phase::Dot),
            State::Ready | State::Rset | State::Quit | State::Closed => None,
        }
    }

    /// The extensions that the server offered with EHLO.
    pub(crate) fn offer(&self) -> Offer {
        self.offer
    }

    /// Whether the server refused EHLO.
    pub(crate) fn is_without_ehlo(&self) -> bool {
        self.is_without_ehlo
    }

    /// The mechanism with which the session has authenticated, or tried to.
    pub(crate) fn mechanism(&self) -> Option<Mechanism> {
        self.exchange.as_ref().map(|exchange| exchange.mechanism())
    }

    /// The next line of AUTH, with its line end.
    pub(crate) fn take_line(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    /// Whether the greeting, EHLO or HELO, and AUTH have succeeded.
    pub(crate) fn is_established(&self) -> bool {
        !matches!(
            self.state,
            State::Connecting | State::Banner | State::Ehlo | State::Helo | State::Auth | State::Closed
        )
    }

    /// Whether QUIT was sent, so that the end of the session is expected.
    pub(crate) fn has_sent_quit(&self) -> bool {
        self.sent_quit
    }

    /// The TCP handshake is complete.
    pub(crate) fn on_connected(&mut self) {
        debug_assert_eq!(self.state, State::Connecting);
        self.state = State::Banner;
    }

    /// Starts a mail transaction in a session that is ready; returns what to send. `size` is that of the message, in
    /// octets.
    pub(crate) fn begin(&mut self, size: impl FnOnce() -> usize) -> Command {
        debug_assert_eq!(self.state, State::Ready);
        self.state = State::Mail;
        self.is_mail_refused = false;
        self.taken = 0;
        self.concluded = 0;
        self.delivered = 0;
        self.refusal = None;
        self.chunk_refusal = None;
        self.content_refusal = None;
        self.chunks = Chunks::default();
        match self.dialect.chunk.filter(|_| self.offer.chunking) {
            Some(each) => self.chunks = Chunks::of(size(), each.get()),
            None => return if self.is_grouped() { Command::Group } else { Command::Mail },
        }
        if self.is_grouped() { Command::ChunkGroup } else { Command::Mail }
    }

    /// Whether the next chunk may be sent although replies are due: those before it were pipelined, and nothing was
    /// refused.
    pub(crate) fn may_send_chunk(&self) -> bool {
        self.chunks.are_left() && self.is_grouped() && self.phase().is_some() && !self.is_refused()
    }

    /// Begins the next chunk.
    pub(crate) fn next_chunk(&mut self) -> Chunk {
        self.chunks.begin()
    }

    /// Whether the end of the message was sent, or is being sent: the server may have accepted it.
    pub(crate) fn has_begun_end(&self) -> bool {
        self.state == State::Body || (self.chunks.has_begun_last() && self.phase().is_some())
    }

    /// Ends a session that is ready; returns what to send.
    pub(crate) fn quit(&mut self) -> Command {
        self.state = State::Quit;
        self.sent_quit = true;
        Command::Quit
    }

    /// Whether the message can no longer be accepted.
    fn is_refused(&self) -> bool {
        let are_recipients_refused = self.taken == 0
            && matches!(self.state, State::Data | State::Body | State::Chunks | State::EmptyBody);
        self.is_mail_refused || are_recipients_refused || self.chunk_refusal.is_some()
    }

    /// Processes one line of a reply, which arrived while `unsent` had not left. The last line of a reply gives a
    /// reaction.
    pub(crate) fn on_line(&mut self, line: Line<'_>, unsent: Unsent) -> Result<Option<Reaction>, Violation> {
        if self.is_early(line.code, unsent) {
            return Err(Violation::Early);
        }
        if self.state == State::Ehlo && std::mem::replace(&mut self.is_greeted, true) {
            self.offer.take(line.text);
        }
        match line.last {
            true if line.code == CONTINUE && self.state == State::Auth => {
                self.on_challenge(line.text).map(Some)
            }
            true => self.on_reply(Reply::of(line.code, line.text)).map(Some),
            false => Ok(None),
        }
    }

    /// Whether a reply is earlier than what it would answer. A 421 answers no command, and a server may refuse a
    /// message before its end.
    fn is_early(&self, code: u16, unsent: Unsent) -> bool {
        if code == CLOSING {
            return false;
        }
        match (self.state, unsent) {
            (State::Connecting | State::Ready | State::Closed, _) | (_, Unsent::All) => true,
            (State::Body, Unsent::Message) => code < 400,
            (_, Unsent::Message) => true,
            (State::Chunks, _) if self.chunks.unanswered() == 0 => true,
            (_, Unsent::Nothing) => false,
            (State::Chunks, Unsent::Commands(count)) if code >= 400 => count > self.commands_behind() + 1,
            (_, Unsent::Commands(count)) => count > self.commands_behind(),
        }
    }

    /// The number of commands that were sent after the one whose reply is due; a chunk is one.
    fn commands_behind(&self) -> usize {
        let after = match self.state {
            State::Mail if self.is_grouped() => usize::from(self.dialect.recipients),
            State::Rcpt(index) if self.is_grouped() => usize::from(self.dialect.recipients - index) - 1,
            State::Chunks => return self.chunks.unanswered() - 1,
            _ => return 0,
        };
        after + if self.is_chunked() { self.chunks.unanswered() } else { 1 }
    }

    fn is_chunked(&self) -> bool {
        self.chunks != Chunks::default()
    }

    fn on_challenge(&mut self, text: &[u8]) -> Result<Reaction, Violation> {
        let exchange = self.exchange.as_mut().ok_or(Violation::OutOfOrder)?;
        self.line = exchange.respond(text).map_err(|BadChallenge| Violation::OutOfOrder)?;
        Ok(Reaction { answer: None, verdict: None, next: Next::Send(Command::Response) })
    }

    /// What follows a successful EHLO.
    fn after_ehlo(&mut self) -> (Option<Verdict>, Next) {
        let lacks_utf8 = self.dialect.smtputf8 && !self.offer.smtputf8;
        let Some(login) = self.dialect.login.as_ref().filter(|_| !lacks_utf8) else {
            if lacks_utf8 {
                return self.leave(Need::Smtputf8);
            }
            self.state = State::Ready;
            return (None, Next::Ready);
        };
        let Some(mechanism) = login.choose(self.offer.mechanisms) else {
            return self.leave(Need::Mechanism);
        };
        let (exchange, line) = Exchange::begin(Arc::clone(login), mechanism);
        self.line = line;
        self.exchange = Some(Box::new(exchange));
        (None, self.send(Command::Auth, State::Auth))
    }

    fn leave(&mut self, need: Need) -> (Option<Verdict>, Next) {
        let command = self.quit();
        (Some(Verdict::NotOffered(need)), Next::Send(command))
    }

    fn after_auth(&mut self, reply: Reply, positive: bool) -> Result<(Option<Verdict>, Next), Violation> {
        if !positive {
            return Ok(self.give_up(Phase::Auth, reply));
        }
        if self.exchange.as_ref().is_some_and(|exchange| !exchange.may_succeed()) {
            return Err(Violation::OutOfOrder);
        }
        self.state = State::Ready;
        Ok((None, Next::Ready))
    }

    fn on_reply(&mut self, reply: Reply) -> Result<Reaction, Violation> {
        let class = reply.code / 100;
        let phase = self.phase();
        let [of_refused, of_accepted] = [false, true].map(|positive| self.is_of_recipient(positive));
        let answer = |positive| {
            let is_of_recipient = if positive { of_accepted } else { of_refused };
            phase.map(|phase| Answer { phase, reply, positive, is_of_recipient })
        };
        if reply.code == CLOSING {
            let refused = |phase| Verdict::Refused { phase, reply };
            let verdict =
                phase.map(|phase| if self.delivered > 0 { Verdict::Accepted } else { refused(phase) });
            self.state = State::Closed;
            return Ok(Reaction { answer: answer(false), verdict, next: Next::Ended });
        }
        let wanted = if self.state == State::Data { 3 } else { 2 };
        if class != wanted && class < 4 {
            return Err(Violation::OutOfOrder);
        }
        let positive = class == wanted;
        let (verdict, next) = self.advance(reply, positive)?;
        Ok(Reaction { answer: answer(positive), verdict, next })
    }

    /// Whether a reply that accepts or refuses now decides on a recipient.
    fn is_of_recipient(&self, positive: bool) -> bool {
        match self.state {
            State::Rcpt(_) => !self.is_mail_refused && (!positive || !self.dialect.is_lmtp),
            State::Body => self.dialect.is_lmtp,
            State::Chunks => self.dialect.is_lmtp && self.taken > 0 && self.chunks.awaits_last(),
            _ => false,
        }
    }

    fn advance(&mut self, reply: Reply, positive: bool) -> Result<(Option<Verdict>, Next), Violation> {
        match self.state {
            State::Banner if positive => Ok((None, self.send(Command::Ehlo, State::Ehlo))),
            State::Banner => Ok(self.give_up(Phase::Banner, reply)),
            State::Ehlo | State::Helo if positive => Ok(self.after_ehlo()),
            // A 4yz is of the server's state, which HELO would not change.
            State::Ehlo if reply.code >= 500 && self.dialect.may_use_helo() => {
                self.offer = Offer::default();
                self.is_without_ehlo = true;
                Ok((None, self.send(Command::Helo, State::Helo)))
            }
            State::Ehlo | State::Helo => Ok(self.give_up(Phase::Ehlo, reply)),
            State::Auth => self.after_auth(reply, positive),
            State::Mail => Ok(self.after_mail(reply, positive)),
            State::Rcpt(index) => Ok(self.after_rcpt(index, reply, positive)),
            State::Data => Ok(self.after_data(reply, positive)),
            State::Body => Ok(self.after_body(reply, positive)),
            State::Chunks => Ok(self.after_chunk(reply, positive)),
            State::EmptyBody => {
                self.state = State::Ready;
                Ok((Some(refused_by(self.refusal, Phase::Dot, reply)), Next::Ready))
            }
            State::Rset if positive => {
                self.state = State::Ready;
                Ok((None, Next::Ready))
            }
            State::Rset | State::Quit => {
                self.state = State::Closed;
                Ok((None, Next::Close))
            }
            State::Connecting | State::Ready | State::Closed => Err(Violation::Early),
        }
    }

    fn after_mail(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            self.is_mail_refused = true;
            self.refusal = Some((Phase::Mail, reply));
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

    fn after_rcpt(&mut self, index: u16, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            self.refusal.get_or_insert((Phase::Rcpt, reply));
        } else if !self.is_mail_refused {
            self.taken += 1;
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
        if self.taken == 0 {
            return self.reset(Phase::Rcpt, reply);
        }
        let next = match self.is_chunked() {
            true => self.send(Command::Chunk, State::Chunks),
            false => self.send(Command::Data, State::Data),
        };
        (None, next)
    }

    fn after_data(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            return self.reset(Phase::Data, reply);
        }
        if !self.is_refused() {
            return (None, self.send(Command::Body, State::Body));
        }
        if self.dialect.is_lmtp {
            // Without a recipient, nothing says how many replies a dot would have (RFC 2033 section 4.2).
            self.state = State::Closed;
            return (Some(refused_by(self.refusal, Phase::Data, reply)), Next::Close);
        }
        (None, self.send(Command::EmptyBody, State::EmptyBody))
    }

    fn after_body(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        match self.conclude(reply, positive) {
            None => (None, Next::Wait),
            Some(verdict) => {
                self.state = State::Ready;
                (Some(verdict), Next::Ready)
            }
        }
    }

    /// Counts a reply to the end of the message. Returns the verdict with the last one.
    fn conclude(&mut self, reply: Reply, positive: bool) -> Option<Verdict> {
        self.concluded += 1;
        if positive {
            self.delivered += 1;
        } else {
            self.content_refusal.get_or_insert((Phase::Dot, reply));
        }
        let due = if self.dialect.is_lmtp { self.taken.max(1) } else { 1 };
        if self.concluded < due {
            return None;
        }
        let is_refused = self.delivered == 0;
        Some(if is_refused { refused_by(self.content_refusal, Phase::Dot, reply) } else { Verdict::Accepted })
    }

    fn after_chunk(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if self.chunks.awaits_last() {
            if self.conclude(reply, positive).is_none() {
                return (None, Next::Wait);
            }
        } else if !positive {
            self.chunk_refusal.get_or_insert((Phase::Bdat, reply));
        }
        self.chunks.answer();
        if self.chunks.unanswered() > 0 {
            return if self.is_out_of_step() { self.end_refused(reply) } else { (None, Next::Wait) };
        }
        let has_ended = !self.chunks.are_left();
        if self.is_refused() || (has_ended && self.delivered == 0) {
            // What is left of the transaction is not defined (RFC 3030 section 3).
            let verdict = self.refused_by_first(reply);
            self.chunks = Chunks::default();
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
        self.dialect.is_lmtp && self.chunk_refusal.is_some() && self.chunks.has_begun_last()
    }

    /// Ends the transaction and the session.
    fn end_refused(&mut self, reply: Reply) -> (Option<Verdict>, Next) {
        let verdict = self.refused_by_first(reply);
        self.state = State::Closed;
        (Some(verdict), Next::Close)
    }

    /// The verdict of a message that was refused in chunks.
    fn refused_by_first(&self, reply: Reply) -> Verdict {
        let of_envelope = self.refusal.filter(|_| self.taken == 0);
        refused_by(of_envelope.or(self.chunk_refusal).or(self.content_refusal), Phase::Dot, reply)
    }

    /// Ends the transaction without a message; the first refusal is the reason.
    fn reset(&mut self, phase: Phase, reply: Reply) -> (Option<Verdict>, Next) {
        let reason = if self.taken > 0 { None } else { self.refusal };
        let verdict = refused_by(reason, phase, reply);
        (Some(verdict), self.send(Command::Rset, State::Rset))
    }

    fn give_up(&mut self, phase: Phase, reply: Reply) -> (Option<Verdict>, Next) {
        let command = self.quit();
        (Some(Verdict::Refused { phase, reply }), Next::Send(command))
    }

    fn send(&mut self, command: Command, state: State) -> Next {
        self.state = state;
        Next::Send(command)
    }

    /// Whether the commands of a transaction are pipelined.
    pub(crate) fn is_grouped(&self) -> bool {
        self.dialect.pipelining && self.offer.pipelining
    }
}

fn refused_by(first: Option<(Phase, Reply)>, phase: Phase, reply: Reply) -> Verdict {
    let (phase, reply) = first.unwrap_or((phase, reply));
    Verdict::Refused { phase, reply }
}

#[cfg(test)]
mod tests;
