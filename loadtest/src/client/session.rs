//! The SMTP client as a state machine. Pure: no sockets, no clocks.
//!
//! The reactor passes in what arrived ([`Session::on_connected`], [`Session::on_line`]) and carries out the returned
//! [`Reaction`]. With PIPELINING (RFC 2920) MAIL, every RCPT and DATA are sent as one group, and the replies are
//! matched to the commands in the order in which they were sent. A reply answers only what has left the process: an
//! earlier one is an error of the server, whatever its code.

use crate::client::phase::Phase;
use crate::client::reply::Line;

/// The reply code with which a server ends the session (RFC 5321 section 3.8).
const CLOSING: u16 = 421;

/// What the client sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ehlo,
    Mail,
    /// RCPT for the recipient with this index.
    Rcpt(u16),
    Data,
    /// MAIL, every RCPT and DATA in one write.
    Group,
    /// The message and its final dot.
    Body,
    /// A lone dot: DATA was accepted although no recipient was (RFC 2920 section 3.1).
    EmptyBody,
    Rset,
    Quit,
}

/// How the server decided on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused { phase: Phase, code: u16 },
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
    pub(crate) code: u16,
    /// Whether the code is one of success in this phase.
    pub(crate) positive: bool,
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
    Ready,
    Mail,
    Rcpt(u16),
    Data,
    Body,
    /// The lone dot of a group whose recipients were all refused.
    EmptyBody,
    Rset,
    Quit,
    Closed,
}

/// One session, from the connection to its end.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    /// Recipients of every message; at least one.
    recipients: u16,
    /// Whether PIPELINING is requested; it is used only if EHLO offers it.
    wants_pipelining: bool,
    offers_pipelining: bool,
    /// Recipients that the server accepted in this transaction.
    taken: u16,
    /// The first refusal in this transaction.
    refusal: Option<(Phase, u16)>,
    /// Whether QUIT was sent; the state may be `Closed` since.
    sent_quit: bool,
}

impl Session {
    pub(crate) fn new(recipients: u16, wants_pipelining: bool) -> Session {
        Session {
            state: State::Connecting,
            recipients,
            wants_pipelining,
            offers_pipelining: false,
            taken: 0,
            refusal: None,
            sent_quit: false,
        }
    }

    /// The timed phase of the session; `None` when idle, resetting or quitting.
    pub(crate) fn phase(&self) -> Option<Phase> {
        match self.state {
            State::Connecting => Some(Phase::Connect),
            State::Banner => Some(Phase::Banner),
            State::Ehlo => Some(Phase::Ehlo),
            State::Mail => Some(Phase::Mail),
            State::Rcpt(_) => Some(Phase::Rcpt),
            State::Data => Some(Phase::Data),
            State::Body | State::EmptyBody => Some(Phase::Dot),
            State::Ready | State::Rset | State::Quit | State::Closed => None,
        }
    }

    /// Whether the server offered PIPELINING with EHLO.
    pub(crate) fn offers_pipelining(&self) -> bool {
        self.offers_pipelining
    }

