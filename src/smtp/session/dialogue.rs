//! The dialogue: which commands are in sequence, the mail transaction, and the reply to each line. The sequence is
//! go-smtp-mock's; where go-smtp-mock breaks RFC 5321, comments and the README's table of differences say so.
//!
//! It reads no record: it sends an [`Event`] to the recorder for each command.

use crate::smtp::command::{
    ArgumentError, Command, Extensions, Grammar, HeloName, Parameters, Path, Request, Verb,
};
use crate::smtp::policy::{Keep, MAX_RECIPIENTS, Policy, RecordMode};
use crate::smtp::receive::RetryKey;
use crate::smtp::receive::incoming::Incoming;
use crate::smtp::receive::retry_key::RetryKeys;
use crate::smtp::receive::scan::{LineScan, LineScanner};
use crate::smtp::record::{Event, Recipient};
use crate::smtp::reply::{Next, ReplyKind, Stage};
use crate::smtp::session::answer::{Answer, Asked, Verdict};
use crate::smtp::session::envelope::Envelope;
use crate::smtp::session::step::{CommandLine, Expect, Progress, Received, Replies, Step};
use crate::smtp::session::turn::Turn;

/// The lines of the first of so many messages of a session are inspected: inspection costs time.
const INSPECT_EVERY: u32 = 16;

/// The protocol state of a session.
#[derive(Debug, Default)]
pub(in crate::smtp) struct Dialogue {
    pub(super) receiving: Receiving,
    pub(super) sequence: Sequence,
    /// `None` before HELO, MAIL and RCPT.
    pub(super) envelope: Option<Box<Envelope>>,
    /// Offered in the reply to the last EHLO.
    pub(super) extensions: Extensions,
    /// `None` if nothing can be deferred.
    pub(super) retry_keys: Option<Box<RetryKeys>>,
    /// Messages whose data have begun.
    pub(super) data_begun: u32,
    /// The client has sent at least one octet.
    pub(super) has_spoken: bool,
    /// The session ended within a command line or a message.
    pub(super) is_cut_short: bool,
    /// Octets of message text that may still be taken into memory; `None`: any number.
    pub(super) memory_left: Option<usize>,
    /// Steps so far, the greeting included.
    pub(super) steps: u32,
    /// Messages accepted so far.
    pub(super) messages: u32,
}

/// How the input is read.
#[derive(Debug)]
pub(super) enum Receiving {
    Commands(LineScanner),
    Data(Incoming),
}

impl Default for Receiving {
    fn default() -> Self {
        Self::Commands(LineScanner::default())
    }
}

/// The position in the sequence of commands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Sequence {
    /// The greeting refused the session.
    Refused,
    /// HELO or EHLO must come first.
    #[default]
    Connected,
    /// There is no mail transaction.
    Greeted,
    /// MAIL was accepted, and its message has not come yet (RFC 5321 section 3.3).
    Mail(Transaction),
    /// Its message has come. go-smtp-mock leaves the reverse-path in place until the next MAIL, RSET or HELO: commands out
    /// of sequence get the refusals of a transaction. With [`RecordMode::Session`] alone.
    Past(Transaction),
}

/// A mail transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transaction {
    /// RCPTs, refused ones included.
    recipients: usize,
    /// One of them counts as accepted: DATA is in sequence.
    has_recipient: bool,
    /// One of them got the text of an accepted RCPT, which counts for go-smtp-mock.
    has_worded_recipient: bool,
    /// MAIL had the parameter SMTPUTF8.
    pub(super) takes_utf8: bool,
    /// Its message was accepted, and no command that starts another has followed.
    is_delivered: bool,
}

impl Sequence {
    fn mail(&mut self) -> Option<&mut Transaction> {
        match self {
            Self::Mail(mail) | Self::Past(mail) => Some(mail),
            Self::Refused | Self::Connected | Self::Greeted => None,
        }
    }

    /// HELO or EHLO was accepted.
    fn is_greeted(self) -> bool {
        !matches!(self, Self::Refused | Self::Connected)
    }

    /// Without a mail transaction.
    fn without_mail(self) -> Self {
        if self.is_greeted() { Self::Greeted } else { self }
    }
}

