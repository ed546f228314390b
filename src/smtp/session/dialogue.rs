//! The dialogue: which commands are in sequence, the mail transaction, and the reply to each line. The sequence is
//! go-smtp-mock's, except where that breaks RFC 5321: see the comments and the README's table of differences.
//!
//! It never reads a record: it sends an [`Event`] to the recorder for each command.

use std::sync::Arc;

use crate::smtp::auth::{ExternalIdentity, Identity};
use crate::smtp::command::{Command, Declared, Extensions, Grammar, HeloName, Request};
use crate::smtp::policy::Policy;
use crate::smtp::receive::RetryKey;
use crate::smtp::receive::incoming::{Content, Incoming, Intake};
use crate::smtp::receive::retry_key::RetryKeys;
use crate::smtp::receive::scan::{LineScan, LineScanner};
use crate::smtp::record::Event;
use crate::smtp::reply::{Next, ReplyKind, Stage};
use crate::smtp::session::answer::{Answer, Asked};
use crate::smtp::session::authentication::{Responses, is_long_auth};
use crate::smtp::session::chunk::IncomingChunk;
use crate::smtp::session::envelope::Envelope;
use crate::smtp::session::protocol::Protocol;
use crate::smtp::session::recipients::Answering;
use crate::smtp::session::sequence::{Sequence, Transaction};
use crate::smtp::session::step::{CommandLine, Details, Expect, Offered, Progress, Step, Usage};
use crate::smtp::session::turn::Turn;

/// The protocol state of a session.
#[derive(Debug, Default)]
pub(in crate::smtp) struct Dialogue {
    pub(super) protocol: Protocol,
    pub(super) receiving: Receiving,
    pub(super) sequence: Sequence,
    /// The message being received in chunks, in [`Sequence::Chunks`]. After a refusal the rest is discarded.
    pub(super) chunks: Option<Box<Content>>,
    /// `None` before HELO, MAIL and RCPT.
    pub(super) envelope: Option<Box<Envelope>>,
    /// The declarations of the last accepted MAIL.
    pub(super) declared: Declared,
    /// Extensions in the reply to the last EHLO.
    pub(super) extensions: Extensions,
    /// `None` if nothing can be deferred.
    pub(super) retry_keys: Option<Box<RetryKeys>>,
    /// Messages whose data have begun.
    pub(super) data_begun: u32,
    /// The kind of the line over the limit whose rest is being skipped.
    pub(super) skipped: Skipped,
    /// The client has sent at least one octet.
    pub(super) has_spoken: bool,
    /// The session ended within a command line or a message.
    pub(super) is_cut_short: bool,
    /// Octets of message text that may still be stored; `None`: unlimited.
    pub(super) memory_left: Option<usize>,
    /// The peer may name another client.
    pub(super) is_trusted: bool,
    /// The session is within TLS.
    pub(super) is_encrypted: bool,
    /// The identity that the client has proven below SMTP.
    pub(super) external: Option<Arc<ExternalIdentity>>,
    /// MAIL commands so far.
    pub(super) transactions: u32,
    /// Steps so far, including the greeting.
    pub(super) steps: u32,
    /// Messages accepted so far.
    pub(super) messages: u32,
    /// The user that the client has authenticated as.
    pub(super) identity: Option<Arc<Identity>>,
    /// Number of the step that last refused an AUTH command; 0: none.
    pub(super) auth_refused_at: u32,
}

/// The kind of a line over the limit, by its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Skipped {
    #[default]
    Other,
    /// An AUTH command, if AUTH is offered.
    Auth,
    /// AUTH that is not offered, or something similar.
    LikeAuth,
}

/// The interpretation of the input.
#[derive(Debug)]
pub(super) enum Receiving {
    Commands(LineScanner),
    Data(Incoming),
    Chunk(IncomingChunk),
    /// No input: more replies to a message follow.
    Replies(Box<Answering>),
    /// Responses of an authentication exchange.
    Responses(Box<Responses>),
}

impl Default for Receiving {
    fn default() -> Self {
        Self::Commands(LineScanner::default())
    }
}

impl Dialogue {
    pub(super) fn speaking(protocol: Protocol) -> Self {
        Self { protocol, ..Self::default() }
    }

    pub(super) fn greeting(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        debug_assert_eq!(self.steps, 0, "a session is greeted once, and first");
        self.is_trusted = turn.policy.trusts(turn.environment.peer);
        let answer = self.answer(turn, Asked::at(Stage::Greeting), Ok(ReplyKind::Greeting));
        if !answer.accepted {
            self.sequence = Sequence::Refused;
        }
        self.conclude(turn, Stage::Greeting, &answer, None)
    }

