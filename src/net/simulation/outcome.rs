//! Assertions at the end of a simulated world: all resources are released, and each client was served as its model
//! predicts.

use std::time::Duration;

use super::client::{Client, Leaving, Reading};
use super::headers::Header;
use super::script::{Answer, End, Model, Voice};
use super::wire::{self, Wire};
use super::{Peer, ROUNDING, World};
use crate::net::context::{HOLD_LIMIT, LINGER};
use crate::records::Message;
use crate::smtp::{Expect, Next, Policy, Protocol, Record, Reply, ReplyKind, Stage};
use crate::stats::{ProxyStats, SessionStats, Stats, TlsStats};

/// How often each case occurred: a check that never applies proves nothing.
#[derive(Debug, Default)]
pub(super) struct Seen {
    clients: u64,
    replies: u64,
    delayed: u64,
    messages: u64,
    goodbyes: u64,
    /// Answers to BDAT.
    chunks: u64,
    goodbyes_in_chunks: u64,
    unread: u64,
    reset: u64,
    dismissed: u64,
    cut: u64,
    held: u64,
    reset_by_server: u64,
    /// Messages whose positive reply was not sent whole.
    unsent: u64,
    /// Messages that were refused before their end.
    cut_short: u64,
    /// Sessions served by both services.
    reconfigured: u64,
    /// Replies whose delay spans a replacement of the service.
    held_over: u64,
    /// Sessions that ended within a reply.
    gave_up: u64,
    /// Sessions that began with a header.
    headers: u64,
    /// Connections without a whole header.
    strangers: u64,
    /// Replies of LMTP to a message.
    deliveries: u64,
    /// LMTP messages with replies to only some recipients.
    half_answered: u64,
    /// Completed handshakes, those that resumed a session, and sessions that ended without close_notify.
    secured: u64,
    resumed: u64,
    truncated: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.replies += other.replies;
        self.delayed += other.delayed;
        self.messages += other.messages;
        self.goodbyes += other.goodbyes;
        self.chunks += other.chunks;
        self.goodbyes_in_chunks += other.goodbyes_in_chunks;
        self.unread += other.unread;
        self.reset += other.reset;
        self.dismissed += other.dismissed;
        self.cut += other.cut;
        self.held += other.held;
        self.reset_by_server += other.reset_by_server;
        self.unsent += other.unsent;
        self.cut_short += other.cut_short;
        self.reconfigured += other.reconfigured;
        self.held_over += other.held_over;
        self.gave_up += other.gave_up;
        self.headers += other.headers;
        self.strangers += other.strangers;
        self.deliveries += other.deliveries;
        self.half_answered += other.half_answered;
        self.secured += other.secured;
        self.resumed += other.resumed;
        self.truncated += other.truncated;
    }

    pub(super) fn has_everything<E: wire::End>(&self) -> bool {
        let Self { clients, replies, delayed, messages, goodbyes, unread, reset, dismissed, .. } = *self;
        let Self { cut, held, reset_by_server, unsent, cut_short, reconfigured, held_over, gave_up, .. } =
            *self;
        let Self { chunks, goodbyes_in_chunks, deliveries, half_answered, .. } = *self;
        [
            clients,
            replies,
            delayed,
            messages,
            goodbyes,
            chunks,
            goodbyes_in_chunks,
            unread,
            reset,
            dismissed,
            cut,
            held,
            reset_by_server,
            unsent,
            cut_short,
            reconfigured,
            held_over,
            gave_up,
            deliveries,
            half_answered,
        ]
        .into_iter()
        .chain([self.secured, self.resumed, self.truncated].into_iter().filter(|_| E::IS_ENCRYPTED))
        // Only a transport without a handshake has headers before it.
        .chain([self.headers, self.strangers].into_iter().filter(|_| !(E::IS_SEALED || E::IS_ENCRYPTED)))
        .all(|count| count > E::LEAST)
    }
}