impl Dialogue {
    pub(super) fn greeting(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        debug_assert_eq!(self.steps, 0, "a session is greeted once, and first");
        let answer = self.answer(turn, Asked::at(Stage::Greeting), Ok(ReplyKind::Greeting));
        if !answer.accepted {
            self.sequence = Sequence::Refused;
        }
        self.conclude(turn, Stage::Greeting, &answer, None)
    }

    /// Takes what can be taken from the front of `input`, up to one reply.
    #[inline]
    pub(super) fn advance(&mut self, turn: &mut Turn<'_, '_>, input: &[u8]) -> Progress {
        let policy = turn.policy;
        self.has_spoken |= !input.is_empty();
        match &mut self.receiving {
            Receiving::Commands(scanner) => {
                let is_skipping = scanner.is_skipping();
                match scanner.scan(input) {
                    LineScan::Incomplete(0) => Progress { consumed: 0, line: None, step: None },
                    LineScan::Incomplete(consumed) => {
                        let line = (!is_skipping).then(|| front_of_line(input));
                        Progress { consumed, line, step: None }
                    }
                    LineScan::TooLong(consumed) => {
                        let line = (!is_skipping).then(|| front_of_line(input));
                        Progress { consumed, line, step: Some(self.unknown(turn, ReplyKind::LineTooLong)) }
                    }
                    // The line is set after the step, which is built in its place.
                    LineScan::Line(consumed) => Progress {
                        consumed,
                        step: Some(self.command(turn, &input[..consumed])),
                        line: turn.line,
                    },
                }
            }
            Receiving::Data(incoming) => {
                let scan = incoming.take(policy, self.memory_left, self.retry_keys.as_deref_mut(), input);
                // A session that is going to be closed need not read the rest. How much of it has come is
                // chance, so its size is the least that is too big.
                let is_over = policy.fail_fast && incoming.refusal == Some(ReplyKind::MessageTooBig);
                if is_over {
                    incoming.size = policy.message_size_limit().saturating_add(1);
                    self.is_cut_short = !scan.ended;
                }
                let step = (scan.ended || is_over).then(|| self.end_of_data(turn));
                Progress { consumed: scan.consumed, line: None, step }
            }
        }
    }

    fn command(&mut self, turn: &mut Turn<'_, '_>, input: &[u8]) -> Step {
        let policy = turn.policy;
        let grammar = Grammar { addresses: policy.addresses, offered: &self.extensions };
        let Request { line, command } = Request::parse(input, grammar);
        turn.line = Some(CommandLine::of(line, input));
        match command {
            Command::Helo(name) => self.helo(turn, line, name, ReplyKind::HeloReceived),
            Command::Ehlo(name) => self.helo(turn, line, name, ReplyKind::EhloReceived),
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
            Command::Vrfy { has_argument } if policy.esmtp().is_some() => {
                self.inquiry(turn, has_argument, ReplyKind::VrfyReceived)
            }
            Command::Expn { has_argument } if policy.esmtp().is_some() => {
                self.inquiry(turn, has_argument, ReplyKind::ExpnReceived)
            }
            Command::Help if policy.esmtp().is_some() => {
                let answer = self.answer(turn, Asked::at(Stage::Help), Ok(ReplyKind::HelpReceived));
                self.conclude(turn, Stage::Help, &answer, None)
            }
            // Every line gets a reply. (go-smtp-mock is silent when a known verb stands in an unknown line.)
            Command::Quit { is_bare: false }
            | Command::Vrfy { .. }
            | Command::Expn { .. }
            | Command::Help
            | Command::Unknown => self.unknown(turn, ReplyKind::InvalidCommand),
        }
    }

    /// VRFY or EXPN; `received` is the reply to a valid one.
    fn inquiry(&mut self, turn: &mut Turn<'_, '_>, has_argument: bool, received: ReplyKind) -> Step {
        let verdict = if has_argument { Ok(received) } else { Err(ReplyKind::MissingArgument) };
        let answer = self.answer(turn, Asked::at(Stage::Vrfy), verdict);
        self.conclude(turn, Stage::Vrfy, &answer, None)
    }