    /// Whether the greeting and EHLO have succeeded.
    pub(crate) fn is_established(&self) -> bool {
        !matches!(self.state, State::Connecting | State::Banner | State::Ehlo | State::Closed)
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

    /// Starts a mail transaction in a session that is ready; returns what to send.
    pub(crate) fn begin(&mut self) -> Command {
        debug_assert_eq!(self.state, State::Ready);
        self.state = State::Mail;
        self.taken = 0;
        self.refusal = None;
        if self.grouped() { Command::Group } else { Command::Mail }
    }

    /// Ends a session that is ready; returns what to send.
    pub(crate) fn quit(&mut self) -> Command {
        self.state = State::Quit;
        self.sent_quit = true;
        Command::Quit
    }

    /// Processes one line of a reply, which arrived while `unsent` had not left. The last line of a reply gives a
    /// reaction.
    pub(crate) fn on_line(&mut self, line: Line<'_>, unsent: Unsent) -> Result<Option<Reaction>, Violation> {
        if self.is_early(line.code, unsent) {
            return Err(Violation::Early);
        }
        if self.state == State::Ehlo && is_keyword(line.text, b"PIPELINING") {
            self.offers_pipelining = true;
        }
        if line.last { self.on_reply(line.code).map(Some) } else { Ok(None) }
    }

    /// Whether a reply is earlier than what it would answer. A 421 answers no command, and a server may refuse a
    /// message before its end.
    fn is_early(&self, code: u16, unsent: Unsent) -> bool {
        if code == CLOSING {
            return false;
        }
        match (self.state, unsent) {
            (State::Connecting | State::Ready | State::Closed, _) | (_, Unsent::All) => true,
            (_, Unsent::Nothing) => false,
            (State::Body, Unsent::Message) => code < 400,
            (_, Unsent::Message) => true,
            (_, Unsent::Commands(count)) => count > self.commands_behind(),
        }
    }

    /// The number of commands in the group after the one whose reply is due.
    fn commands_behind(&self) -> usize {
        match self.state {
            State::Mail if self.grouped() => usize::from(self.recipients) + 1,
            State::Rcpt(index) if self.grouped() => usize::from(self.recipients - index),
            _ => 0,
        }
    }

    fn on_reply(&mut self, code: u16) -> Result<Reaction, Violation> {
        let class = code / 100;
        let phase = self.phase();
        if code == CLOSING {
            self.state = State::Closed;
            return Ok(Reaction {
                answer: phase.map(|phase| Answer { phase, code, positive: false }),
                verdict: phase.map(|phase| Verdict::Refused { phase, code }),
                next: Next::Ended,
            });
        }
        let wanted = if self.state == State::Data { 3 } else { 2 };
        if class != wanted && class < 4 {
            return Err(Violation::OutOfOrder);
        }
        let positive = class == wanted;
        let (verdict, next) = self.advance(code, positive)?;
        Ok(Reaction { answer: phase.map(|phase| Answer { phase, code, positive }), verdict, next })
    }

    fn advance(&mut self, code: u16, positive: bool) -> Result<(Option<Verdict>, Next), Violation> {
        match self.state {
            State::Banner if positive => Ok((None, self.send(Command::Ehlo, State::Ehlo))),
            State::Banner => Ok(self.give_up(Phase::Banner, code)),
            State::Ehlo if positive => {
                self.state = State::Ready;
                Ok((None, Next::Ready))
            }
            State::Ehlo => Ok(self.give_up(Phase::Ehlo, code)),
            State::Mail => Ok(self.after_mail(code, positive)),
            State::Rcpt(index) => Ok(self.after_rcpt(index, code, positive)),
            State::Data => Ok(self.after_data(code, positive)),
            State::Body => {
                self.state = State::Ready;
                let verdict =
                    if positive { Verdict::Accepted } else { Verdict::Refused { phase: Phase::Dot, code } };
                Ok((Some(verdict), Next::Ready))
            }
            State::EmptyBody => {
                self.state = State::Ready;
                Ok((Some(refused_by(self.refusal, Phase::Dot, code)), Next::Ready))
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

    fn after_mail(&mut self, code: u16, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            self.refusal = Some((Phase::Mail, code));
        }
        if self.grouped() {
            self.state = State::Rcpt(0);
            return (None, Next::Wait);
        }
        if positive {
            return (None, self.send(Command::Rcpt(0), State::Rcpt(0)));
        }
        self.state = State::Ready;
        (Some(Verdict::Refused { phase: Phase::Mail, code }), Next::Ready)
    }

    fn after_rcpt(&mut self, index: u16, code: u16, positive: bool) -> (Option<Verdict>, Next) {
        if positive {
            self.taken += 1;
        } else {
            self.refusal.get_or_insert((Phase::Rcpt, code));
        }
        let following = index + 1;
        if following < self.recipients {
            self.state = State::Rcpt(following);
            let next = if self.grouped() { Next::Wait } else { Next::Send(Command::Rcpt(following)) };
            return (None, next);
        }
        if self.grouped() {
            self.state = State::Data;
            return (None, Next::Wait);
        }
        if self.taken > 0 {
            return (None, self.send(Command::Data, State::Data));
        }
        self.reset(Phase::Rcpt, code)
    }

    fn after_data(&mut self, code: u16, positive: bool) -> (Option<Verdict>, Next) {
        if !positive {
            return self.reset(Phase::Data, code);
        }
        if self.taken > 0 {
            (None, self.send(Command::Body, State::Body))
        } else {
            (None, self.send(Command::EmptyBody, State::EmptyBody))
        }
    }

    /// Ends the transaction without a message; the first refusal is the reason.
    fn reset(&mut self, phase: Phase, code: u16) -> (Option<Verdict>, Next) {
        let reason = if self.taken > 0 { None } else { self.refusal };
        let verdict = refused_by(reason, phase, code);
        (Some(verdict), self.send(Command::Rset, State::Rset))
    }

    fn give_up(&mut self, phase: Phase, code: u16) -> (Option<Verdict>, Next) {
        let command = self.quit();
        (Some(Verdict::Refused { phase, code }), Next::Send(command))
    }

    fn send(&mut self, command: Command, state: State) -> Next {
        self.state = state;
        Next::Send(command)
    }

    fn grouped(&self) -> bool {
        self.wants_pipelining && self.offers_pipelining
    }
}

fn refused_by(first: Option<(Phase, u16)>, phase: Phase, code: u16) -> Verdict {
    let (phase, code) = first.unwrap_or((phase, code));
    Verdict::Refused { phase, code }
}

/// Whether the keyword of an EHLO line is `keyword`, in any case and with any parameters.
fn is_keyword(text: &[u8], keyword: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    text[..end].eq_ignore_ascii_case(keyword)
}

#[cfg(test)]
mod tests;