impl<E: wire::End> World<E> {
    /// Asserts that all resources are released and that each client was served as its model predicts.
    pub(super) fn check(mut self) -> Seen {
        assert_eq!(self.resources.wheel.next_deadline(), None, "a timer has not been removed");
        self.mailroom.borrow_mut().collect();
        self.check_endings();
        let mut seen = Seen::default();
        for peer in std::mem::take(&mut self.peers) {
            match peer.is_open {
                true => self.check_peer(&peer, &mut seen),
                false => self.check_without_session(&peer, &mut seen),
            }
        }
        let stats = &*self.resources.gathering.stats;
        let Stats { messages, stages, sessions, .. } = stats;
        let filed = &self.mailroom.borrow().records;
        let octets = filed.iter().filter(|message| message.msg()).map(|message| message.body().len() as u64);
        assert_eq!(
            (messages.accepted, messages.bytes),
            (seen.messages, octets.sum()),
            "accepted messages and their octets"
        );
        let ended = messages.accepted + messages.refused + messages.aborted;
        assert_eq!(
            (ended, stats.transactions_open()),
            (stages[Stage::Mail].count, 0),
            "each transaction has an outcome"
        );
        let refused = stages.iter().flat_map(|(_, stage)| stage.transactions_refused.values());
        assert_eq!(refused.sum::<u64>(), messages.refused, "refusals by stage and code");
        assert_eq!(sessions.closed, seen.clients);
        self.check_headers(&seen);
        self.check_handshakes(&mut seen);
        seen
    }

    /// Asserts that handshakes failed only of clients that had left, did not read, or were closed by a stop.
    fn check_handshakes(&self, seen: &mut Seen) {
        let TlsStats { handshakes, resumed, malformed, incompatible, refused, failed, truncated, .. } =
            self.resources.gathering.stats.tls;
        assert_eq!((malformed, incompatible, refused, failed), (0, 0, 0, 0));
        (seen.secured, seen.resumed, seen.truncated) = (handshakes, resumed, truncated);
    }

    /// Asserts that a connection without a session got no reply, and ended.
    fn check_without_session(&self, peer: &Peer<E>, seen: &mut Seen) {
        let wire = peer.wire.borrow();
        assert!(peer.connection.is_none(), "a connection without a session was not ended");
        assert!(wire.written.is_empty(), "{:?} was sent without a session", wire.written.escape_ascii());
        let is_strange = peer.header.as_ref().is_some_and(Header::is_strange);
        seen.strangers += u64::from(is_strange && peer.has_connected);
    }

    /// Asserts that the figures count each connection with a header, and each without a session once.
    fn check_headers(&self, seen: &Seen) {
        let ProxyStats { headers, malformed, late, untrusted, broken_off, .. } =
            &self.resources.gathering.stats.proxy;
        assert_eq!(*headers, seen.headers, "sessions behind a proxy");
        let ended = malformed + late + untrusted + broken_off;
        assert!(
            ended == seen.strangers || (self.is_stopped() && ended <= seen.clients + seen.strangers),
            "{malformed} malformed, {late} late, {untrusted} untrusted, {broken_off} broken off of {seen:?}"
        );
    }

    /// Asserts that each session ended in exactly one way.
    fn check_endings(&self) {
        let are_over = self.peers.iter().all(|peer| peer.connection.is_none());
        assert!(
            !are_over || self.context.budget.left() == usize::MAX,
            "memory of ended sessions is still charged"
        );
        let sessions = &self.resources.gathering.stats.sessions;
        let &SessionStats { left_before_greeting, refused, silent, quit, left, .. } = sessions;
        let &SessionStats { gave_up, timed_out, dismissed, stopped, .. } = sessions;
        let own = [left_before_greeting, refused, silent, quit, left, gave_up, timed_out, dismissed, stopped];
        let ended: u64 = own.iter().sum();
        let opened = self.peers.iter().filter(|peer| peer.is_open).count() as u64;
        assert_eq!((ended, sessions.closed), (opened, opened), "{sessions:?}");
    }