    fn unknown(&mut self, turn: &mut Turn<'_, '_>, kind: ReplyKind) -> Step {
        let answer = self.answer(turn, Asked::at(Stage::Unknown), Ok(kind));
        let answer = Answer { accepted: false, ..answer };
        self.conclude(turn, Stage::Unknown, &answer, None)
    }

    /// HELO or EHLO; `accepted` is the reply to a valid one.
    fn helo(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        name: Option<HeloName<'_>>,
        accepted: ReplyKind,
    ) -> Step {
        let verdict = name.map_or(Err(ReplyKind::InvalidHeloArgument), |_| Ok(accepted));
        let name = name.map(|name| name.as_bytes());
        let is_ehlo = accepted == ReplyKind::EhloReceived;
        let asked = Asked { is_ehlo, ..Asked::about(Stage::Helo, name) };
        let mut answer = self.answer(turn, asked, verdict);
        if !is_ehlo {
            answer.reply = answer.reply.for_helo();
        }
        self.extensions = match answer.accepted && is_ehlo {
            true => answer.reply.offers().clone(),
            false => Extensions::default(),
        };
        if !self.is_refused() {
            self.sequence = if answer.accepted { Sequence::Greeted } else { Sequence::Connected };
        }
        self.envelope_mut().note_helo(name);
        self.conclude(turn, Stage::Helo, &answer, Some(Event::Helo { line, name, is_ehlo }))
    }

    fn mail(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        path: Result<Path<'_>, ArgumentError>,
        parameters: Parameters<'_>,
    ) -> Step {
        let policy = turn.policy;
        self.sequence = self.sequence.without_mail();
        let mailbox = path.ok().map(|path| path.mailbox());
        let verdict = match self.sequence.is_greeted() {
            true => self.check_path(policy, Verb::Mail, path, parameters).map(|()| ReplyKind::MailReceived),
            false => Err(ReplyKind::InvalidMailSequence),
        };
        self.envelope_mut().note_sender(mailbox);
        let sender = mailbox.filter(|_| verdict.is_ok());
        let retry_key = self.retry_key(policy, |keys| keys.mail(sender, parameters));
        let asked = Asked { parameters, ..Asked::about(Stage::Mail, mailbox) };
        let answer = self.answer(turn, asked, verdict);
        if answer.accepted {
            let takes_utf8 = !parameters.words().is_empty() && parameters.has_smtputf8();
            self.sequence = Sequence::Mail(Transaction { takes_utf8, ..Transaction::default() });
        }
        let event = Event::Mail { line, mailbox, parameters };
        let mut step = self.conclude(turn, Stage::Mail, &answer, Some(event));
        step.retry_key = retry_key;
        step
    }

    fn rcpt(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        path: Result<Path<'_>, ArgumentError>,
        parameters: Parameters<'_>,
    ) -> Step {
        let policy = turn.policy;
        let mailbox = path.ok().map(|path| path.mailbox());
        let verdict = match self.sequence.mail().is_some() {
            true => self.check_path(policy, Verb::Rcpt, path, parameters),
            false => Err(ReplyKind::InvalidRcptSequence),
        };
        let asked = Asked { is_valid: verdict.is_ok(), parameters, ..Asked::about(Stage::Rcpt, mailbox) };
        // Lists are evaluated before memory is checked: their reply overrides this one.
        let verdict = verdict.and_then(|()| self.room_for_rcpt(policy));
        let answer = self.answer_asked(turn, asked, verdict);
        self.envelope_mut().note_recipient(policy.book(), mailbox, answer.accepted);
        let recipient = mailbox.filter(|_| self.is_in_transaction());
        let retry_key = self.retry_key(policy, |keys| keys.rcpt(recipient));
        let has_room = self.has_memory_left();
        let replaces = !(policy.multiple_rcptto || policy.records == RecordMode::Message);
        let has_recipient = self.count_rcpt(policy, &answer, has_room, replaces);
        let recipient = Recipient { line, mailbox, parameters, has_recipient, has_room, replaces };
        let event = Event::Rcpt(recipient);
        let mut step = self.conclude(turn, Stage::Rcpt, &answer, Some(event));
        step.retry_key = retry_key;
        step
    }

