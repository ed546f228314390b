//! One session: bytes in, steps out. The order rules are go-smtp-mock's, and with [`RecordMode::Session`] its erasing
//! rules and records too; where it breaks RFC 5321 the code says so, and the README's table of differences.

pub(super) mod answer;
mod recording;
pub(super) mod retry_key;
mod rule_facts;
pub(super) mod step;
#[cfg(test)]
mod walk;

pub(crate) use retry_key::{Mail, Tried};
pub use step::{Expect, Filing, Progress, Step};

use std::sync::Arc;

use self::recording::{exchange, keeps_every_rcpt};
use crate::smtp::command::{
    ArgumentError, Command, Extensions, Grammar, HeloName, Parameters, Path, Request,
};
use crate::smtp::policy::{Keep, MAX_RECIPIENTS, Policy, RecordMode};
use crate::smtp::receive::incoming::Incoming;
use crate::smtp::receive::lines::Lines;
use crate::smtp::receive::scan::{LineScan, LineScanner};
use crate::smtp::record::{Record, Unsent};
use crate::smtp::reply::{Next, ReplyKind, Stage};
use crate::smtp::rules::Environment;
use crate::smtp::session::answer::{Answer, Asked, Verdict};
use crate::smtp::session::rule_facts::RuleFacts;
use retry_key::Attempt;

/// Of so many messages of a session the lines of the first are looked at: it costs time.
const INSPECT_EVERY: u32 = 16;

/// The server's side of one SMTP session.
///
/// ```
/// use smtpmock::smtp::{Policy, Session};
///
/// let policy = Policy::default();
/// let mut session = Session::new();
/// let mut input: &[u8] = b"EHLO c.example\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n\
///     DATA\r\nHello\r\n.\r\nQUIT\r\n";
/// let mut records = Vec::new();
/// while !input.is_empty() {
///     let progress = session.advance(&policy, input);
///     input = &input[progress.consumed..];
///     // … write the reply of progress.step
///     records.extend(session.take_finished());
/// }
/// records.extend(session.finish(&policy));
/// assert!(records[0].is_consistent());
/// assert_eq!(records[0].msg_text(), b"Hello\r\n");
/// ```
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    record: Record,
    /// The last record that was completed, until it is taken.
    finished: Option<Box<Record>>,
    /// RCPTs since the record's MAIL, refused ones included.
    recipients: usize,
    /// One of them was answered with the text of an accepted one.
    any_rcpt_accepted: bool,
    /// MAIL was accepted, and its message has not come yet (RFC 5321 section 3.3).
    transaction_open: bool,
    /// The record holds a MAIL command, accepted or not.
    has_mail: bool,
    /// This record was filed as [`Filing::Accepted`].
    is_filed: bool,
    last_message_size: usize,
    last_message_lines: Option<Lines>,
    /// Messages whose data were begun.
    data_begun: u32,
    /// The greeting refused it.
    pub(in crate::smtp) is_refused: bool,
    /// The client has sent at least one octet.
    has_spoken: bool,
    /// The session ended within a command line or a message.
    is_cut_short: bool,
    /// Octets of message text that may still be taken into memory; `None`: any number.
    memory_left: Option<usize>,
    /// Steps so far, the greeting included.
    pub(in crate::smtp) steps: u32,
    /// Messages accepted so far.
    pub(in crate::smtp) messages: u32,
    /// What rules may ask for later; `None` before HELO, MAIL and RCPT.
    pub(in crate::smtp) facts: Option<Box<RuleFacts>>,
    /// Offered in the reply to the last EHLO.
    extensions: Extensions,
    /// What is tried; `None` where nothing can be put off.
    attempt: Option<Box<Attempt>>,
}

#[derive(Debug)]
enum State {
    Commands(LineScanner),
    Data(Incoming),
}

impl Default for State {
    fn default() -> Self {
        Self::Commands(LineScanner::default())
    }
}

impl Session {
    /// A session before its greeting.
    pub fn new() -> Self {
        Self::default()
    }