    /// Asserts that a message is accepted, and a reply recorded, exactly if all of the reply was written.
    fn check_records(&self, peer: &Peer<E>, heard: Heard, seen: &mut Seen) {
        let Peer { client, model, wire, .. } = peer;
        let session = wire.borrow().session;
        let mailroom = self.mailroom.borrow();
        let accepted = model.acceptances.partition_point(|acceptance| acceptance.reply.end <= heard.whole);
        assert_eq!(mailroom.accepted(session), model.messages[..accepted], "messages of {client:?}");
        seen.messages += accepted as u64;
        let answered = model.answers[..heard.answers].iter().filter(|answer| answer.is_whole);
        let sent = |stage| answered.clone().filter(|answer| answer.stage == stage).count();
        let goodbye = self.context.policy().reply(ReplyKind::ServiceClosing);
        let records: Vec<_> = mailroom.of(session).map(Message::record).collect();
        let recorded = |of: fn(&Record) -> Option<&Reply>| {
            records.iter().filter_map(|record| of(record)).filter(|reply| *reply != goodbye).count()
        };
        let deliveries =
            records.iter().flat_map(|record| record.deliveries()).filter_map(|delivery| delivery.response);
        let deliveries = deliveries.filter(|reply| *reply != goodbye).count();
        seen.deliveries += deliveries as u64;
        let is_half = |record: &&&Record| {
            let accepted = record.rcptto_exchanges.iter().filter(|exchange| exchange.is_accepted()).count();
            (1..accepted)
                .contains(&record.deliveries().filter(|delivery| delivery.response.is_some()).count())
        };
        seen.half_answered += records.iter().filter(is_half).count() as u64;
        let (messages, chunks) = (sent(Stage::Message), sent(Stage::Bdat));
        // A refused chunk may be recorded as the end of its message.
        let ends = match peer.protocol {
            Protocol::Lmtp => deliveries,
            _ => recorded(|record| record.msg_response.as_ref()),
        };
        assert!((messages..=messages + chunks).contains(&ends), "{client:?}: {ends} of {messages}");
        let beginnings = recorded(|record| record.data_exchange.response.as_ref());
        assert!(beginnings <= sent(Stage::Data) + messages + chunks, "{client:?}");
        assert!(
            recorded(|record| record.mailfrom_exchange.response.as_ref()) <= sent(Stage::Mail),
            "{client:?}"
        );
        let rcpts = records.iter().flat_map(|record| &record.rcptto_exchanges);
        let rcpts = rcpts.filter_map(|exchange| exchange.response.as_ref()).filter(|reply| *reply != goodbye);
        assert!(rcpts.count() <= sent(Stage::Rcpt), "{client:?}");
        assert!(sent(Stage::Helo) > 0 || records.iter().all(|record| !record.helo), "{client:?}");
        let instead = records.iter().any(|record| record.msg_response.as_ref() == Some(goodbye));
        assert!(!instead || heard.goodbye, "{client:?}");
        // If a later message is accepted, no rule has withheld the reply.
        let is_pending = accepted < model.messages.len();
        let is_unsent = |record: &&&Record| {
            record.msg_size > 0 && record.msg_response.as_ref().is_none_or(|reply| reply == goodbye)
        };
        seen.unsent += if is_pending { records.iter().filter(is_unsent).count() as u64 } else { 0 };
    }

    fn check_peer(&self, peer: &Peer<E>, seen: &mut Seen) {
        let Peer { client, model, wire, .. } = peer;
        assert!(peer.connection.is_none(), "{client:?} was not ended");
        let wire = wire.borrow();
        seen.clients += 1;
        seen.headers += u64::from(peer.header.is_some());
        assert!(wire.written.starts_with(&client.received));
        let heard = heard(&wire.written, model, self.context.policy());
        // A client that has part of a reply waits for the rest.
        let is_pending = heard.length > heard.whole && !heard.goodbye;
        let is_cut = model.answers.get(heard.answers).is_some_and(|answer| !answer.is_whole);
        assert!(!peer.is_left || !is_pending || is_cut, "{client:?} left with a reply pending: {heard:?}");
        seen.gave_up += u64::from(is_pending && !peer.is_left);
        self.check_records(peer, heard, seen);
        let before = self.check_times(peer, heard, seen);
        let is_reset = matches!(client.leaving, Leaving::Resets { .. });
        if self.is_stopped() && !is_reset {
            self.check_stopped(peer, heard);
        }
        if is_reset || self.is_stopped() {
            seen.reset += u64::from(is_reset && heard.answers < model.answers.len());
            seen.dismissed += u64::from(self.is_stopped() && heard.goodbye);
            return;
        }
        // There may be room for all replies but not for the end of the output.
        let is_stuck =
            heard.answers < model.answers.len() || (wire.closed_on_unread && !wire.is_output_ended());
        if client.reading == Reading::Never && is_stuck {
            seen.unread += 1;
            return self.check_unread(peer);
        }
        assert_eq!(client.received.len(), heard.reads_all(client, &wire), "octets were left unread");
        let in_time = heard.answers == model.answers.len();
        assert!(in_time || self.data_timeout < self.session_timeout, "{client:?} lost replies: {heard:?}");
        let is_orderly = model.end.is_none_or(|end| end.next != Next::Reset);
        assert!(!is_orderly || !wire.closed_on_unread, "{client:?} would have been reset");
        let is_ended = client.reading != Reading::Eager || wire.ends_by_reset || wire.is_output_ended();
        assert!(is_ended, "{client:?}: the end of the output has not been written");
        match model.end {
            Some(end) if in_time && !heard.goodbye => self.check_end(peer, end, before, seen),
            _ => assert!(!wire.ends_by_reset, "{client:?} was reset"),
        }
    }