    /// Counts a RCPT. Returns whether there is a recipient now. go-smtp-mock recognizes an accepted RCPT by the text
    /// of its reply; where only the last is retained, only that one counts.
    #[inline]
    fn count_rcpt(&mut self, policy: &Policy, answer: &Answer<'_>, has_room: bool, replaces: bool) -> bool {
        let counts_all = !replaces;
        let is_worded = (answer.accepted && policy.records == RecordMode::Message)
            || (answer.is_whole() && policy.reads_as_accepted_rcpt(answer.reply));
        let Some(mail) = self.sequence.mail() else { return counts_all && is_worded };
        if has_room && mail.recipients < MAX_RECIPIENTS {
            mail.recipients += 1;
        }
        mail.has_worded_recipient = is_worded || (counts_all && mail.has_worded_recipient);
        mail.has_recipient = answer.accepted || (counts_all && mail.has_worded_recipient);
        mail.is_delivered &= counts_all;
        mail.has_recipient
    }

    fn has_memory_left(&self) -> bool {
        self.memory_left != Some(0)
    }

    fn room_for_rcpt(&self, policy: &Policy) -> Verdict {
        // RFC 5321 sections 4.1.1.4 and 4.1.1.5: the end of data and RSET clear the reverse-path.
        // (go-smtp-mock leaves it in place.)
        let Sequence::Mail(mail) = self.sequence else { return Err(ReplyKind::InvalidRcptSequence) };
        if mail.recipients >= policy.max_recipients().min(MAX_RECIPIENTS) {
            return Err(ReplyKind::TooManyRecipients);
        }
        if !self.has_memory_left() {
            return Err(ReplyKind::InsufficientStorage);
        }
        Ok(ReplyKind::RcptReceived)
    }

    fn data(&mut self, turn: &mut Turn<'_, '_>, line: &[u8], is_bare: bool) -> Step {
        let policy = turn.policy;
        let verdict = self.check_data(policy, is_bare);
        let answer = self.answer(turn, Asked::at(Stage::Data), verdict);
        if let Some(mail) = self.sequence.mail() {
            mail.is_delivered = false;
        }
        let is_in_transaction = self.is_in_transaction();
        let retry_key = self.retry_key(policy, |keys| keys.data(is_in_transaction));
        if answer.accepted {
            debug_assert!(matches!(self.sequence, Sequence::Mail(Transaction { has_recipient: true, .. })));
            let looks_at_lines = self.data_begun.is_multiple_of(INSPECT_EVERY);
            self.data_begun = self.data_begun.wrapping_add(1);
            self.receiving = Receiving::Data(Incoming::new(looks_at_lines));
        }
        let mut step = self.conclude(turn, Stage::Data, &answer, Some(Event::Data { line }));
        step.retry_key = retry_key;
        step
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
        // As for RCPT: one transaction, one message.
        if !self.is_in_transaction() {
            return Err(ReplyKind::InvalidDataSequence);
        }
        if policy.keep == Keep::Message && !self.has_memory_left() {
            return Err(ReplyKind::InsufficientStorage);
        }
        Ok(ReplyKind::DataReceived)
    }

    fn end_of_data(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let policy = turn.policy;
        let Receiving::Data(incoming) = std::mem::take(&mut self.receiving) else {
            unreachable!("the end of data is only found in data")
        };
        let verdict = incoming.refusal.map_or(Ok(ReplyKind::MessageReceived), Err);
        let asked = Asked { size: Some(incoming.size), ..Asked::at(Stage::Message) };
        let answer = self.answer(turn, asked, verdict);
        self.messages = self.messages.saturating_add(u32::from(answer.accepted));
        self.sequence = match self.sequence {
            Sequence::Mail(mail) if policy.records == RecordMode::Session => {
                Sequence::Past(Transaction { is_delivered: answer.accepted, ..mail })
            }
            sequence => sequence.without_mail(),
        };
        let retry_key = self.retry_key(policy, |keys| keys.message());
        let message = Some(Received { size: incoming.size, lines: incoming.lines() });
        let event = Event::Message { size: incoming.size, text: incoming.text };
        let mut step = self.conclude(turn, Stage::Message, &answer, Some(event));
        (step.message, step.retry_key) = (message, retry_key);
        step
    }

