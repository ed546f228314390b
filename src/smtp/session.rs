//! One session: bytes in, steps out. The order rules, erasing rules and records are go-smtp-mock's;
//! where it breaks RFC 5321 the code says so, and the README's table of differences too.

use std::sync::Arc;
use std::time::Duration;

use super::address::{HeloName, Path};
use super::command::{Command, Verb};
use super::policy::{DelayPoint, Keep, MAX_RECIPIENTS, Policy, RecordMode};
use super::record::{Exchange, Record};
use super::reply::{Reply, ReplyKind};
use super::scan::{DataScanner, LineScan, LineScanner};

/// What a step answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The new connection.
    Greeting,
    /// A line that is no known command, or is too long.
    Unknown,
    /// HELO or EHLO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The final dot.
    Message,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

/// What becomes of the connection after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The session goes on.
    Continue,
    /// The connection is to be closed once the reply is written.
    Close,
}

/// What a step means for whoever keeps the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    /// Nothing.
    Unchanged,
    /// [`Session::record`] holds a message accepted just now: it is to be seen before the reply is.
    Accepted,
    /// [`Session::record`] was seen before and has changed.
    Changed,
    /// [`Session::take_finished`] has a record that is complete and will not change.
    Finished,
}

/// One reply and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'p> {
    /// What is answered.
    pub stage: Stage,
    /// The answer.
    pub reply: &'p Reply,
    /// The command, or the message, was accepted. Unknown lines are neither; they count as refused.
    pub accepted: bool,
    /// How long to hold it back; nothing else of this session happens meanwhile.
    pub delay: Duration,
    /// Whether the connection goes on.
    pub next: Next,
    /// What it means for the records.
    pub filing: Filing,
}

/// What [`Session::advance`] did with the input.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// Octets used up, from the front. The rest must stand at the front of the next input.
    pub consumed: usize,
    /// What is to be done; `None` when more input is needed.
    pub step: Option<Step<'p>>,
}

/// What the server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A command line.
    Command,
    /// Message data, up to its final dot.
    Data,
}

/// The server's side of one SMTP session.
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
    /// The client has sent at least one octet.
    has_spoken: bool,
    /// Octets of message text that may still be taken into memory; `None`: any number.
    memory_left: Option<usize>,
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

/// Message data on its way in.
#[derive(Debug, Default)]
struct Incoming {
    scanner: DataScanner,
    /// Octets of content so far, kept or not.
    size: usize,
    /// Empty unless the policy keeps messages; given up as soon as the message can't be accepted.
    text: Vec<u8>,
    refusal: Option<ReplyKind>,
}

/// The reply to an accepted command, or to a refused one.
type Verdict = Result<ReplyKind, ReplyKind>;

fn reply_kind(verdict: Verdict) -> ReplyKind {
    verdict.unwrap_or_else(|refusal| refusal)
}

