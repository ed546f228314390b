//! Measurements of a connection: what it reports to its probe, and when.

use std::time::Duration;

use super::{Connection, Phase, Transport};
#[cfg(doc)]
use crate::measure::Probe;
use crate::measure::{Asked, ClientKey, Outcome, ServerKey, Tries};
use crate::net::context::Context;
use crate::net::resources::Resources;
use crate::smtp::{AuthOutcome, Expect, Next, Portion, Received, RetryKey, Stage, Step};
use crate::stats::Ending;
use crate::time::Timestamp;

impl<T: Transport> Connection<T> {
    /// Measures a step on input that had arrived by `came`.
    pub(super) fn measure_step(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        step: &Step,
        came: Timestamp,
    ) {
        let stats = &mut resources.gathering.stats;
        self.probe.note_step(stats, came, step);
        if let Some(message) = step.message.filter(Received::is_first) {
            stats.messages.note_received(message);
        }
        if let Some(auth) = &step.auth {
            let code = step.reply.code().filter(|_| step.portion == Portion::Whole);
            let refused = auth.attempt.filter(|_| auth.outcome == AuthOutcome::Failed && code == Some(535));
            let is_repeated = refused.is_some_and(|attempt| context.retries().note_refused(attempt));
            stats.auth.repeated += u64::from(is_repeated);
        }
        self.measure_try(context, resources.now, step);
        if context.tls.is_some() && self.stream.tls_session().is_none() {
            self.measure_secrecy(context, resources, step);
        }
    }

    /// Measures mail in clear that could have been encrypted, or that is sent after TLS has failed.
    fn measure_secrecy(&mut self, context: &Context, resources: &mut Resources, step: &Step) {
        match step.stage {
            // STARTTLS makes the session forget the name. Clients of Unix sockets have no address to identify them.
            Stage::Helo => {
                if let Some((ip, name)) = self.origin.peer_addr.ip().zip(self.session.client_name()) {
                    self.probe.note_client(ClientKey::of(ip, name));
                }
            }
            Stage::Mail if self.probe.begins_mail_in_clear(step) => {
                self.measure_mail_in_clear(context, resources);
            }
            // A positive reply to STARTTLS, or a client's mistake, is no failure of TLS.
            Stage::Starttls if step.next != Next::StartTls && step.usage.starttls => {
                self.note_failed_tls(context, resources.now);
            }
            _ => {}
        }
    }

    /// Counts mail in clear: as a fallback, or as the sender's habit.
    fn measure_mail_in_clear(&self, context: &Context, resources: &mut Resources) {
        let figures = &mut resources.gathering.stats.tls;
        let senders = context.counters.clear_senders();
        let client = self.probe.attempt(self.origin.session_id).map(|attempt| attempt.client);
        let has_failed = self.end_failed_tls(context, resources.now);
        if has_failed && client.is_some_and(|client| !senders.may_contain(client)) {
            figures.fell_back += 1;
        } else {
            figures.mail_in_clear += 1;
            if let Some(client) = client {
                senders.note(client);
            }
        }
    }

    /// TLS has failed in this session. A client without EHLO, as before a handshake from the first octet, can't be
    /// identified.
    pub(super) fn note_failed_tls(&self, context: &Context, now: Timestamp) {
        if let Some(attempt) = self.probe.attempt(self.origin.session_id) {
            context.counters.note_failed_tls();
            context.retries().note_failed_tls(attempt, now);
        }
    }

    /// The session uses TLS, or sends mail in clear. Returns whether TLS has failed in the client's previous session,
    /// shortly before.
    pub(super) fn end_failed_tls(&self, context: &Context, now: Timestamp) -> bool {
        let attempt =
            self.probe.attempt(self.origin.session_id).filter(|_| context.counters.has_failed_tls());
        attempt.is_some_and(|attempt| context.retries().end_failed_tls(attempt, now))
    }

