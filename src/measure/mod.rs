//! Measures one session: its steps, and the times between them, become figures in its shard's [`Stats`].
//!
//! Pure: moments are passed in as values. Everything runs on the shard's thread; deferred messages of all shards are
//! compared under a lock. Imports `smtp`, `stats` and `time`.

mod extensions;
mod fallback;
mod refused;
mod retries;
mod secrecy;
mod tries;

use std::time::Duration;

use crate::smtp::{AuthOutcome, AuthStep, Next, Offered, Portion, Received, Stage, Step};
use crate::stats::{Ending, Stats};
use crate::time::Timestamp;

use extensions::Extensions;
pub(crate) use fallback::{Attempt, ClearSenders, ClientKey};
pub(crate) use retries::Retries;
use secrecy::Secrecy;
pub(crate) use tries::{Outcome, ServerKey, Tries};

/// A command whose reply has not left yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) stage: Stage,
    /// When it had arrived, plus the delay of its reply.
    pub(crate) since: Timestamp,
    /// Number of the reply within its session.
    pub(crate) number: u32,
    /// Octets of the message that the reply accepts; `None` if it accepts none.
    pub(crate) accepts: Option<u64>,
}

/// Why the server ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// After QUIT.
    Quit,
    /// The client was silent for longer than the timeout.
    TimedOut,
    /// A rule, a limit or `fail_fast`.
    Dismissed,
    /// The shutdown timeout was over.
    Stopped,
}

/// The state of a session's measuring.
#[derive(Debug)]
pub(crate) struct Probe {
    opened: Timestamp,
    /// When our last reply left; `None` while the client has no reason to wait.
    replied: Option<Timestamp>,
    last_stage: Stage,
    commands: u32,
    /// Messages whose acceptance has left.
    messages: u32,
    /// Commands since the client last waited for a reply.
    group: u32,
    /// Mail transactions that the client has started, by MAIL.
    transactions: u32,
    /// The open mail transaction; if its message is accepted, it waits for the reply to leave.
    transaction: Option<Transaction>,
    /// The client had closed the connection when it was accepted.
    left_before_greeting: bool,
    /// The greeting refused the session.
    is_refused: bool,
    got_421: bool,
    has_gone_on: bool,
    was_reset: bool,
    /// Why the server ends it; `None` before.
    cause: Option<Cause>,
    /// The client closed while this reply was pending, for which it had waited this long.
    gave_up: Option<(Stage, Duration)>,
    data: DataProbe,
    extensions: Extensions,
    secrecy: Secrecy,
    /// The client named in its last EHLO in clear.
    client: Option<ClientKey>,
}

/// A mail transaction since its MAIL (RFC 5321 section 3.3).
#[derive(Clone, Copy, Debug, Default)]
struct Transaction {
    /// RCPTs accepted.
    recipients: u32,
    content: Content,
    /// DATA has arrived, and BDAT.
    has_data: bool,
    has_bdat: bool,
    /// The last refusal, unless DATA was accepted after it.
    refusal: Option<(Stage, u16)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Content {
    #[default]
    Pending,
    /// DATA was accepted or the first chunk has begun, and the end has not arrived.
    Begun,
    /// It was received to its end.
    Ended,
    /// A chunk was refused: replies to the rest are consequences.
    Refused,
}

impl Transaction {
    /// The client continues with the accepted recipients.
    fn begin_content(&mut self) {
        (self.content, self.refusal) = (Content::Begun, None);
    }

    /// This step's command is the second kind of DATA and BDAT in the transaction.
    fn begins_to_mix(&mut self, step: &Step) -> bool {
        let had_both = self.has_data && self.has_bdat;
        match step.stage {
            Stage::Data => self.has_data = true,
            Stage::Bdat => self.has_bdat = true,
            Stage::Message => self.has_bdat |= step.message.is_some_and(|message| message.is_chunked),
            _ => {}
        }
        !had_both && self.has_data && self.has_bdat
    }