    /// Asserts that a stop ends in time and that the last replies reach a client that reads.
    fn check_stopped(&self, peer: &Peer<E>, heard: Heard) {
        let Peer { client, model, wire, .. } = peer;
        let wire = wire.borrow();
        let time_is_up = self.stops_at.expect("a stop") + self.stop_timeout;
        let grace = 2 * (ROUNDING + self.lateness);
        assert!(
            wire.closed_at.expect("an end") <= time_is_up + LINGER + grace,
            "{client:?} delayed the stop"
        );
        let is_reset = model.end.is_some_and(|end| end.next == Next::Reset);
        let is_lost = client.reading == Reading::Eager && heard.goodbye && !is_reset && wire.closed_on_unread;
        assert!(!is_lost, "{client:?} would have been reset");
    }

    /// Replies to this client are sent and read at once.
    fn is_prompt(&self, client: &Client) -> bool {
        client.reading == Reading::Eager && !self.drips
    }

    /// Asserts that a session ended as its rules require: not before its delays end, by a reset only if a rule requires
    /// it, and held until the client closes or the limit is reached.
    fn check_end(&self, peer: &Peer<E>, end: End, before: Duration, seen: &mut Seen) {
        let Peer { client, wire, .. } = peer;
        let wire = wire.borrow();
        let came = match end.input_end {
            0 => client.starts_at,
            sent => wire.arrivals.time_of(sent).expect("the line that ended the session"),
        };
        let (due, closed_at) = (before.max(came) + end.delay, wire.closed_at.expect("an end"));
        assert!(closed_at >= due, "{client:?}: {end:?} early by {:?}", due - closed_at);
        assert_eq!(wire.ends_by_reset, end.next == Next::Reset, "{client:?}: {end:?}");
        // Three timers round: a delay, a hold and the linger after it.
        let grace = 3 * (ROUNDING + self.lateness);
        let is_prompt = self.is_prompt(client);
        let (held, lingers) = match end.next {
            Next::Hold => (HOLD_LIMIT, LINGER),
            _ => (Duration::ZERO, Duration::ZERO),
        };
        let is_late = is_prompt && end.next != Next::Close && closed_at > due + held + lingers + grace;
        assert!(!is_late, "{client:?}: {end:?} late by {:?}", closed_at - due);
        // A hold begins when the first piece of its reply is sent.
        let waits = end.next == Next::Hold && client.leaving == Leaving::Waits && !self.drips;
        assert!(!waits || closed_at >= due + held, "{client:?}: {end:?} held too short");
        // A reset would destroy the last reply to a client that is still sending its message.
        let is_lost =
            end.is_amid && end.next == Next::Close && wire.has_lost_input && closed_at < due + LINGER;
        assert!(!is_lost, "{client:?}: {end:?} closed while the message was arriving");
        seen.cut_short += u64::from(end.is_amid);
        seen.cut += u64::from(end.is_cut);
        seen.held += u64::from(end.next == Next::Hold);
        seen.reset_by_server += u64::from(end.next == Next::Reset);
    }