    /// The greeting of a new connection. One that is not 2yz refuses the session: anything but QUIT gets
    /// [`ReplyKind::SessionRefused`] (RFC 5321 section 3.1). Rules are asked as in [`advance`](Self::advance).
    pub fn greeting<'p>(&mut self, policy: &'p Policy) -> Step<'p> {
        self.greeting_in(policy, &mut Environment::alone())
    }

    /// The same, in an environment.
    pub fn greeting_in<'p>(&mut self, policy: &'p Policy, environment: &mut Environment<'_>) -> Step<'p> {
        let asked = Asked::at(Stage::Greeting);
        let answer = self.answer(policy, environment, asked, Ok(ReplyKind::Greeting));
        self.is_refused = !answer.accepted;
        self.step(Stage::Greeting, answer)
    }

    /// Takes what can be taken from the front of `input`, up to one reply. Rules are asked as in a session
    /// of its own: they remember nothing from one call to the next.
    pub fn advance<'p>(&mut self, policy: &'p Policy, input: &[u8]) -> Progress<'p> {
        self.advance_in(policy, &mut Environment::alone(), input)
    }

    /// The same, in an environment.
    pub fn advance_in<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        input: &[u8],
    ) -> Progress<'p> {
        self.has_spoken |= !input.is_empty();
        match &mut self.state {
            State::Commands(scanner) => match scanner.scan(input) {
                LineScan::Incomplete(consumed) => Progress { consumed, step: None },
                LineScan::TooLong(consumed) => {
                    let step = self.unknown(policy, environment, ReplyKind::LineTooLong);
                    Progress { consumed, step: Some(step) }
                }
                LineScan::Line(consumed) => {
                    let step = self.command(policy, environment, &input[..consumed]);
                    Progress { consumed, step: Some(step) }
                }
            },
            State::Data(incoming) => {
                let scan = incoming.take(policy, self.memory_left, self.attempt.as_deref_mut(), input);
                // A session that is going to be closed need not hear the rest. How much of it has come is
                // chance, so its size is the least that is too big.
                let is_over = policy.fail_fast && incoming.refusal == Some(ReplyKind::MessageTooBig);
                if is_over {
                    incoming.size = policy.message_size_limit.saturating_add(1);
                    self.is_cut_short = !scan.ended;
                }
                let step = (scan.ended || is_over).then(|| self.end_of_data(policy, environment));
                Progress { consumed: scan.consumed, step }
            }
        }
    }

    /// What the server waits for.
    pub fn expects(&self) -> Expect {
        match self.state {
            State::Commands(_) => Expect::Command,
            State::Data(_) => Expect::Data,
        }
    }

    /// The record as it stands.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Number of the last reply; the greeting's is 1.
    pub(crate) fn last_reply(&self) -> u32 {
        self.steps
    }

    /// Takes back replies that never left whole. The session is over then.
    pub(crate) fn withdraw(&mut self, unsent: &Unsent) {
        let was_accepted = self.record.msg;
        self.record.withdraw(unsent);
        // The mail was filed with its message; that it is refused after all does not make it a newer one.
        self.has_mail &= self.record.msg || !was_accepted;
    }

    /// The record announced by [`Filing::Finished`].
    pub fn take_finished(&mut self) -> Option<Record> {
        self.finished.take().map(|record| *record)
    }

    /// Ends the session and gives its last record, if there is one: with [`RecordMode::Message`] that of a mail
    /// transaction which is not over; with [`RecordMode::Session`] any client that sent something leaves one
    /// (go-smtp-mock's record of one that sent nothing is empty; readiness probes are no mail). With
    /// [`Keep::Nothing`] there is none.
    pub fn finish(&mut self, policy: &Policy) -> Option<Record> {
        let leaves_record = policy.keep != Keep::Nothing
            && match policy.records {
                RecordMode::Session => self.has_spoken,
                RecordMode::Message => self.has_mail,
            };
        self.is_cut_short = self.owes_input();
        self.state = State::default();
        let record = std::mem::take(&mut self.record);
        leaves_record.then_some(record)
    }

    /// The record holds a mail transaction that is newer than the message last filed as
    /// [`Filing::Accepted`].
    pub fn has_newer_mail(&self) -> bool {
        self.has_mail && !self.record.msg
    }

    /// Octets in memory beside the session itself: the message being received, the record with its lines, its
    /// recipients and the message in it, and what rules may ask for.
    pub fn held_memory(&self) -> usize {
        let incoming = match &self.state {
            State::Commands(_) => 0,
            State::Data(incoming) => incoming.text.capacity(),
        };
        let facts = self.facts.as_deref().map_or(0, RuleFacts::memory);
        let attempt = self.attempt.as_deref().map_or(0, size_of_val);
        let finished = self.finished.as_deref().map_or(0, Record::memory);
        incoming + self.record.heap() + finished + facts + attempt
    }

    /// The client has sent at least one octet.
    pub fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// The client has sent the front of a command line or of a message and owes the rest, or did when the session
    /// [ended](Self::finish): it is to be expected that it goes on sending.
    pub fn owes_input(&self) -> bool {
        self.is_cut_short
            || match &self.state {
                State::Commands(scanner) => scanner.is_mid_line(),
                State::Data(_) => true,
            }
    }

    /// Nothing is under way: no command line and no mail transaction.
    pub fn is_idle(&self) -> bool {
        !self.transaction_open && !self.owes_input()
    }

    /// Octets of the last message received to its end, kept or not.
    pub fn last_message_size(&self) -> usize {
        self.last_message_size
    }

    /// What was seen in its lines; `None` where they were not looked at. They are in the first message of a
    /// session, and then in every 16th.
    pub fn last_message_lines(&self) -> Option<Lines> {
        self.last_message_lines
    }

    /// What the last command or final dot tried to get accepted. [`Tried::Nothing`] where nothing can be put off.
    pub(crate) fn tried(&self) -> Tried {
        self.attempt.as_ref().map_or(Tried::Nothing, |attempt| attempt.tried())
    }

    /// MAIL was accepted, and neither its message has come nor was the transaction given up (RFC 5321 section 3.3).
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.transaction_open
    }

    /// Sets how many octets may still be taken into memory, beyond those [held](Self::held_memory) already.
    /// Over it recipients and messages are refused with [`ReplyKind::InsufficientStorage`].
    pub fn set_memory_left(&mut self, octets: Option<usize>) {
        self.memory_left = octets;
    }

    fn command<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        line: &[u8],
    ) -> Step<'p> {
        let grammar = Grammar { addresses: policy.addresses, offered: &self.extensions };
        let Request { line, command } = Request::parse(line, grammar);
        match command {
            Command::Helo(name) => self.helo(policy, environment, line, name, ReplyKind::HeloReceived),
            Command::Ehlo(name) => self.helo(policy, environment, line, name, ReplyKind::EhloReceived),
            Command::Mail { path, parameters } => self.mail(policy, environment, line, path, parameters),
            Command::Rcpt { path, .. } => self.rcpt(policy, environment, line, path),
            Command::Data { is_bare } => self.data(policy, environment, line, is_bare),
            Command::Rset { is_bare } => self.rset(policy, environment, line, is_bare),
            // RFC 5321 section 4.1.1.9: NOOP's argument is ignored. (go-smtp-mock leaves it unanswered.)
            Command::Noop => {
                self.record.noop = true;
                let asked = Asked::at(Stage::Noop);
                let answer = self.answer(policy, environment, asked, Ok(ReplyKind::NoopReceived));
                self.step(Stage::Noop, answer)
            }
            Command::Quit { is_bare: true } => self.quit(policy, environment),
            // Every line gets a reply. (go-smtp-mock is silent when a known verb stands in an unknown line.)
            Command::Quit { is_bare: false } | Command::Unknown => {
                self.unknown(policy, environment, ReplyKind::InvalidCommand)
            }
        }
    }

    fn unknown<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        kind: ReplyKind,
    ) -> Step<'p> {
        let answer = self.answer(policy, environment, Asked::at(Stage::Unknown), Ok(kind));
        self.step(Stage::Unknown, Answer { accepted: false, ..answer })
    }

    /// HELO or EHLO; `accepted` is the reply to a valid one.
    fn helo<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        line: &[u8],
        name: Option<HeloName<'_>>,
        accepted: ReplyKind,
    ) -> Step<'p> {
        self.abandon_mail(policy);
        self.record = Record::default();
        self.forget_mail();
        let verdict = name.map_or(Err(ReplyKind::InvalidHeloArgument), |_| Ok(accepted));
        let name = name.as_ref().map(HeloName::as_bytes);
        let asked = Asked::about(Stage::Helo, name);
        let mut answer = self.answer(policy, environment, asked, verdict);
        let is_ehlo = accepted == ReplyKind::EhloReceived;
        if !is_ehlo {
            answer.reply = answer.reply.for_helo();
        }
        self.extensions = match answer.accepted && is_ehlo {
            true => answer.reply.offers().clone(),
            false => Extensions::default(),
        };
        self.note_facts(|facts| facts.note_helo(name));
        self.record.helo_exchange = exchange(policy, line, name, &answer);
        self.record.ehlo = is_ehlo;
        self.record.helo = answer.accepted;
        self.step(Stage::Helo, answer)
    }

    fn mail<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        line: &[u8],
        path: Result<Path<'_>, ArgumentError>,
        parameters: Parameters<'_>,
    ) -> Step<'p> {
        self.abandon_mail(policy);
        if policy.multiple_message_receiving && self.record.rset && self.record.is_consistent() {
            self.finish_record(policy);
        }
        self.record.keep_helo();
        self.forget_mail();
        let mailbox = path.as_ref().ok().map(Path::mailbox);
        let verdict = match (self.record.helo, mailbox) {
            (false, _) => Err(ReplyKind::InvalidMailSequence),
            (true, None) => Err(ReplyKind::InvalidMailArgument),
            (true, Some(_)) => Ok(ReplyKind::MailReceived),
        };
        self.note_facts(|facts| facts.note_sender(mailbox));
        if policy.may_defer() {
            let sender = mailbox.filter(|_| verdict.is_ok());
            let mail = sender.map(|sender| Mail::new(sender, parameters));
            self.attempt_with(|attempt| attempt.try_mail(mail));
        }
        let asked = Asked::about(Stage::Mail, mailbox);
        let answer = self.answer(policy, environment, asked, verdict);
        self.record.mailfrom_exchange = exchange(policy, line, mailbox, &answer);
        self.record.mailfrom = answer.accepted;
        self.has_mail = true;
        self.transaction_open = answer.accepted;
        self.step(Stage::Mail, answer)
    }

    fn rcpt<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        line: &[u8],
        path: Result<Path<'_>, ArgumentError>,
    ) -> Step<'p> {
        let keeps_all = keeps_every_rcpt(policy);
        if !keeps_all {
            self.record.keep_mail();
            self.any_rcpt_accepted = false;
        }
        let mailbox = path.as_ref().ok().map(Path::mailbox);
        let is_in_sequence = self.record.helo && self.record.mailfrom;
        let verdict = match (is_in_sequence, mailbox) {
            (false, _) => Err(ReplyKind::InvalidRcptSequence),
            (true, None) => Err(ReplyKind::InvalidRcptArgument),
            (true, Some(_)) => Ok(()),
        };
        let asked = Asked { is_valid: verdict.is_ok(), ..Asked::about(Stage::Rcpt, mailbox) };
        // The lists are asked before there is found to be no room: an answer they give overrides this one.
        let verdict = verdict.and_then(|()| self.room_for_rcpt(policy));
        let answer = self.answer_asked(policy, environment, asked, verdict);
        self.note_facts(|facts| facts.note_recipient(policy.book(), mailbox, answer.accepted));
        let recipient = mailbox.filter(|_| self.transaction_open);
        self.attempt(policy, |attempt| attempt.try_rcpt(recipient));
        // go-smtp-mock tells an accepted RCPT by the text of its reply.
        self.any_rcpt_accepted |= (answer.accepted && policy.records == RecordMode::Message)
            || (answer.is_told() && policy.reads_as_accepted_rcpt(answer.reply));
        self.record.rcptto = answer.accepted || (keeps_all && self.any_rcpt_accepted);
        if self.recipients < MAX_RECIPIENTS && self.has_memory_left() {
            self.recipients += 1;
            self.note_rcpt(policy, exchange(policy, line, mailbox, &answer));
        }
        self.step(Stage::Rcpt, answer)
    }

    fn has_memory_left(&self) -> bool {
        self.memory_left != Some(0)
    }

    fn room_for_rcpt(&self, policy: &Policy) -> Verdict {
        // RFC 5321 sections 4.1.1.4 and 4.1.1.5: the end of data and RSET clear the reverse-path.
        // (go-smtp-mock leaves it in place.)
        if !self.transaction_open {
            return Err(ReplyKind::InvalidRcptSequence);
        }
        if self.recipients >= policy.max_recipients.min(MAX_RECIPIENTS) {
            return Err(ReplyKind::TooManyRecipients);
        }
        if !self.has_memory_left() {
            return Err(ReplyKind::InsufficientStorage);
        }
        Ok(ReplyKind::RcptReceived)
    }

    fn data<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        line: &[u8],
        is_bare: bool,
    ) -> Step<'p> {
        self.record.keep_rcpt();
        let verdict = self.check_data(policy, is_bare);
        let asked = Asked::at(Stage::Data);
        let answer = self.answer(policy, environment, asked, verdict);
        self.record.data_exchange = exchange(policy, line, None, &answer);
        self.record.data = answer.accepted;
        let is_in_transaction = self.transaction_open;
        self.attempt(policy, |attempt| attempt.try_data(is_in_transaction));
        if answer.accepted {
            let looks_at_lines = self.data_begun.is_multiple_of(INSPECT_EVERY);
            self.data_begun = self.data_begun.wrapping_add(1);
            self.state = State::Data(Incoming::new(looks_at_lines));
        }
        self.step(Stage::Data, answer)
    }

    fn check_data(&self, policy: &Policy, is_bare: bool) -> Verdict {
        if !(self.record.helo && self.record.mailfrom && self.record.rcptto) {
            return Err(ReplyKind::InvalidDataSequence);
        }
        if !is_bare {
            return Err(ReplyKind::InvalidCommand);
        }
        // As for RCPT: one transaction, one message.
        if !self.transaction_open {
            return Err(ReplyKind::InvalidDataSequence);
        }
        if policy.keep == Keep::Message && !self.has_memory_left() {
            return Err(ReplyKind::InsufficientStorage);
        }
        Ok(ReplyKind::DataReceived)
    }

    fn end_of_data<'p>(&mut self, policy: &'p Policy, environment: &mut Environment<'_>) -> Step<'p> {
        let State::Data(incoming) = std::mem::take(&mut self.state) else {
            unreachable!("the end of data is only found in data")
        };
        let verdict = incoming.refusal.map_or(Ok(ReplyKind::MessageReceived), Err);
        let asked = Asked { size: Some(incoming.size), ..Asked::at(Stage::Message) };
        let answer = self.answer(policy, environment, asked, verdict);
        self.record.msg_response = answer.kept_reply(policy);
        self.record.msg_number = answer.number;
        self.record.msg = answer.accepted;
        self.record.msg_size = incoming.size;
        self.last_message_size = incoming.size;
        self.last_message_lines = incoming.lines();
        self.attempt(policy, Attempt::try_message);
        if answer.accepted && policy.keep == Keep::Message {
            self.record.msg_request = Some(Arc::new(incoming.text));
        }
        self.messages = self.messages.saturating_add(u32::from(answer.accepted));
        self.transaction_open = false;
        if policy.records == RecordMode::Message {
            self.finish_record(policy);
        }
        let mut step = self.step(Stage::Message, answer);
        if answer.accepted && policy.records == RecordMode::Session && policy.keep != Keep::Nothing {
            self.is_filed = true;
            step.filing = Filing::Accepted;
        }
        step
    }

    fn rset<'p>(
        &mut self,
        policy: &'p Policy,
        environment: &mut Environment<'_>,
        line: &[u8],
        is_bare: bool,
    ) -> Step<'p> {
        let keeps_message = policy.multiple_message_receiving && self.record.is_consistent();
        let verdict = self.check_rset(is_bare);
        let asked = Asked::at(Stage::Rset);
        let answer = self.answer(policy, environment, asked, verdict);
        let rset = exchange(policy, line, None, &answer);
        if policy.records == RecordMode::Message && self.has_mail {
            self.record.rset_exchange = rset.clone();
            self.record.rset = answer.accepted;
        }
        self.abandon_mail(policy);
        if !keeps_message {
            self.record.keep_helo();
            self.forget_mail();
        }
        self.transaction_open = false;
        self.record.rset_exchange = rset;
        self.record.rset = answer.accepted;
        self.step(Stage::Rset, answer)
    }

    fn check_rset(&self, is_bare: bool) -> Verdict {
        match (self.record.helo, is_bare) {
            (false, _) => Err(ReplyKind::InvalidRsetSequence),
            (true, false) => Err(ReplyKind::InvalidRsetArgument),
            (true, true) => Ok(ReplyKind::RsetReceived),
        }
    }

    fn quit<'p>(&mut self, policy: &'p Policy, environment: &mut Environment<'_>) -> Step<'p> {
        self.record.quit_sent = true;
        let asked = Asked::at(Stage::Quit);
        let answer = self.answer(policy, environment, asked, Ok(ReplyKind::Quit));
        let next = if answer.next == Next::Continue { Next::Close } else { answer.next };
        self.step(Stage::Quit, Answer { next, ..answer })
    }

    /// Notes what is tried, where it may be put off.
    #[inline]
    fn attempt(&mut self, policy: &Policy, note: impl FnOnce(&mut Attempt)) {
        if policy.may_defer() {
            self.attempt_with(note);
        }
    }

    /// Apart, so that a step that can't be put off carries nothing of it.
    #[inline(never)]
    fn attempt_with(&mut self, note: impl FnOnce(&mut Attempt)) {
        note(self.attempt.get_or_insert_default());
    }

    fn step<'p>(&self, stage: Stage, answer: Answer<'p>) -> Step<'p> {
        let filing = match (&self.finished, self.is_filed) {
            (Some(_), _) => Filing::Finished,
            (None, true) => Filing::Changed,
            (None, false) => Filing::Unchanged,
        };
        let Answer { reply, portion, accepted, delay, next, number: _ } = answer;
        Step { stage, reply, portion, accepted, delay, next, filing }
    }
}