    /// Notes a refusal. Without recipients, refusals of DATA and BDAT are consequences of the refusal of RCPT.
    fn refuse(&mut self, stage: Stage, code: u16) {
        let is_consequence = self.recipients == 0 && matches!(self.refusal, Some((Stage::Rcpt, _)));
        let is_consequence = self.content == Content::Refused
            || (matches!(stage, Stage::Data | Stage::Bdat) && is_consequence);
        if !is_consequence {
            self.refusal = Some((stage, code));
        }
        if stage == Stage::Bdat {
            self.content = Content::Refused;
        }
    }
}

/// The message being received.
#[derive(Clone, Copy, Debug, Default)]
struct DataProbe {
    /// When the 354 left, or the first chunk began; `None` if the client did not wait for the 354.
    since: Option<Timestamp>,
    /// `None` before the first octets.
    last_read: Option<Timestamp>,
    /// `None` without a gap caused by the client.
    longest_gap: Option<Duration>,
    /// The client's think time before the current chunk.
    think: Option<Duration>,
}

impl Probe {
    /// A client has connected.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            opened: now,
            replied: None,
            last_stage: Stage::Greeting,
            commands: 0,
            messages: 0,
            group: 0,
            transactions: 0,
            transaction: None,
            left_before_greeting: false,
            is_refused: false,
            got_421: false,
            has_gone_on: false,
            was_reset: false,
            cause: None,
            gave_up: None,
            data: DataProbe::default(),
            extensions: Extensions::default(),
            secrecy: Secrecy::default(),
            client: None,
        }
    }

    /// When the session began.
    pub(crate) fn opened(&self) -> Timestamp {
        self.opened
    }

    /// The handshake is done; with the name of its certificate if that was wrong on purpose.
    pub(crate) fn note_encryption(&mut self, wrong_certificate: Option<Box<str>>) {
        self.secrecy.note_encryption(wrong_certificate);
    }

    /// The client introduces itself in clear.
    pub(crate) fn note_client(&mut self, client: ClientKey) {
        self.client = Some(client);
    }

    /// This session as an attempt of the client; `None` if the client is unknown.
    pub(crate) fn attempt(&self, session: u64) -> Option<Attempt> {
        self.client.map(|client| Attempt { client, session, opened: self.opened })
    }

    /// The step is the first MAIL accepted in clear although working TLS was offered.
    pub(crate) fn begins_mail_in_clear(&mut self, step: &Step) -> bool {
        self.secrecy.begins_mail_in_clear(step)
    }

    /// The client has sent no command within TLS.
    pub(crate) fn is_tls_unused(&self) -> bool {
        self.secrecy.is_tls_unused()
    }

    /// A step was taken on input that had arrived by `now`.
    pub(crate) fn note_step(&mut self, stats: &mut Stats, now: Timestamp, step: &Step) {
        let stage = step.stage;
        match stage {
            Stage::Greeting => self.is_refused = !step.accepted,
            Stage::Message => {
                if step.message.as_ref().is_some_and(Received::is_first) {
                    self.note_message(stats, now, step);
                }
            }
            Stage::Bdat => {
                self.note_end_of_chunk(stats, now, stage);
                self.group += 1;
            }
            Stage::Auth => self.note_auth(stats, now, step),
            Stage::Helo => {
                self.note_command(stats, now, stage);
                stats.pipelining.offered |= step.usage.offers.is_some_and(Offered::pipelining);
            }
            _ => self.note_command(stats, now, stage),
        }
        let is_response = step.auth.as_deref().is_some_and(AuthStep::answers_response);
        stats.stages[stage].count += u64::from(!is_response);
        self.extensions.note_step(&mut stats.extensions, step);
        self.secrecy.note_step(&mut stats.tls, step);
        let code = step.reply.code().filter(|_| step.portion == Portion::Whole);
        self.note_transaction(stats, step, code);
        if let Some(code) = code.filter(|code| *code >= 400) {
            self.note_refusal(stats, now, stage, code);
        }
        if stage == Stage::Quit {
            self.end(Cause::Quit);
        } else if !matches!(step.next, Next::Continue | Next::StartTls | Next::Hold) {
            self.end(Cause::Dismissed);
        }
    }

    /// Applies a step with this reply code to the mail transaction.
    fn note_transaction(&mut self, stats: &mut Stats, step: &Step, code: Option<u16>) {
        if step.stage == Stage::Mail {
            self.give_up_transaction(stats);
            self.transaction = Some(Transaction::default());
        }
        let Some(transaction) = &mut self.transaction else { return };
        stats.messages.with_data_and_bdat += u64::from(transaction.begins_to_mix(step));
        match (step.stage, step.accepted, code) {
            (Stage::Rcpt, true, _) => transaction.recipients += 1,
            (Stage::Data | Stage::Bdat, true, _) => transaction.begin_content(),
            (Stage::Message, true, _) => self.transaction = None,
            (Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Bdat | Stage::Message, false, Some(code)) => {
                transaction.refuse(step.stage, code);
            }
            _ => {}
        }
        if !step.is_in_transaction {
            self.give_up_transaction(stats);
        }
    }

    /// The mail transaction is over without an accepted message.
    fn give_up_transaction(&mut self, stats: &mut Stats) {
        if let Some(transaction) = self.transaction.take() {
            match transaction.refusal {
                Some((stage, code)) => refuse_transaction(stats, stage, code),
                None => stats.messages.aborted += 1,
            }
            self.data = DataProbe::default();
        }
    }

    fn note_command(&mut self, stats: &mut Stats, now: Timestamp, stage: Stage) {
        match self.replied.take() {
            Some(replied) => {
                stats.stages[stage].think.add(now.since(replied));
                self.end_group(stats);
                // A pipelined command was sent without knowledge of the reply. QUIT is no continuation.
                if stage != Stage::Quit {
                    self.note_going_on(stats);
                }
            }
            None => self.note_talking_early(stats, stage),
        }
        self.extensions.note_command(&mut stats.extensions, stage, self.group > 0);
        self.group += 1;
        self.commands = self.commands.saturating_add(1);
        if stage == Stage::Mail {
            self.transactions = self.transactions.saturating_add(1);
            match self.transactions {
                1 => stats.sessions.first_mail.add(now.since(self.opened)),
                2 => stats.sessions.reused += 1,
                _ => {}
            }
        }
    }

    /// A reply to AUTH, or to a response of its exchange, which is not a command.
    #[cold]
    fn note_auth(&mut self, stats: &mut Stats, now: Timestamp, step: &Step) {
        let Some(auth) = step.auth.as_deref() else { return };
        if !auth.answers_response() {
            self.note_command(stats, now, Stage::Auth);
            self.extensions.note_auth(auth);
        } else if let Some(replied) = self.replied.take() {
            stats.stages[Stage::Auth].think.add(now.since(replied));
            self.end_group(stats);
        }
        let is_over = matches!(auth.outcome, AuthOutcome::Succeeded | AuthOutcome::Failed);
        if is_over {
            stats.auth.round_trips.add(u64::from(auth.challenges) + 1);
        }
        match (auth.outcome, auth.mechanism) {
            (AuthOutcome::Succeeded, Some(mechanism)) if step.accepted => stats.auth.note_success(mechanism),
            (AuthOutcome::Succeeded | AuthOutcome::Failed, _) => stats.auth.failed += 1,
            (AuthOutcome::Cancelled, _) => stats.auth.cancelled += 1,
            (AuthOutcome::Again, _) => stats.auth.again += 1,
            _ => {}
        }
    }

    /// Counts a client that did not wait for the greeting. A client that leaves right after the handshake may have
    /// rejected the certificate, and needs no greeting.
    fn note_talking_early(&self, stats: &mut Stats, stage: Stage) {
        let leaves = stage == Stage::Quit && self.secrecy.is_tls_unused();
        stats.sessions.early_talkers += u64::from(self.commands == 0 && !leaves);
    }

    /// Counts a client that continues after a 421 or a refusal.
    fn note_going_on(&mut self, stats: &mut Stats) {
        let is_sent_away = self.got_421 || self.is_refused;
        if !is_sent_away || std::mem::replace(&mut self.has_gone_on, true) {
            return;
        }
        *match self.got_421 {
            true => &mut stats.sessions.went_on_after_421,
            false => &mut stats.sessions.went_on_after_refusal,
        } += 1;
    }

    /// Measures message data just read; `at_once` unless reads are paced.
    pub(crate) fn note_data(&mut self, stats: &mut Stats, now: Timestamp, at_once: bool) {
        if let Some(replied) = self.replied.take() {
            stats.stages[Stage::Message].think.add(now.since(replied));
            self.end_group(stats);
        }
        if self.data.last_read.is_none() {
            self.extensions.note_command(&mut stats.extensions, Stage::Message, self.group > 0);
        }
        self.data.note_read(now, at_once);
    }

    /// Measures octets of a chunk that may continue.
    pub(crate) fn note_chunk(&mut self, stats: &mut Stats, now: Timestamp, at_once: bool) {
        if let Some(replied) = self.replied.take() {
            self.data.think = Some(now.since(replied));
            self.end_group(stats);
        }
        if let Some(transaction) = self.transaction.as_mut().filter(|transaction| transaction.recipients > 0)
        {
            if transaction.content == Content::Pending {
                transaction.begin_content();
            }
            self.data.since.get_or_insert(now);
        }
        self.data.note_read(now, at_once);
    }

    /// Measures BDAT, after the last octet of its chunk.
    fn note_end_of_chunk(&mut self, stats: &mut Stats, now: Timestamp, stage: Stage) {
        let think = match (self.data.think.take(), self.replied.take()) {
            (None, Some(replied)) => {
                self.end_group(stats);
                Some(now.since(replied))
            }
            (think, _) => think,
        };
        match think {
            Some(think) => {
                stats.stages[stage].think.add(think);
                self.note_going_on(stats);
            }
            None => self.note_talking_early(stats, stage),
        }
        self.extensions.note_command(&mut stats.extensions, stage, self.group > 0);
        self.commands = self.commands.saturating_add(1);
        // The client waits for a reply before the next chunk.
        self.data.last_read = None;
    }

    fn note_message(&mut self, stats: &mut Stats, now: Timestamp, step: &Step) {
        let is_chunked = step.message.is_some_and(|message| message.is_chunked);
        if is_chunked {
            self.note_end_of_chunk(stats, now, step.stage);
        }
        let data = std::mem::take(&mut self.data);
        let size = step.message.map_or(0, |message| message.size as u64);
        // Chunks read at once took no time.
        if let Some(since) = data.since.filter(|since| !is_chunked || *since < now) {
            let time = now.since(since);
            stats.messages.data_time.add(time);
            stats.messages.data_rate.add(per_second(size, time));
        }
        if let Some(gap) = data.longest_gap {
            stats.messages.longest_gap.add(gap);
        }
        let recipients = self.transaction.as_mut().map_or(0, |transaction| {
            transaction.content = Content::Ended;
            transaction.recipients
        });
        stats.messages.recipients.add(recipients.into());
        // Commands sent after a message without waiting for its reply belong to its group.
        self.group += 1;
    }

    fn end_group(&mut self, stats: &mut Stats) {
        let group = u64::from(std::mem::take(&mut self.group));
        stats.pipelining.round_trips += u64::from(group > 0);
        stats.pipelining.commands += group;
        if group > 1 {
            stats.pipelining.groups.add(group);
        }
    }

    /// Measures a reply, or its portion, that has left.
    pub(crate) fn note_reply(&mut self, stats: &mut Stats, now: Timestamp, asked: &Asked) {
        stats.stages[asked.stage].service.add(now.since(asked.since));
        self.last_stage = asked.stage;
        if let Some(size) = asked.accepts {
            self.messages = self.messages.saturating_add(1);
            stats.messages.accepted += 1;
            stats.messages.bytes += size;
            stats.timeline.at(now.since_start()).messages += 1;
        }
    }

    /// Notes that a reply will not leave whole, and accepts no message.
    pub(crate) fn note_unsent(&mut self, stats: &mut Stats, asked: &Asked) {
        stats.messages.aborted += u64::from(asked.accepts.is_some());
    }

    /// Notes that another reply, with this code, replaces one.
    pub(crate) fn note_instead(&mut self, stats: &mut Stats, now: Timestamp, asked: &Asked, code: u16) {
        if asked.accepts.is_some() {
            refuse_transaction(stats, asked.stage, code);
        } else if let Some(transaction) = &mut self.transaction {
            transaction.refuse(asked.stage, code);
        }
        self.note_refusal(stats, now, asked.stage, code);
    }

    /// Measures a refusal at this stage.
    fn note_refusal(&mut self, stats: &mut Stats, now: Timestamp, stage: Stage, code: u16) {
        *stats.stages[stage].refused.entry(code).or_default() += 1;
        stats.timeline.at(now.since_start()).refused += 1;
        self.got_421 |= code == 421;
    }

    /// All commands are answered: the client's think time begins, except within message data.
    pub(crate) fn note_waiting(&mut self, now: Timestamp) {
        if self.data.last_read.is_some() {
            return;
        }
        self.replied = Some(now);
        if self.is_in_data() {
            self.data.since.get_or_insert(now);
        }
    }

    fn is_in_data(&self) -> bool {
        self.transaction.is_some_and(|transaction| transaction.content == Content::Begun)
    }

    /// The client closed, or reset, the connection while a reply was pending.
    pub(crate) fn note_giving_up(&mut self, stage: Stage, waited: Duration) {
        self.gave_up.get_or_insert((stage, waited));
    }

    /// The client had closed the connection, with nothing sent, before it was accepted, and accepting had paused.
    pub(crate) fn note_leaving_before_greeting(&mut self) {
        self.left_before_greeting = true;
    }

    pub(crate) fn note_reset(&mut self) {
        self.was_reset = true;
    }

    /// The server ends the session. Only the first cause counts.
    pub(crate) fn end(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// The session is over; `has_spoken` if the client has sent at least one octet. Returns its ending.
    pub(crate) fn close(&mut self, stats: &mut Stats, now: Timestamp, has_spoken: bool) -> Ending {
        self.end_group(stats);
        let ending = self.ending(has_spoken);
        self.note_leaving(stats, now, ending);
        let sessions = &mut stats.sessions;
        sessions.note_ending(ending);
        sessions.resets += u64::from(self.was_reset);
        let is_single = self.transactions == 1 && self.messages == 1;
        sessions.not_reused += u64::from(is_single && matches!(ending, Ending::Quit | Ending::Left));
        sessions.duration.add(now.since(self.opened));
        sessions.messages.add(u64::from(self.messages));
        sessions.commands.add(u64::from(self.commands));
        stats.messages.broken_off += u64::from(self.is_in_data() && ending == Ending::Left);
        let is_end_its_own = matches!(self.cause, None | Some(Cause::Quit));
        stats.tls.unused += u64::from(is_end_its_own && self.is_tls_unused());
        self.give_up_transaction(stats);
        stats.timeline.at(now.since_start()).closed += 1;
        ending
    }

    /// How the session ended. An unsent reply can't be the reason: then the client has given up.
    fn ending(&self, has_spoken: bool) -> Ending {
        let has_left = self.gave_up.is_some() && !matches!(self.cause, Some(Cause::Quit | Cause::TimedOut));
        match self.cause {
            _ if self.left_before_greeting => Ending::LeftBeforeGreeting,
            _ if has_left => Ending::GaveUp,
            _ if self.is_refused => Ending::Refused,
            Some(Cause::Quit) => Ending::Quit,
            Some(Cause::Dismissed) => Ending::Dismissed,
            Some(Cause::Stopped) => Ending::Stopped,
            Some(Cause::TimedOut) | None if !has_spoken => Ending::Silent,
            Some(Cause::TimedOut) => Ending::TimedOut,
            None if self.got_421 => Ending::Dismissed,
            None => Ending::Left,
        }
    }

    /// Measures how long a client that ended the session had waited, for a reply or without one.
    fn note_leaving(&self, stats: &mut Stats, now: Timestamp, ending: Ending) {
        if ending == Ending::GaveUp {
            if let Some((stage, waited)) = self.gave_up {
                stats.stages[stage].gave_up.add(waited);
            }
        } else if self.cause.is_none() && ending != Ending::LeftBeforeGreeting {
            let since = self.data.last_read.or(self.replied).unwrap_or(self.opened);
            stats.stages[self.stage()].left.add(now.since(since));
        }
    }

    /// The stage of the last reply, or of a message being received.
    pub(crate) fn stage(&self) -> Stage {
        if self.is_in_data() { Stage::Message } else { self.last_stage }
    }
}

/// A mail transaction ends with this refusal.
fn refuse_transaction(stats: &mut Stats, stage: Stage, code: u16) {
    stats.messages.refused += 1;
    *stats.stages[stage].transactions_refused.entry(code).or_default() += 1;
}

impl DataProbe {
    fn note_read(&mut self, now: Timestamp, at_once: bool) {
        let gap = self.last_read.replace(now).map(|last| now.since(last));
        self.longest_gap = self.longest_gap.max(gap.filter(|_| at_once));
    }
}

/// Octets per second; a time too short to measure counts as a microsecond.
fn per_second(octets: u64, time: Duration) -> u64 {
    let microseconds = time.as_micros().max(1);
    u64::try_from(u128::from(octets) * 1_000_000 / microseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