impl Session {
    /// A session before its greeting.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a new connection is told first.
    pub fn greeting<'p>(&self, policy: &'p Policy) -> Step<'p> {
        Step {
            stage: Stage::Greeting,
            reply: policy.reply(ReplyKind::Greeting),
            accepted: true,
            delay: Duration::ZERO,
            next: Next::Continue,
            filing: Filing::Unchanged,
        }
    }

    /// Takes what can be taken from the front of `input`, up to one reply.
    pub fn advance<'p>(&mut self, policy: &'p Policy, input: &[u8]) -> Progress<'p> {
        self.has_spoken |= !input.is_empty();
        match &mut self.state {
            State::Commands(scanner) => match scanner.scan(input) {
                LineScan::Incomplete(consumed) => Progress { consumed, step: None },
                LineScan::TooLong(consumed) => {
                    let step = self.step(policy, Stage::Unknown, None, Ok(ReplyKind::LineTooLong));
                    Progress { consumed, step: Some(step) }
                }
                LineScan::Line(consumed) => {
                    Progress { consumed, step: Some(self.command(policy, &input[..consumed])) }
                }
            },
            State::Data(incoming) => {
                let scan = incoming.take(policy, self.memory_left, input);
                // A session that is going to be closed need not hear the rest. How much of it has come is
                // chance, so its size is the least that is too big.
                let is_over = policy.fail_fast && incoming.refusal == Some(ReplyKind::MessageTooBig);
                if is_over {
                    incoming.size = policy.message_size_limit.saturating_add(1);
                }
                let step = (scan.ended || is_over).then(|| self.end_of_data(policy));
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

    /// The record announced by [`Filing::Finished`].
    pub fn take_finished(&mut self) -> Option<Record> {
        self.finished.take().map(|record| *record)
    }

    /// Ends the session and gives its last record, if there is one: a client that sent nothing leaves
    /// none (go-smtp-mock keeps an empty one; readiness probes are no mail), and with
    /// [`RecordMode::Message`] only a mail transaction does.
    pub fn finish(&mut self, policy: &Policy) -> Option<Record> {
        let leaves_record = match policy.records {
            RecordMode::Session => self.has_spoken,
            RecordMode::Message => self.has_mail,
        };
        self.state = State::default();
        let record = std::mem::take(&mut self.record);
        leaves_record.then_some(record)
    }

    /// The record holds a mail transaction that is newer than the message last filed as
    /// [`Filing::Accepted`].
    pub fn has_newer_mail(&self) -> bool {
        self.has_mail && !self.record.msg
    }

    /// Octets of message text in memory: of the message being received, and of the one in the record.
    pub fn held_memory(&self) -> usize {
        let incoming = match &self.state {
            State::Commands(_) => 0,
            State::Data(incoming) => incoming.text.capacity(),
        };
        incoming + self.record.msg_memory()
    }

    /// Octets of the last message received to its end, kept or not.
    pub fn last_message_size(&self) -> usize {
        self.last_message_size
    }

    /// Sets how many octets of message text may still be taken into memory, beyond those held already. Over
    /// it messages are refused with [`ReplyKind::InsufficientStorage`].
    pub fn set_memory_left(&mut self, octets: Option<usize>) {
        self.memory_left = octets;
    }

    fn command<'p>(&mut self, policy: &'p Policy, line: &[u8]) -> Step<'p> {
        let command = Command::parse(line);
        match command.verb {
            Some(Verb::Helo) => self.helo(policy, command.line),
            Some(Verb::Mail) => self.mail(policy, command.line),
            Some(Verb::Rcpt) => self.rcpt(policy, command.line),
            Some(Verb::Data) => self.data(policy, &command),
            Some(Verb::Rset) => self.rset(policy, &command),
            // RFC 5321 section 4.1.1.9: NOOP's argument is ignored. (go-smtp-mock leaves it unanswered.)
            Some(Verb::Noop) => {
                self.record.noop = true;
                self.step(policy, Stage::Noop, Some(DelayPoint::Noop), Ok(ReplyKind::NoopReceived))
            }
            Some(Verb::Quit) if command.is_bare() => self.quit(policy),
            // Every line gets a reply. (go-smtp-mock is silent when a known verb stands in an unknown line.)
            Some(Verb::Quit) | None => self.step(policy, Stage::Unknown, None, Ok(ReplyKind::InvalidCommand)),
        }
    }

    fn helo<'p>(&mut self, policy: &'p Policy, line: &[u8]) -> Step<'p> {
        self.abandon_mail(policy);
        self.record = Record::default();
        self.forget_mail();
        let verdict = check_helo(policy, line);
        self.record.helo_exchange = exchange(policy, line, verdict);
        self.record.helo = verdict.is_ok();
        self.step(policy, Stage::Helo, Some(DelayPoint::Helo), verdict)
    }

    fn mail<'p>(&mut self, policy: &'p Policy, line: &[u8]) -> Step<'p> {
        self.abandon_mail(policy);
        if policy.multiple_message_receiving && self.record.rset && self.record.is_consistent() {
            self.finish_record();
        }
        self.record.keep_helo();
        self.forget_mail();
        let verdict = self.check_mail(policy, line);
        self.record.mailfrom_exchange = exchange(policy, line, verdict);
        self.record.mailfrom = verdict.is_ok();
        self.has_mail = true;
        self.transaction_open = verdict.is_ok();
        self.step(policy, Stage::Mail, Some(DelayPoint::Mailfrom), verdict)
    }

    fn check_mail(&self, policy: &Policy, line: &[u8]) -> Verdict {
        if !self.record.helo {
            return Err(ReplyKind::InvalidMailSequence);
        }
        let path = Path::parse_reverse(line, policy.addresses).ok_or(ReplyKind::InvalidMailArgument)?;
        if contains(&policy.lists.blacklisted_mailfrom_emails, path.mailbox()) {
            return Err(ReplyKind::MailBlacklisted);
        }
        Ok(ReplyKind::MailReceived)
    }

    fn rcpt<'p>(&mut self, policy: &'p Policy, line: &[u8]) -> Step<'p> {
        let keeps_all = keeps_every_rcpt(policy);
        if !keeps_all {
            self.record.keep_mail();
            self.any_rcpt_accepted = false;
        }
        let verdict = self.check_rcpt(policy, line);
        let kind = reply_kind(verdict);
        // go-smtp-mock tells an accepted RCPT by the text of its reply.
        self.any_rcpt_accepted |= policy.reads_as_accepted_rcpt(kind);
        self.record.rcptto = verdict.is_ok() || (keeps_all && self.any_rcpt_accepted);
        if self.recipients < MAX_RECIPIENTS {
            self.recipients += 1;
            self.note_rcpt(policy, exchange(policy, line, verdict));
        }
        self.step(policy, Stage::Rcpt, Some(DelayPoint::Rcptto), verdict)
    }

    fn note_rcpt(&mut self, policy: &Policy, exchange: Exchange) {
        if policy.keep != Keep::Nothing {
            self.record.rcptto_exchanges.push(Arc::new(exchange));
        }
    }

    fn check_rcpt(&self, policy: &Policy, line: &[u8]) -> Verdict {
        if !(self.record.helo && self.record.mailfrom) {
            return Err(ReplyKind::InvalidRcptSequence);
        }
        let path = Path::parse_forward(line, policy.addresses).ok_or(ReplyKind::InvalidRcptArgument)?;
        if contains(&policy.lists.blacklisted_rcptto_emails, path.mailbox()) {
            return Err(ReplyKind::RcptBlacklisted);
        }
        if contains(&policy.lists.not_registered_emails, path.mailbox()) {
            return Err(ReplyKind::RcptNotRegistered);
        }
        // RFC 5321 sections 4.1.1.4 and 4.1.1.5: the end of data and RSET clear the reverse-path.
        // (go-smtp-mock leaves it in place.)
        if !self.transaction_open {
            return Err(ReplyKind::InvalidRcptSequence);
        }
        if self.recipients >= MAX_RECIPIENTS {
            return Err(ReplyKind::TooManyRecipients);
        }
        Ok(ReplyKind::RcptReceived)
    }

    fn data<'p>(&mut self, policy: &'p Policy, command: &Command<'_>) -> Step<'p> {
        self.record.keep_rcpt();
        let verdict = self.check_data(policy, command);
        self.record.data_exchange = exchange(policy, command.line, verdict);
        self.record.data = verdict.is_ok();
        if verdict.is_ok() {
            self.state = State::Data(Incoming::default());
        }
        self.step(policy, Stage::Data, Some(DelayPoint::Data), verdict)
    }

    fn check_data(&self, policy: &Policy, command: &Command<'_>) -> Verdict {
        if !(self.record.helo && self.record.mailfrom && self.record.rcptto) {
            return Err(ReplyKind::InvalidDataSequence);
        }
        if !command.is_bare() {
            return Err(ReplyKind::InvalidCommand);
        }
        // As for RCPT: one transaction, one message.
        if !self.transaction_open {
            return Err(ReplyKind::InvalidDataSequence);
        }
        if policy.keep == Keep::Message && self.memory_left == Some(0) {
            return Err(ReplyKind::InsufficientStorage);
        }
        Ok(ReplyKind::DataReceived)
    }

    fn end_of_data<'p>(&mut self, policy: &'p Policy) -> Step<'p> {
        let State::Data(incoming) = std::mem::take(&mut self.state) else {
            unreachable!("the end of data is only found in data")
        };
        let verdict = incoming.refusal.map_or(Ok(ReplyKind::MessageReceived), Err);
        self.record.msg_response = response(policy, reply_kind(verdict));
        self.record.msg = verdict.is_ok();
        self.record.msg_size = incoming.size;
        self.last_message_size = incoming.size;
        if verdict.is_ok() && policy.keep == Keep::Message {
            self.record.msg_request = Some(Arc::new(incoming.text));
        }
        self.transaction_open = false;
        if policy.records == RecordMode::Message {
            self.finish_record();
        }
        let mut step = self.step(policy, Stage::Message, Some(DelayPoint::Message), verdict);
        if verdict.is_ok() && policy.records == RecordMode::Session {
            self.is_filed = true;
            step.filing = Filing::Accepted;
        }
        step
    }

    fn rset<'p>(&mut self, policy: &'p Policy, command: &Command<'_>) -> Step<'p> {
        let keeps_message = policy.multiple_message_receiving && self.record.is_consistent();
        let verdict = self.check_rset(command);
        let rset = exchange(policy, command.line, verdict);
        if policy.records == RecordMode::Message && self.has_mail {
            self.record.rset_exchange = rset.clone();
            self.record.rset = verdict.is_ok();
        }
        self.abandon_mail(policy);
        if !keeps_message {
            self.record.keep_helo();
            self.forget_mail();
        }
        self.transaction_open = false;
        self.record.rset_exchange = rset;
        self.record.rset = verdict.is_ok();
        self.step(policy, Stage::Rset, Some(DelayPoint::Rset), verdict)
    }

    fn check_rset(&self, command: &Command<'_>) -> Verdict {
        match (self.record.helo, command.is_bare()) {
            (false, _) => Err(ReplyKind::InvalidRsetSequence),
            (true, false) => Err(ReplyKind::InvalidRsetArgument),
            (true, true) => Ok(ReplyKind::RsetReceived),
        }
    }

    fn quit<'p>(&mut self, policy: &'p Policy) -> Step<'p> {
        self.record.quit_sent = true;
        let step = self.step(policy, Stage::Quit, Some(DelayPoint::Quit), Ok(ReplyKind::Quit));
        Step { next: Next::Close, ..step }
    }

    /// With one record per mail transaction, a command that ends a transaction early completes its record.
    fn abandon_mail(&mut self, policy: &Policy) {
        if policy.records == RecordMode::Message && self.has_mail {
            self.finish_record();
        }
    }

    /// Completes the record; the next one starts with the same HELO.
    fn finish_record(&mut self) {
        let next = Record {
            helo_exchange: self.record.helo_exchange.clone(),
            helo: self.record.helo,
            ..Record::default()
        };
        self.finished = Some(Box::new(std::mem::replace(&mut self.record, next)));
        self.has_mail = false;
        self.is_filed = false;
    }

    /// The record has lost its MAIL and RCPTs.
    fn forget_mail(&mut self) {
        self.has_mail = false;
        self.transaction_open = false;
        self.recipients = 0;
        self.any_rcpt_accepted = false;
    }

    fn step<'p>(
        &self,
        policy: &'p Policy,
        stage: Stage,
        point: Option<DelayPoint>,
        verdict: Verdict,
    ) -> Step<'p> {
        let filing = match (&self.finished, self.is_filed) {
            (Some(_), _) => Filing::Finished,
            (None, true) => Filing::Changed,
            (None, false) => Filing::Unchanged,
        };
        Step {
            stage,
            reply: policy.reply(reply_kind(verdict)),
            accepted: verdict.is_ok() && stage != Stage::Unknown,
            delay: point.map_or(Duration::ZERO, |point| policy.delay(point)),
            next: if verdict.is_err() && policy.fail_fast { Next::Close } else { Next::Continue },
            filing,
        }
    }
}