    fn rset(&mut self, turn: &mut Turn<'_, '_>, line: &[u8], is_bare: bool) -> Step {
        let policy = turn.policy;
        let verdict = match (self.sequence.is_greeted(), is_bare) {
            (false, _) => Err(ReplyKind::InvalidRsetSequence),
            (true, false) => Err(ReplyKind::InvalidRsetArgument),
            (true, true) => Ok(ReplyKind::RsetReceived),
        };
        let answer = self.answer(turn, Asked::at(Stage::Rset), verdict);
        // As go-smtp-mock has it, a RSET that is refused ends the transaction too, and where records of several messages
        // are retained one behind a message changes nothing.
        let is_delivered = matches!(
            self.sequence,
            Sequence::Past(Transaction { has_recipient: true, is_delivered: true, .. })
        );
        let ends_mail = !(is_delivered && policy.multiple_message_receiving);
        if ends_mail {
            self.sequence = self.sequence.without_mail();
        }
        self.conclude(turn, Stage::Rset, &answer, Some(Event::Rset { line, ends_mail }))
    }

    fn quit(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let answer = self.answer(turn, Asked::at(Stage::Quit), Ok(ReplyKind::Quit));
        let next = if answer.next == Next::Continue { Next::Close } else { answer.next };
        let answer = Answer { next, ..answer };
        self.conclude(turn, Stage::Quit, &answer, Some(Event::Quit))
    }

    fn envelope_mut(&mut self) -> &mut Envelope {
        self.envelope.get_or_insert_default()
    }

    /// The key of what may be deferred.
    #[inline]
    fn retry_key(&mut self, policy: &Policy, key: impl FnOnce(&mut RetryKeys) -> RetryKey) -> RetryKey {
        match policy.may_defer() {
            true => self.make_retry_key(key),
            false => RetryKey::Nothing,
        }
    }

    /// A separate function, so that a step that can't be deferred pays nothing for it.
    #[inline(never)]
    fn make_retry_key(&mut self, key: impl FnOnce(&mut RetryKeys) -> RetryKey) -> RetryKey {
        key(self.retry_keys.get_or_insert_default())
    }

    /// The step of an answer; the event, if any, goes to the recorder.
    #[inline]
    fn conclude(
        &self,
        turn: &mut Turn<'_, '_>,
        stage: Stage,
        answer: &Answer<'_>,
        event: Option<Event<'_>>,
    ) -> Step {
        let filing = turn.records.note(turn.policy, answer, event);
        let &Answer { reply, portion, accepted, delay, next, number } = answer;
        Step {
            stage,
            replies: Replies::from(reply.clone()),
            number,
            portion,
            accepted,
            delay,
            next,
            is_in_transaction: self.is_in_transaction(),
            expects: self.expects(),
            message: None,
            retry_key: RetryKey::Nothing,
            filing,
        }
    }
}

/// Where it is.
impl Dialogue {
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.sequence, Sequence::Refused)
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        matches!(self.sequence, Sequence::Mail(_))
    }

    pub(super) fn expects(&self) -> Expect {
        match self.receiving {
            Receiving::Commands(_) => Expect::Command,
            Receiving::Data(_) => Expect::Data,
        }
    }

    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    pub(super) fn owes_input(&self) -> bool {
        self.is_cut_short
            || match &self.receiving {
                Receiving::Commands(scanner) => scanner.is_mid_line(),
                Receiving::Data(_) => true,
            }
    }

    /// The client sends nothing more.
    pub(super) fn finish(&mut self) {
        self.is_cut_short = self.owes_input();
        self.receiving = Receiving::default();
    }

    /// Octets in memory.
    pub(super) fn memory(&self) -> usize {
        let incoming = match &self.receiving {
            Receiving::Commands(_) => 0,
            Receiving::Data(incoming) => incoming.text.capacity(),
        };
        let envelope = self.envelope.as_deref().map_or(0, Envelope::memory);
        incoming + envelope + self.retry_keys.as_deref().map_or(0, size_of_val)
    }
}

/// The part of a line over the limit that a log may show.
#[cold]
fn front_of_line(input: &[u8]) -> CommandLine {
    CommandLine::of(input[..input.len().min(LineScanner::LIMIT)].trim_ascii(), input)
}