    /// Takes input from the start of `input`, up to one reply.
    #[inline]
    pub(super) fn advance(&mut self, turn: &mut Turn<'_, '_>, input: &[u8]) -> Progress {
        let policy = turn.policy;
        self.has_spoken |= !input.is_empty();
        match &mut self.receiving {
            Receiving::Commands(scanner) => {
                let is_skipping = scanner.is_skipping();
                match scanner.scan(input) {
                    LineScan::Incomplete(1..) | LineScan::TooLong(_)
                        if !is_skipping && is_long_auth(policy, input) =>
                    {
                        self.long_auth(turn, input)
                    }
                    LineScan::Incomplete(consumed) => {
                        let line = (!is_skipping && consumed > 0).then(|| self.front_of_line(input));
                        Progress { consumed, line, step: None, check: None, expects: self.expects() }
                    }
                    LineScan::TooLong(consumed) => {
                        let line = (!is_skipping).then(|| self.front_of_line(input));
                        let step = Some(self.too_long(turn));
                        Progress { consumed, line, step, check: None, expects: self.expects() }
                    }
                    LineScan::Line(consumed) => self.line(turn, input, consumed),
                }
            }
            Receiving::Chunk(_) => self.take_chunk(turn, input),
            Receiving::Data(incoming) => {
                let intake = Intake {
                    policy,
                    memory_left: self.memory_left,
                    retry_keys: self.retry_keys.as_deref_mut(),
                };
                let scan = incoming.take(intake, input);
                // A session that will be closed need not read the rest. How much has arrived is random, so the size
                // reported is the least that is too big.
                let is_over = policy.fail_fast && incoming.content.refusal == Some(ReplyKind::MessageTooBig);
                if is_over {
                    incoming.content.size = policy.message_size_limit().saturating_add(1);
                    self.is_cut_short = !scan.ended;
                }
                let consumed = scan.consumed;
                match scan.ended || is_over {
                    // Built in place, see `line`.
                    true => Progress {
                        consumed,
                        step: Some(self.end_of_data(turn)),
                        line: None,
                        check: None,
                        expects: self.expects(),
                    },
                    false => {
                        Progress { consumed, line: None, step: None, check: None, expects: self.expects() }
                    }
                }
            }
            Receiving::Replies(_) => {
                let step = Some(self.answer_next_recipient(turn));
                Progress { consumed: 0, line: None, step, check: None, expects: self.expects() }
            }
            Receiving::Responses(_) => self.response(turn, input),
        }
    }

    /// Takes a command line from the start of `input`.
    #[inline(always)]
    fn line(&mut self, turn: &mut Turn<'_, '_>, input: &[u8], consumed: usize) -> Progress {
        let policy = turn.policy;
        let grammar = Grammar { addresses: policy.addresses, offered: &self.extensions };
        let Request { line, command } = Request::parse(&input[..consumed], grammar);
        turn.line = Some(CommandLine::of(line, input));
        match command {
            Command::Bdat(chunk) if self.has_bdat(policy) => {
                self.bdat_line(turn, line, chunk, &input[consumed..], consumed)
            }
            Command::Auth(argument) if policy.auth().is_some() => {
                turn.line = Some(CommandLine::of_any(line, input));
                self.auth_line(turn, line, argument, consumed)
            }
            // The line is set after the step, which is built in place: a step returned as an option would be copied.
            command => Progress {
                consumed,
                step: Some(self.command(turn, input, line, command)),
                line: turn.line,
                check: None,
                expects: self.expects(),
            },
        }
    }

    /// Answers a command that is answered at once.
    #[inline(always)]
    fn command(&mut self, turn: &mut Turn<'_, '_>, input: &[u8], line: &[u8], command: Command<'_>) -> Step {
        let policy = turn.policy;
        match command {
            Command::Helo(_) | Command::Ehlo(_) if self.is_lmtp() => {
                self.unknown(turn, ReplyKind::HeloInLmtp)
            }
            Command::Helo(name) => self.helo(turn, line, name, ReplyKind::HeloReceived),
            Command::Ehlo(name) => self.helo(turn, line, name, ReplyKind::EhloReceived),
            Command::Lhlo(name) if self.is_lmtp() => self.helo(turn, line, name, ReplyKind::LhloReceived),
            Command::Mail { path, parameters } => self.mail(turn, line, path, parameters),
            Command::Rcpt { path, parameters } => self.rcpt(turn, line, path, parameters),
            Command::Data { is_bare } => self.data(turn, line, is_bare),
            Command::Rset { is_bare } => self.rset(turn, line, is_bare),
            // RFC 5321 section 4.1.1.9: NOOP's argument is ignored. (go-smtp-mock leaves it unanswered.)
            Command::Noop => {
                let asked = Asked::at(Stage::Noop);
                let answer = self.answer(turn, asked, Ok(ReplyKind::NoopReceived));
                self.conclude(turn, Stage::Noop, &answer, Some(Event::Noop))
            }
            Command::Quit { is_bare: true } => self.quit(turn),
            Command::Vrfy { has_argument } if self.is_extended(policy) => {
                self.inquiry(turn, has_argument, ReplyKind::VrfyReceived)
            }
            Command::Expn { has_argument } if self.is_extended(policy) => {
                self.inquiry(turn, has_argument, ReplyKind::ExpnReceived)
            }
            Command::Help if self.is_extended(policy) => {
                let answer = self.answer(turn, Asked::at(Stage::Help), Ok(ReplyKind::HelpReceived));
                self.conclude(turn, Stage::Help, &answer, None)
            }
            Command::Xclient { arguments } if policy.knows_xclient() && self.is_extended(policy) => {
                self.xclient(turn, line, arguments)
            }
            Command::Starttls { is_bare } if self.has_starttls(policy) => self.starttls(turn, is_bare),
            // Every line gets a reply. (go-smtp-mock is silent if a known verb is in an unknown line.)
            Command::Quit { is_bare: false }
            | Command::Bdat(_)
            | Command::Lhlo(_)
            | Command::Vrfy { .. }
            | Command::Expn { .. }
            | Command::Help
            | Command::Xclient { .. }
            | Command::Auth(_)
            | Command::Starttls { .. }
            | Command::Unknown => {
                turn.line = Some(self.line_of_no_command(line, input));
                let step = self.unknown(turn, ReplyKind::InvalidCommand);
                self.note_no_command(line);
                step
            }
        }
    }