    /// Asserts that the session of a peer that does not read ends one timeout after the last octet in either direction.
    fn check_unread(&self, peer: &Peer<E>) {
        let wire = peer.wire.borrow();
        let last = wire.writes.last().max(wire.arrivals.last()).unwrap_or(peer.client.starts_at);
        let delays = peer.model.answers.iter().map(|answer| answer.delay).max().expect("a greeting");
        let held = if peer.model.is_held() { HOLD_LIMIT } else { Duration::ZERO };
        // Of the commands in one read, two may be delayed although the reply to the first does not leave.
        let latest = last + 2 * delays + held + self.session_timeout + 3 * (ROUNDING + self.lateness);
        assert!(wire.closed_at.expect("an end") <= latest, "{:?} was not ended in time", peer.client);
    }

    /// Asserts that each reply was sent when its delay ended, and not much later if the client reads. Returns when the
    /// delay after the last reply could begin.
    fn check_times(&self, peer: &Peer<E>, heard: Heard, seen: &mut Seen) -> Duration {
        let Peer { client, model, wire, .. } = peer;
        let wire = wire.borrow();
        let mut before = client.starts_at;
        let (mut opened, mut begins, mut voices) = (None, 0, Vec::new());
        for answer in &model.answers[..heard.answers] {
            let at = wire.writes.time_of(answer.output_end).expect("a written reply");
            let came = match answer.input_end {
                0 => client.starts_at,
                end => wire.arrivals.time_of(end).expect("a command that was answered"),
            };
            let due = before.max(came) + answer.delay;
            assert!(at >= due, "{client:?}: early by {:?}: {answer:?}", due - at);
            let grace = if answer.delay.is_zero() { Duration::ZERO } else { ROUNDING + self.lateness };
            let is_prompt = self.is_prompt(client);
            let is_late = is_prompt && at > due + grace;
            assert!(!is_late, "{client:?}: late by {:?}: {answer:?}", at - due);
            let words = [&wire.written, &model.output].map(|output| &output[begins..answer.output_end]);
            let decided = (before.max(came), at.saturating_sub(answer.delay));
            voices.extend(self.check_voice(client, answer.is_own, words, decided));
            begins = answer.output_end;
            let is_replaced = self.served[1..].iter().any(|(since, _)| (decided.1..at).contains(since));
            seen.held_over += u64::from(is_replaced);
            seen.replies += 1;
            seen.delayed += u64::from(!answer.delay.is_zero());
            // If the client reads late, or the rate is limited, the time at which its last reply was ready is unknown.
            let ready = std::mem::replace(&mut before, if is_prompt { at } else { due });
            opened = Opened::behind(answer, opened, &wire, ready, before);
            seen.chunks += u64::from(answer.chunk.is_some());
        }
        let changes = voices.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes < self.served.len(), "{client:?}: {voices:?} by {:?}", self.served);
        seen.reconfigured += u64::from(changes > 0);
        if heard.goodbye && !self.is_stopped() {
            seen.goodbyes += 1;
            let last = &model.answers[heard.answers - 1];
            let last = wire.writes.time_of(last.output_end).expect("a written reply");
            let next = model.answers.get(heard.answers).map_or(model.chunk, |answer| answer.chunk);
            let opened =
                Opened::by_part(next, &wire, before).map_or(opened, |part| Some(part.within(opened)));
            seen.goodbyes_in_chunks += u64::from(opened.is_some_and(|opened| opened.is_chunked));
            self.check_goodbye(peer, last, opened);
        }
        before
    }

    /// Asserts that a reply is that of the service in use when it was decided, not when it was sent. `None` if both
    /// services have the same reply.
    fn check_voice(
        &self,
        client: &Client,
        is_own: bool,
        [written, usual]: [&[u8]; 2],
        decided: (Duration, Duration),
    ) -> Option<Voice> {
        let (text, capitals) = (String::from_utf8_lossy(written), usual.to_ascii_uppercase());
        if !is_own || usual == capitals {
            assert_eq!(written, usual, "{client:?}: not the reply of the rule: {text}");
            return None;
        }
        let voice = if written == usual { Voice::Usual } else { Voice::InCapitals };
        assert!(voice == Voice::Usual || written == capitals, "{client:?}: neither service replies {text}");
        let possible = self.voices(decided.0, decided.1);
        assert!(possible.contains(&voice), "{client:?}: {text} between {decided:?}, by {:?}", self.served);
        Some(voice)
    }

    /// Asserts that 421 is sent when the client was silent for the session timeout or exceeded the data timeout.
    fn check_goodbye(&self, peer: &Peer<E>, last_reply: Duration, opened: Option<Opened>) {
        let wire = peer.wire.borrow();
        let idle_since = match opened {
            Some(Opened { is_amid: true, .. }) => wire.arrivals.last().expect("a command").max(last_reply),
            _ => last_reply,
        };
        let mut due = idle_since + self.session_timeout;
        if let Some(opened) = opened {
            due = due.min(opened.at + self.data_timeout);
        }
        let at = wire.writes.last().expect("a 421");
        assert!(at >= due, "{:?}: 421 early by {:?}", peer.client, due - at);
        let is_prompt = self.is_prompt(&peer.client);
        let timers = 1 + opened.map_or(0, |opened| opened.delays);
        let latest = due + timers * (ROUNDING + self.lateness);
        assert!(!is_prompt || at <= latest, "{:?}: 421 late by {:?}", peer.client, at - due);
    }
}

