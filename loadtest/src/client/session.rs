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
mod step;
mod transaction;

use std::sync::Arc;

use crate::client::dialect::{Dialect, Encryption};
use crate::client::enhanced::Reply;
use crate::client::offer::Offer;
use crate::client::phase::Phase;
use crate::client::reply::Line;
use crate::client::sasl::{BadChallenge, Exchange, Mechanism};
pub(crate) use chunks::Chunk;
pub(crate) use step::{Answer, Command, Need, Next, Reaction, Unsent, Verdict, Violation};
use transaction::{Transaction, refused_by};

/// The reply code with which a server ends the session (RFC 5321 section 3.8).
const CLOSING: u16 = 421;

/// The reply code of a challenge (RFC 4954 section 4).
const CONTINUE: u16 = 334;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    /// The reply to STARTTLS is due.
    Starttls,
    /// The TLS handshake.
    Securing,
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

/// Whether a session is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    None,
    /// STARTTLS was refused.
    Refused,
    Tls,
}

/// One session, from the connection to its end.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    dialect: Dialect,
    offer: Offer,
    /// Whether the first line of the reply to EHLO, which is no keyword, has been read.
    is_greeted: bool,
    cover: Cover,
    /// Whether EHLO was refused.
    is_without_ehlo: bool,
    /// The exchange of AUTH, also when it has ended, and its next line.
    exchange: Option<Box<Exchange>>,
    line: Vec<u8>,
    transaction: Transaction,
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
            cover: Cover::None,
            is_without_ehlo: false,
            exchange: None,
            line: Vec::new(),
            transaction: Transaction::default(),
            sent_quit: false,
        }
    }

    /// The timed phase of the session; `None` when idle, resetting or quitting.
    #[inline]
    pub(crate) fn phase(&self) -> Option<Phase> {
        match self.state {
            State::Connecting => Some(Phase::Connect),
            State::Starttls | State::Securing => Some(Phase::Tls),
            State::Banner => Some(Phase::Banner),
            State::Ehlo | State::Helo => Some(Phase::Ehlo),
            State::Auth => Some(Phase::Auth),
            State::Mail => Some(Phase::Mail),
            State::Rcpt(_) => Some(Phase::Rcpt),
            State::Data => Some(Phase::Data),
            State::Chunks if !self.transaction.chunks.awaits_last() => Some(Phase::Bdat),
            State::Body | State::Chunks | State::EmptyBody => Some(Phase::Dot),
            State::Ready | State::Rset | State::Quit | State::Closed => None,
        }
    }

    /// The extensions that the server offered with EHLO.
    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    pub(crate) fn cover(&self) -> Cover {
        self.cover
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
            State::Connecting
                | State::Starttls
                | State::Securing
                | State::Banner
                | State::Ehlo
                | State::Helo
                | State::Auth
                | State::Closed
        )
    }

    /// Whether QUIT was sent, so that the end of the session is expected.
    pub(crate) fn has_sent_quit(&self) -> bool {
        self.sent_quit
    }

    /// The TCP handshake is complete.
    pub(crate) fn on_connected(&mut self) {
        debug_assert_eq!(self.state, State::Connecting);
        let is_implicit = self.dialect.encryption == Encryption::Implicit;
        self.state = if is_implicit { State::Securing } else { State::Banner };
    }

    /// Whether the TLS handshake is running.
    #[inline]
    pub(crate) fn is_securing(&self) -> bool {
        self.state == State::Securing
    }

    /// The TLS handshake is complete. Returns what to send; nothing if the greeting is due. What the server offered in
    /// the clear is forgotten (RFC 3207 section 4.2).
    pub(crate) fn on_secured(&mut self) -> Option<Command> {
        debug_assert_eq!(self.state, State::Securing);
        self.cover = Cover::Tls;
        if self.dialect.encryption == Encryption::Implicit {
            self.state = State::Banner;
            return None;
        }
        self.offer = Offer::default();
        self.is_greeted = false;
        self.state = State::Ehlo;
        Some(Command::Ehlo)
    }

    /// Ends a session that is ready; returns what to send.
    pub(crate) fn quit(&mut self) -> Command {
        self.state = State::Quit;
        self.sent_quit = true;
        Command::Quit
    }

    /// Processes one line of a reply, which arrived while `unsent` had not left. The last line of a reply gives a
    /// reaction.
    #[inline]
    pub(crate) fn on_line(&mut self, line: Line<'_>, unsent: Unsent) -> Result<Option<Reaction>, Violation> {
        // The usual case: a transaction runs, and its command has left.
        let is_in_step = unsent == Unsent::Nothing
            && matches!(self.state, State::Mail | State::Rcpt(_) | State::Data | State::Body);
        if !is_in_step && self.is_early(line.code, unsent) {
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
            (State::Connecting | State::Securing | State::Ready | State::Closed, _) | (_, Unsent::All) => {
                true
            }
            (State::Body, Unsent::Message) => code < 400,
            (_, Unsent::Message) => true,
            (State::Chunks, _) if self.transaction.chunks.unanswered() == 0 => true,
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
            State::Chunks => return self.transaction.chunks.unanswered() - 1,
            _ => return 0,
        };
        after + if self.is_chunked() { self.transaction.chunks.unanswered() } else { 1 }
    }

    fn on_challenge(&mut self, text: &[u8]) -> Result<Reaction, Violation> {
        let exchange = self.exchange.as_mut().ok_or(Violation::OutOfOrder)?;
        self.line = exchange.respond(text).map_err(|BadChallenge| Violation::OutOfOrder)?;
        Ok(Reaction { answer: None, verdict: None, next: Next::Send(Command::Response) })
    }

    /// What follows a successful EHLO.
    fn after_ehlo(&mut self) -> (Option<Verdict>, Next) {
        if self.cover == Cover::None {
            match self.dialect.encryption {
                Encryption::Opportunistic | Encryption::Required if self.offer.starttls => {
                    return (None, self.send(Command::Starttls, State::Starttls));
                }
                Encryption::Required => return self.leave(Need::Starttls),
                Encryption::Never | Encryption::Opportunistic | Encryption::Implicit => {}
            }
        }
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

    fn after_starttls(&mut self, reply: Reply, positive: bool) -> (Option<Verdict>, Next) {
        if positive {
            self.state = State::Securing;
            return (None, Next::Secure);
        }
        if self.dialect.encryption == Encryption::Required {
            return self.give_up(Phase::Tls, reply);
        }
        self.cover = Cover::Refused;
        self.after_ehlo()
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

    #[inline]
    fn on_reply(&mut self, reply: Reply) -> Result<Reaction, Violation> {
        let class = reply.code / 100;
        let wanted = if self.state == State::Data { 3 } else { 2 };
        let positive = class == wanted;
        let phase = self.phase();
        let is_of_recipient = self.is_of_recipient(positive);
        // The handshake, which follows, is what the phase measures.
        let is_timed = self.state != State::Starttls || !positive;
        let answer =
            phase.filter(|_| is_timed).map(|phase| Answer { phase, reply, positive, is_of_recipient });
        if reply.code == CLOSING {
            let is_delivered = self.transaction.delivered > 0;
            let verdict =
                |phase| if is_delivered { Verdict::Accepted } else { Verdict::Refused { phase, reply } };
            self.state = State::Closed;
            return Ok(Reaction { answer, verdict: phase.map(verdict), next: Next::Ended });
        }
        if !positive && class < 4 {
            return Err(Violation::OutOfOrder);
        }
        let (verdict, next) = self.advance(reply, positive)?;
        Ok(Reaction { answer, verdict, next })
    }

    /// Whether a reply that accepts or refuses now decides on a recipient.
    #[inline]
    fn is_of_recipient(&self, positive: bool) -> bool {
        match self.state {
            State::Rcpt(_) => !self.transaction.is_mail_refused && (!positive || !self.dialect.is_lmtp),
            State::Body => self.dialect.is_lmtp,
            State::Chunks => {
                self.dialect.is_lmtp && self.transaction.taken > 0 && self.transaction.chunks.awaits_last()
            }
            _ => false,
        }
    }

    #[inline]
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
            State::Starttls => Ok(self.after_starttls(reply, positive)),
            State::Auth => self.after_auth(reply, positive),
            State::Mail => Ok(self.after_mail(reply, positive)),
            State::Rcpt(index) => Ok(self.after_rcpt(index, reply, positive)),
            State::Data => Ok(self.after_data(reply, positive)),
            State::Body => Ok(self.after_body(reply, positive)),
            State::Chunks => Ok(self.after_chunk(reply, positive)),
            State::EmptyBody => {
                self.state = State::Ready;
                Ok((Some(refused_by(self.transaction.refusal, Phase::Dot, reply)), Next::Ready))
            }
            State::Rset if positive => {
                self.state = State::Ready;
                Ok((None, Next::Ready))
            }
            State::Rset | State::Quit => {
                self.state = State::Closed;
                Ok((None, Next::Close))
            }
            State::Connecting | State::Securing | State::Ready | State::Closed => Err(Violation::Early),
        }
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

#[cfg(test)]
mod tests;