    /// VRFY or EXPN; `received` is the reply to a valid one.
    fn inquiry(&mut self, turn: &mut Turn<'_, '_>, has_argument: bool, received: ReplyKind) -> Step {
        let verdict = if has_argument { Ok(received) } else { Err(ReplyKind::MissingArgument) };
        let answer = self.answer(turn, Asked::at(Stage::Vrfy), verdict);
        self.conclude(turn, Stage::Vrfy, &answer, None)
    }

    pub(super) fn unknown(&mut self, turn: &mut Turn<'_, '_>, kind: ReplyKind) -> Step {
        let answer = self.answer(turn, Asked::at(Stage::Unknown), Ok(kind));
        let answer = Answer { accepted: false, ..answer };
        self.conclude(turn, Stage::Unknown, &answer, None)
    }

    /// HELO, EHLO or LHLO; `accepted` is the reply to a valid one.
    fn helo(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        name: Option<HeloName<'_>>,
        accepted: ReplyKind,
    ) -> Step {
        let verdict = name.map_or(Err(ReplyKind::InvalidHeloArgument), |_| Ok(accepted));
        let name = name.map(|name| name.as_bytes());
        let is_ehlo = accepted != ReplyKind::HeloReceived;
        let asked = Asked { is_ehlo, ..Asked::about(Stage::Helo, name) };
        let answer = self.answer(turn, asked, verdict);
        self.extensions = match answer.accepted && is_ehlo {
            true => answer.reply.offers().clone(),
            false => Extensions::default(),
        };
        if !self.is_refused() {
            self.sequence = if answer.accepted { Sequence::Greeted } else { Sequence::Connected };
            self.chunks = None;
        }
        self.envelope_mut().note_helo(name);
        let event = Event::Helo { line, name, is_ehlo };
        let mut usage = Usage::default();
        if answer.accepted && is_ehlo && self.is_extended(turn.policy) {
            let has_pipelining = self.extensions.include("PIPELINING");
            usage.offers = Some(Offered::of(has_pipelining, self.offers_starttls(turn.policy)));
        }
        self.conclude_with(turn, Stage::Helo, &answer, Some(event), Details { usage, ..Details::default() })
    }

    fn rset(&mut self, turn: &mut Turn<'_, '_>, line: &[u8], is_bare: bool) -> Step {
        let policy = turn.policy;
        let verdict = match (self.sequence.is_greeted(), is_bare) {
            (false, _) => Err(ReplyKind::InvalidRsetSequence),
            (true, false) => Err(ReplyKind::InvalidRsetArgument),
            (true, true) => Ok(ReplyKind::RsetReceived),
        };
        let answer = self.answer(turn, Asked::at(Stage::Rset), verdict);
        // As in go-smtp-mock, a refused RSET also ends the transaction; if records of several messages are retained, a
        // RSET after a message changes nothing.
        let is_delivered = matches!(
            self.sequence,
            Sequence::Past(Transaction { has_recipient: true, is_delivered: true, .. })
        );
        let ends_mail = !(is_delivered && policy.multiple_message_receiving);
        if ends_mail {
            self.abandon_mail();
        }
        self.conclude(turn, Stage::Rset, &answer, Some(Event::Rset { line, ends_mail }))
    }