/// The message that the server waits for.
#[derive(Clone, Copy, Debug)]
struct Opened {
    /// Start of the data timeout, including later delays.
    at: Duration,
    /// Number of these delays, each of which may have been longer.
    delays: u32,
    /// Octets restart the session timeout.
    is_amid: bool,
    is_chunked: bool,
}

impl Opened {
    /// After an answer that left at the time `at`; the previous one was ready at `ready`.
    fn behind(
        answer: &Answer,
        before: Option<Self>,
        wire: &Wire,
        ready: Duration,
        at: Duration,
    ) -> Option<Self> {
        match answer.expects {
            Expect::Data => Some(Self { at, delays: 0, is_amid: true, is_chunked: false }),
            Expect::NextChunk => {
                let part = Self::by_part(answer.chunk, wire, ready);
                let opened = part.map_or(before, |part| Some(part.within(before)))?;
                let delays = opened.delays + u32::from(!answer.delay.is_zero());
                Some(Self { at: opened.at + answer.delay, delays, is_amid: false, ..opened })
            }
            _ => None,
        }
    }

    /// A chunk whose octets begin at this input offset, if its command line has arrived.
    fn by_part(chunk: Option<usize>, wire: &Wire, ready: Duration) -> Option<Self> {
        let at = wire.arrivals.time_of(chunk?)?.max(ready);
        Some(Self { at, delays: 0, is_amid: true, is_chunked: true })
    }

    /// The same in a message that began earlier.
    fn within(self, before: Option<Self>) -> Self {
        before.filter(|before| before.is_chunked).map_or(self, |before| Self { is_amid: true, ..before })
    }
}

/// A client's received output, compared with its model.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Number of whole answers of the model.
    answers: usize,
    /// The end of these answers.
    whole: usize,
    /// A 421 follows them.
    goodbye: bool,
    length: usize,
}

impl Heard {
    /// The number of octets that a client has read at the end.
    fn reads_all(self, client: &Client, wire: &Wire) -> usize {
        if client.reading == Reading::Never { 0 } else { wire.written.len().max(self.length) }
    }
}

/// Compares the output with the model: it must be a prefix of the model's answers, followed by 421 where the server
/// ended the session.
fn heard(written: &[u8], model: &Model, policy: &Policy) -> Heard {
    let answers = model.answers.partition_point(|answer| {
        written.len() >= answer.output_end && starts_with(written, &model.output[..answer.output_end])
    });
    let whole = model.answers[..answers].last().map_or(0, |answer| answer.output_end);
    let rest = &written[whole..];
    let goodbye = policy.reply(ReplyKind::ServiceClosing).wire();
    let is_goodbye = !rest.is_empty() && rest == goodbye;
    let show = String::from_utf8_lossy(rest);
    assert!(
        is_goodbye || goodbye.starts_with(rest) || starts_with(&model.output[whole..], rest),
        "unexpected after {answers} answers: {show:?}"
    );
    Heard { answers, whole, goodbye: is_goodbye, length: written.len() }
}

/// Compares ignoring the voice.
fn starts_with(output: &[u8], front: &[u8]) -> bool {
    output.get(..front.len()).is_some_and(|part| part.eq_ignore_ascii_case(front))
}