impl Incoming {
    /// Takes data up to its end. What will be refused anyway is swallowed and not held.
    fn take(&mut self, policy: &Policy, memory_left: Option<usize>, input: &[u8]) -> super::scan::DataScan {
        let Self { scanner, size, text, refusal } = self;
        let ceiling = memory_left.map_or(usize::MAX, |left| text.capacity().saturating_add(left));
        scanner.scan(input, |run| {
            *size = size.saturating_add(run.len());
            if *size > policy.message_size_limit {
                *refusal = Some(ReplyKind::MessageTooBig);
            } else if policy.keep == Keep::Message && *size > ceiling {
                refusal.get_or_insert(ReplyKind::InsufficientStorage);
            }
            if refusal.is_some() {
                *text = Vec::new();
            } else if policy.keep == Keep::Message {
                text.extend_from_slice(run);
            }
        })
    }
}

/// With one record per mail transaction every RCPT counts: nothing that was accepted is erased.
fn keeps_every_rcpt(policy: &Policy) -> bool {
    policy.multiple_rcptto || policy.records == RecordMode::Message
}

fn check_helo(policy: &Policy, line: &[u8]) -> Verdict {
    let name = HeloName::parse(line, policy.addresses).ok_or(ReplyKind::InvalidHeloArgument)?;
    if contains(&policy.lists.blacklisted_helo_domains, name.as_bytes()) {
        return Err(ReplyKind::HeloBlacklisted);
    }
    Ok(ReplyKind::HeloReceived)
}

/// Most lists are empty, and hashing is not free.
fn contains(list: &std::collections::HashSet<Vec<u8>>, item: &[u8]) -> bool {
    !list.is_empty() && list.contains(item)
}

fn response(policy: &Policy, kind: ReplyKind) -> Option<Reply> {
    (policy.keep != Keep::Nothing).then(|| policy.reply(kind).clone())
}

fn exchange(policy: &Policy, line: &[u8], verdict: Verdict) -> Exchange {
    match response(policy, reply_kind(verdict)) {
        Some(reply) => Exchange { request: line.into(), response: Some(reply) },
        None => Exchange::default(),
    }
}