    fn quit(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let answer = self.answer(turn, Asked::at(Stage::Quit), Ok(ReplyKind::Quit));
        let next = if answer.next == Next::Continue { Next::Close } else { answer.next };
        let answer = Answer { next, ..answer };
        self.conclude(turn, Stage::Quit, &answer, Some(Event::Quit))
    }

    /// Ends the mail transaction without its message.
    pub(super) fn abandon_mail(&mut self) {
        self.sequence = self.sequence.without_mail();
        self.chunks = None;
    }

    pub(super) fn envelope_mut(&mut self) -> &mut Envelope {
        self.envelope.get_or_insert_default()
    }

    /// The retry key of a step that may be deferred.
    #[inline]
    pub(super) fn retry_key(
        &mut self,
        policy: &Policy,
        key: impl FnOnce(&mut RetryKeys) -> RetryKey,
    ) -> RetryKey {
        match policy.may_defer() {
            true => self.make_retry_key(key),
            false => RetryKey::Nothing,
        }
    }

    /// Not inlined, so that a step that can't be deferred pays nothing for it.
    #[inline(never)]
    pub(super) fn make_retry_key(&mut self, key: impl FnOnce(&mut RetryKeys) -> RetryKey) -> RetryKey {
        key(self.retry_keys.get_or_insert_default())
    }

    /// Builds the step of an answer, and sends the event, if any, to the recorder. The envelope must already have the
    /// names of the command.
    #[inline(always)]
    pub(super) fn conclude(
        &self,
        turn: &mut Turn<'_, '_>,
        stage: Stage,
        answer: &Answer<'_>,
        event: Option<Event<'_>>,
    ) -> Step {
        self.conclude_with(turn, stage, answer, event, Details::default())
    }

    /// As [`conclude`](Self::conclude), with details. They are passed, not set later, because the step is built in
    /// place.
    #[inline(always)]
    pub(super) fn conclude_with(
        &self,
        turn: &mut Turn<'_, '_>,
        stage: Stage,
        answer: &Answer<'_>,
        event: Option<Event<'_>>,
        details: Details,
    ) -> Step {
        let reply = match answer.reply.has_places() {
            true => self.filled(turn, stage, answer.reply, Event::size(event.as_ref())),
            false => answer.reply.clone(),
        };
        let filing = turn.records.note(turn.policy, turn.environment.now, answer, &reply, event);
        let &Answer { portion, accepted, delay, next, number, .. } = answer;
        let Details { message, auth, retry_key, usage, client } = details;
        Step {
            stage,
            reply,
            number,
            portion,
            accepted,
            delay,
            next,
            is_in_transaction: self.is_in_transaction(),
            message,
            auth,
            retry_key,
            usage,
            filing,
            client,
        }
    }
}

/// State.
impl Dialogue {
    /// Extensions are available: with Extended SMTP, and always in LMTP (RFC 2033 section 4.1).
    pub(super) fn is_extended(&self, policy: &Policy) -> bool {
        self.is_lmtp() || policy.esmtp().is_some()
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.sequence, Sequence::Refused)
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        matches!(self.sequence, Sequence::Mail(_) | Sequence::Chunks(_))
    }

    pub(super) fn expects(&self) -> Expect {
        match self.receiving {
            Receiving::Commands(_) if self.is_between_chunks() => Expect::NextChunk,
            Receiving::Commands(_) => Expect::Command,
            Receiving::Data(_) => Expect::Data,
            Receiving::Chunk(_) => Expect::Chunk,
            Receiving::Replies(_) => Expect::Nothing,
            Receiving::Responses(_) => Expect::Response,
        }
    }

    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    pub(super) fn owes_input(&self) -> bool {
        self.is_cut_short
            || match &self.receiving {
                Receiving::Commands(scanner) => scanner.is_mid_line(),
                Receiving::Data(_) | Receiving::Chunk(_) => true,
                Receiving::Replies(_) => false,
                Receiving::Responses(responses) => responses.is_mid_line(),
            }
    }

    /// The client has ended its input.
    pub(super) fn finish(&mut self) {
        self.is_cut_short = self.owes_input();
        self.receiving = Receiving::default();
    }

    pub(super) fn memory(&self) -> usize {
        let incoming = match &self.receiving {
            Receiving::Commands(_) | Receiving::Chunk(_) => 0,
            Receiving::Data(incoming) => incoming.content.text.capacity(),
            Receiving::Replies(answering) => answering.memory(),
            Receiving::Responses(responses) => responses.memory(),
        };
        let envelope = self.envelope.as_deref().map_or(0, Envelope::memory);
        let chunks =
            self.chunks.as_deref().map_or(0, |content| size_of_val(content) + content.text.capacity());
        let identity = self.identity.as_deref().map_or(0, Identity::memory);
        let external = self.external.as_deref().map_or(0, ExternalIdentity::memory);
        incoming + chunks + envelope + identity + external + self.retry_keys.as_deref().map_or(0, size_of_val)
    }
}