    /// Matches a step with earlier deferrals, and records new ones.
    fn measure_try(&mut self, context: &Context, now: Timestamp, step: &Step) {
        if !context.follows_retries() {
            return;
        }
        let outcome = Outcome {
            stage: step.stage,
            is_accepted: step.accepted,
            code: step.reply.code().filter(|_| step.portion == Portion::Whole),
            at: now,
            replied: now.after(step.delay),
        };
        match (step.stage, step.retry_key, &mut self.tries) {
            (Stage::Mail, key, _) => {
                self.end_tries(context);
                if let RetryKey::Mail(mail) = key {
                    let address = self.local_addr();
                    let server = ServerKey::of(&(address.ip(), address.path()));
                    self.tries = Some(Box::new(Tries::begin(mail, server, &outcome)));
                }
            }
            (Stage::Rcpt | Stage::Data | Stage::Bdat | Stage::Message, key, Some(tries)) => {
                tries.note(key, &outcome);
            }
            _ => {}
        }
        if !step.is_in_transaction {
            self.end_tries(context);
        }
    }

    /// Hands over the attempts of a mail transaction that is over.
    fn end_tries(&mut self, context: &Context) {
        if let Some(tries) = self.tries.take() {
            context.retries().note(&tries);
        }
    }

    /// Measures content of a message. Commands are measured once whole, content as it arrives.
    pub(super) fn measure_content(&mut self, resources: &mut Resources, is_chunk: bool) {
        let (now, at_once, stats) = (resources.now, !self.is_throttled(), &mut resources.gathering.stats);
        match is_chunk {
            true => self.probe.note_chunk(stats, now, at_once),
            false => self.probe.note_data(stats, now, at_once),
        }
    }

    /// If all replies have left, the client's think time begins.
    pub(super) fn measure_waiting(&mut self, now: Timestamp, resources: &Resources) {
        let is_open = matches!(self.phase, Phase::Open | Phase::Held(..));
        if is_open && !self.has_unsent() && !self.has_more_to_do(resources.now) {
            self.probe.note_waiting(now);
        }
    }

    /// The phase of a held client. It waits for the reply that was withheld, or else for the reply to its next input.
    pub(super) fn held(&self, now: Timestamp, asked: Asked, portion: Portion) -> Phase {
        match (portion, self.expects) {
            (Portion::Nothing, _) => Phase::Held(asked.stage, asked.since),
            (_, Expect::Data) => Phase::Held(Stage::Message, now),
            _ => Phase::Held(asked.stage, now),
        }
    }

    /// The client had closed the connection before the accept. If it had sent something it was waiting for a reply, for
    /// an unknown time; otherwise see [`Probe::note_leaving_before_greeting`].
    pub(in crate::net) fn note_leaving_before_greeting(&mut self, has_sent: bool) {
        match has_sent {
            true => self.probe.note_giving_up(Stage::Greeting, Duration::ZERO),
            false => self.probe.note_leaving_before_greeting(),
        }
    }

    /// The client has closed the connection, or its half of it. If a reply is pending it has given up waiting, unless
    /// it has sent QUIT: a client may close its half after that.
    pub(super) fn note_peer_closed(&mut self, now: Timestamp) {
        let unsent = self.first_unsent().map(|asked| (asked.stage, asked.since));
        let pending = unsent.or(match &self.phase {
            Phase::Delayed(delayed) => Some((delayed.asked.stage, delayed.asked.since)),
            Phase::Held(stage, since) => Some((*stage, *since)),
            Phase::Checking(checking) => Some((Stage::Auth, checking.since())),
            Phase::Securing(securing) => securing.course.waiting_since().map(|since| (Stage::Tls, since)),
            Phase::Preface(_) | Phase::Open | Phase::Closing(_) | Phase::Lingering { .. } => None,
        });
        if let Some((stage, since)) = pending {
            self.probe.note_giving_up(stage, now.since(since));
        }
    }

    pub(super) fn measure_end(&mut self, context: &Context, resources: &mut Resources) -> Ending {
        self.end_tries(context);
        self.probe.close(&mut resources.gathering.stats, resources.now, self.session.has_spoken())
    }
}
