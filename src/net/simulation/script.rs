//! Clients' input, and the pure session's answers to it.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use crate::smtp::auth::{Auth, Credential, read_password_file};
use crate::smtp::rules::{ByteRate, Environment, Offer, Rule, State};
use crate::smtp::{
    DelayPoint, Esmtp, Expect, Filing, Next, Policy, Progress, Protocol, ReplyKind, Session, Stage, Step,
};

/// One reply and the input that it answers.
#[derive(Debug)]
pub(super) struct Answer {
    /// How many octets of the input must have arrived.
    pub(super) input_end: usize,
    pub(super) output_end: usize,
    pub(super) delay: Duration,
    pub(super) stage: Stage,
    pub(super) is_whole: bool,
    /// The reply is the server's own, not a rule's.
    pub(super) is_own: bool,
    /// The server's expectation after it.
    pub(super) expects: Expect,
    /// For BDAT: the input offset of its chunk.
    pub(super) chunk: Option<usize>,
}

/// The acceptance of a message.
#[derive(Clone, Debug)]
pub(super) struct Acceptance {
    /// The range of the accepting reply in the output.
    pub(super) reply: Range<usize>,
    /// The start of the last reply to the message, before which its record is filed. In LMTP it may differ from
    /// `reply`.
    pub(super) filed: usize,
}

/// How the server ends a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// How many octets of the input must have arrived.
    pub(super) input_end: usize,
    /// The delay before the end; zero after an answer, which has its own delay.
    pub(super) delay: Duration,
    pub(super) next: Next,
    /// Only a part of the reply is sent.
    pub(super) is_cut: bool,
    /// The end occurs within a message.
    pub(super) is_amid: bool,
}

/// The pure session's answers to an input that arrives at once.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) output: Vec<u8>,
    /// The answers of which at least one octet is sent.
    pub(super) answers: Vec<Answer>,
    /// The texts of the accepted messages.
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) acceptances: Vec<Acceptance>,
    pub(super) end: Option<End>,
    /// The end of the STARTTLS line in the input.
    pub(super) starttls: Option<usize>,
    /// The input offset of an incomplete chunk.
    pub(super) chunk: Option<usize>,
}

impl Model {
    /// Rules count each session separately (see [`rules`]), so that sessions are independent.
    pub(super) fn new(
        (protocol, is_encrypted): (Protocol, bool),
        policy: &Policy,
        number: u64,
        input: &[u8],
    ) -> Self {
        let (mut session, mut state) = (Session::speaking(protocol), State::default());
        let (mut model, mut accepted) = (Self::default(), 0..0);
        let mut environment = Environment {
            session: number,
            peer: PEER.into(),
            state: Some(&mut state),
            ..Environment::alone()
        };
        if is_encrypted {
            session.set_encrypted();
        }
        let greeting = session.greeting(policy, &mut environment);
        model.note(policy, &session, &greeting, Expect::Command, 0);
        let (mut taken, mut given, mut expects) = (0, 0, Expect::Command);
        while (given < input.len() || expects == Expect::Nothing) && model.end.is_none() {
            // A message that is too big may be refused before its end, at a position that matters.
            given = if expects == Expect::Data { given.max(taken) + 1 } else { input.len() };
            let line_end = input[taken..].iter().position(|octet| *octet == b'\n').map(|at| taken + at + 1);
            let mut progress = session.advance(policy, &mut environment, &input[taken..given]);
            if let Some(check) = progress.check.take() {
                let consumed = progress.consumed;
                progress = Progress { consumed, ..session.resume(policy, &mut environment, check.run()) };
            }
            model.chunk = line_end.filter(|_| progress.expects == Expect::Chunk);
            taken += progress.consumed;
            given = if progress.step.is_some() { taken } else { given };
            expects = progress.expects;
            let Some(step) = progress.step else { continue };
            let filed = model.output.len();
            if step.message.is_some_and(|message| message.is_accepted) {
                accepted = filed..filed + step.reply.wire().len();
            }
            if let Filing::Finished(record) = &step.filing
                && record.msg
            {
                model.messages.push(record.msg_text().to_vec());
                model.acceptances.push(Acceptance { reply: accepted.clone(), filed });
            }
            model.note(policy, &session, &step, expects, taken);
            if step.next == Next::StartTls {
                session.set_encrypted();
                model.starttls = Some(taken);
            }
            let is_chunk = step.stage == Stage::Bdat
                || step.message.is_some_and(|message| message.is_chunked && message.is_first());
            if let Some(answer) = model.answers.last_mut().filter(|_| is_chunk) {
                answer.chunk = line_end;
            }
        }
        model
    }

    fn note(&mut self, policy: &Policy, session: &Session, step: &Step, expects: Expect, input_end: usize) {
        let octets = step.wire();
        let mut delay = step.delay;
        if !octets.is_empty() {
            self.output.extend_from_slice(octets);
            let output_end = self.output.len();
            let (stage, is_whole) = (step.stage, octets == step.reply.wire());
            let limit = policy.message_size_limit().to_string();
            let text = |kind: ReplyKind| policy.reply(kind).source().replace("{{limit}}", &limit);
            let is_own = ReplyKind::ALL.iter().any(|kind| text(*kind) == step.reply.source());
            let answer =
                Answer { input_end, output_end, delay, stage, is_whole, is_own, expects, chunk: None };
            self.answers.push(answer);
            delay = Duration::ZERO;
        }
        assert!(!octets.is_empty() || step.next != Next::Continue, "a line got no answer");
        if !matches!(step.next, Next::Continue | Next::StartTls) {
            let is_cut = octets != step.reply.wire();
            self.end = Some(End { input_end, delay, next: step.next, is_cut, is_amid: session.owes_input() });
        }
    }

    /// A rule holds the connection at the end.
    pub(super) fn is_held(&self) -> bool {
        self.end.is_some_and(|end| end.next == Next::Hold)
    }

    /// How many octets a client that has sent `sent` bytes can read.
    pub(super) fn output_after(&self, sent: usize) -> usize {
        let known = self.answers.partition_point(|answer| answer.input_end <= sent);
        self.answers[..known].last().map_or(0, |answer| answer.output_end)
    }
}

/// The address of every client.
pub(super) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The texts of the server's own replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Usual,
    InCapitals,
}

impl Voice {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Usual => Self::InCapitals,
            Self::InCapitals => Self::Usual,
        }
    }
}

/// The same policy with replies in this voice. Rules continue their counts although a rule that never fires precedes
/// them. The 421 is the same in both voices.
pub(super) fn in_voice(policy: &Policy, voice: Voice) -> Policy {
    const NEVER: &str = "any session=1000000 close";
    let mut other = policy.clone();
    for &kind in ReplyKind::ALL.iter().filter(|kind| **kind != ReplyKind::ServiceClosing) {
        match voice {
            Voice::Usual if kind == ReplyKind::EhloReceived && policy.esmtp().is_some() => {
                other.set_reply(kind, offer(policy));
            }
            Voice::Usual if kind == ReplyKind::LhloReceived => other.set_reply(kind, offer(policy)),
            Voice::Usual => other.set_reply(kind, usual_text(kind)),
            Voice::InCapitals => {
                let text = policy.reply(kind).source().to_ascii_uppercase();
                let lower = |text: String, place: &&str| text.replace(&place.to_ascii_uppercase(), place);
                other.set_reply(kind, ["{{limit}}", "{{commands}}"].iter().fold(text, lower));
            }
        }
    }
    let rules: Vec<Rule> = policy.rules().filter(|rule| rule.to_string() != NEVER).cloned().collect();
    other.remove_rules();
    let never: Rule = NEVER.parse().expect("a rule");
    let front = (voice == Voice::InCapitals).then_some(never);
    front.into_iter().chain(rules).for_each(|rule| other.add_rule(rule));
    other
}

/// The default text of this reply: one for all sessions, although some default texts depend on the extensions offered.
fn usual_text(kind: ReplyKind) -> &'static str {
    match kind {
        ReplyKind::MessageReceived => "250 Message received",
        ReplyKind::InvalidCommand | ReplyKind::InvalidRsetArgument => "502 Command unrecognized",
        kind => kind.default_text(),
    }
}

/// A rate of replies, from a few octets per second to more than any session needs.
pub(super) fn drip(rng: &mut TestRng) -> ByteRate {
    let rate = [100, 1000, 100_000][rng.random_range(0..3)];
    format!("{rate}B/s").parse().expect("a rate")
}

/// The reply to EHLO and LHLO with chunking and authentication, without enhanced codes, which not all texts have.
const OFFER: &str = "250-mx.example\n250-CHUNKING\n250-BINARYMIME\n250 AUTH PLAIN LOGIN";

/// The same, with STARTTLS if available.
fn offer(policy: &Policy) -> String {
    let tls = if policy.has_tls() { "250-STARTTLS\n" } else { "" };
    OFFER.replacen("250-CHUNKING", &format!("{tls}250-CHUNKING"), 1)
}

/// The policy of a server with TLS.
pub(super) fn encrypting(mut policy: Policy) -> Policy {
    policy.set_tls(true);
    for kind in [ReplyKind::EhloReceived, ReplyKind::LhloReceived] {
        if kind == ReplyKind::LhloReceived || policy.esmtp().is_some() {
            policy.set_reply(kind, offer(&policy));
        }
    }
    policy
}

/// A user with a clear password, and one with a hash that is checked on another thread.
fn auth() -> Auth {
    let hashed = "bob:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    let mut auth = Auth::default();
    auth.add(Credential::user("ann", "secret"));
    read_password_file(hashed).expect("valid").into_iter().for_each(|user| auth.add(user));
    auth
}

/// A policy with random delays, limits and rules.
pub(super) fn policy(rng: &mut TestRng) -> Policy {
    let mut policy = Policy::default();
    for kind in [ReplyKind::MessageReceived, ReplyKind::InvalidCommand, ReplyKind::InvalidRsetArgument] {
        policy.set_reply(kind, usual_text(kind));
    }
    policy.set_reply(ReplyKind::LhloReceived, OFFER);
    for &point in DelayPoint::ALL {
        let delay = match rng.random_range(0..6) {
            0 => Duration::from_nanos(rng.random_range(1..2_000_000)),
            1 => Duration::from_micros(rng.random_range(1..5_000_000)),
            _ => Duration::ZERO,
        };
        policy.set_delay(point, delay);
    }
    if rng.random_bool(0.3) {
        // Time for a stop, or for a client to leave, before a message is accepted.
        policy.set_delay(DelayPoint::Message, Duration::from_secs(rng.random_range(1..20)));
    }
    match rng.random_range(0..6) {
        0 => {
            policy.fail_fast = true;
            // An oversized message ends the session before the message ends.
            policy.set_message_size_limit(if rng.random_bool(0.5) { 100 } else { 3000 });
        }
        1 => policy.set_message_size_limit(rng.random_range(1..3000)),
        _ => {}
    }
    if rng.random_bool(0.7) {
        let offer = Some(Offer::only([]));
        policy.set_esmtp(Some(Esmtp { offer, auth: auth(), ..Esmtp::default() }));
        policy.set_reply(ReplyKind::EhloReceived, OFFER);
    }
    policy.seed = rng.random();
    if rng.random_bool(0.8) {
        (0..rng.random_range(1..5)).for_each(|_| policy.add_rule(rule(rng)));
    }
    policy
}

/// A rule whose matches depend only on its session: chance is drawn from a stream of the session, and counts are per
/// session. Rules that end a session are rare enough for other rules to apply.
fn rule(rng: &mut TestRng) -> Rule {
    const STAGES: &[&str] = &[
        "connect", "helo", "mail", "rcpt", "data", "message", "rset", "noop", "quit", "vrfy", "help", "bdat",
        "auth", "unknown", "any",
    ];
    const GOES_ON: &[&str] = &[
        "delay=3ms..90ms",
        "delay=exp(200ms),max=2s@50%",
        "delay=1s reply=\"451 4.3.0 later\"",
        "reply=\"250-two\\n250 lines\"",
        "reply=\"354 go on\"",
        "reply=\"550 5.7.1 no\"",
        "reply=\"550 5.1.1 <{{to}}> of {{helo}}, {{from}}: {{id}}, {{size}} of {{limit}}\"",
        "reply=\"250 {{id}}\"",
        "accept",
    ];
    const ENDS: &[&str] = &[
        "close",
        "drop=fin",
        "cut=0",
        "drop=rst",
        "drop=fin-after delay=5ms",
        "drop=rst-after",
        "cut=1",
        "cut=7 delay=10ms..2s",
        "silent",
        "silent delay=700ms",
        "stall",
        "reply=\"421 4.3.2 going down\" close",
    ];
    const CONDITIONS: &[&str] =
        &["", "times=2 per=session", "session=2..5", "nth=2 per=session", "every=3 per=session"];
    let mut any = |choices: &[&'static str]| choices[rng.random_range(0..choices.len())];
    let stage = any(STAGES);
    // A session connects and quits only once.
    let conditions = if matches!(stage, "connect" | "quit") { &CONDITIONS[..3] } else { CONDITIONS };
    let (condition, goes_on, end) = (any(conditions), any(GOES_ON), any(ENDS));
    let text = match rng.random_bool(0.5) {
        true => format!("{stage} {condition} odds=50% {end}"),
        false => format!("{stage} {condition} odds=70% {goes_on}"),
    };
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The input of a dialogue: transactions, single commands and lines that are no commands.
pub(super) fn input(rng: &mut TestRng) -> Vec<u8> {
    let mut input = Vec::new();
    if rng.random_bool(0.9) {
        input.extend(b"EHLO client.example\r\n");
    }
    for _ in 0..rng.random_range(0..7) {
        match rng.random_range(0..10) {
            0..6 => transaction(rng, &mut input),
            6..9 => loose_command(rng, &mut input),
            _ => junk(rng, &mut input),
        }
        if input.len() % 7 == 1 {
            exchange(&mut input);
        }
    }
    match rng.random_range(0..4) {
        0 | 1 => input.extend(b"QUIT\r\n"),
        2 if rng.random_bool(0.3) => input.extend(b"NOOP without an end"),
        2 => {
            input.extend(b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\n");
            let ends: [&[u8]; 4] =
                [b"BDAT 3\r\none", b"BDAT 0\r\nBDAT 3\r\non", b"BDAT 3 LAST\r\non", b"BDAT x\r\n"];
            input.extend(ends[rng.random_range(0..ends.len())]);
        }
        _ => {}
    }
    if rng.random_bool(0.1) {
        loose_command(rng, &mut input); // after QUIT the server reads nothing
    }
    input
}

/// Replaces HELO and EHLO by LHLO.
pub(super) fn in_lmtp(mut input: Vec<u8>) -> Vec<u8> {
    for at in 0..input.len().saturating_sub(4) {
        if matches!(&input[at..at + 5], b"EHLO " | b"HELO ") {
            input[at..at + 4].copy_from_slice(b"LHLO");
        }
    }
    input
}

/// AUTH: by a user with a clear password or a hashed one, right or wrong, as a command or with responses, or cancelled.
fn exchange(input: &mut Vec<u8>) {
    const EXCHANGES: &[&str] = &[
        "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
        "AUTH PLAIN\r\nAGJvYgBzZWNyZXQ=\r\n",
        "AUTH PLAIN AGJvYgB3cm9uZw==\r\n",
        "AUTH LOGIN\r\nYm9i\r\nc2VjcmV0\r\n",
        "AUTH LOGIN YW5u\r\nd3Jvbmc=\r\n",
        "AUTH LOGIN\r\n*\r\n",
    ];
    input.extend(EXCHANGES[input.len() % EXCHANGES.len()].bytes());
}

fn transaction(rng: &mut TestRng, input: &mut Vec<u8>) {
    input.extend(b"MAIL FROM:<ann@example.com>\r\n");
    for _ in 0..rng.random_range(1..4) {
        input.extend(b"RCPT TO:<bob@example.com>\r\n");
    }
    if rng.random_bool(0.5) {
        return chunks(rng, input);
    }
    input.extend(b"DATA\r\n");
    for _ in 0..rng.random_range(0..8) {
        match rng.random_range(0..10) {
            0 => input.extend(b".."),
            1 => input.extend(b"bare \n. \r line \r\r ends"),
            2 => input.extend(b".stuffed"),
            3 => {
                let length = rng.random_range(0..6000);
                input.resize(input.len() + length, b'x');
            }
            _ => input.extend(format!("line {}", rng.random_range(0..1_000_000_u32)).bytes()),
        }
        input.extend(b"\r\n");
    }
    match rng.random_range(0..12) {
        0 => input.extend(b".\n.\r\r\n"), // not the end of data
        _ => input.extend(b".\r\n"),
    }
}

/// A message in chunks, which may lack a last one, have too few octets, or have commands between chunks.
fn chunks(rng: &mut TestRng, input: &mut Vec<u8>) {
    let count = rng.random_range(1..5);
    for number in 1..=count {
        let length = match rng.random_range(0..8) {
            0 => 0,
            1 => rng.random_range(0..6000),
            _ => rng.random_range(0..200),
        };
        let last = if number == count && rng.random_bool(0.9) { " LAST" } else { "" };
        let announced = if rng.random_bool(0.03) { length + 3 } else { length };
        input.extend(format!("BDAT {announced}{last}\r\n").bytes());
        let octets: &[u8] = [&b"\r\n.\r\nQUIT\r\n"[..], b"text\r\n\0\xff"][rng.random_range(0..2)];
        input.extend(octets.iter().cycle().take(length));
        if rng.random_bool(0.1) {
            loose_command(rng, input);
        }
    }
}

fn loose_command(rng: &mut TestRng, input: &mut Vec<u8>) {
    let commands: [&[u8]; 11] = [
        b"NOOP\r\n",
        b"RSET\r\n",
        b"HELO again.example\r\n",
        b"DATA\r\n",
        b"RCPT TO:<nobody>\r\n",
        b"\r\n",
        b"NOOP\n",
        b"VRFY ann\r\n",
        b"BDAT 5 LAST\r\nNOOP\n",
        b"BDAT 0\r\n",
        b"mail from:<>\r\n",
    ];
    input.extend(commands[rng.random_range(0..commands.len())]);
}

fn junk(rng: &mut TestRng, input: &mut Vec<u8>) {
    let length = if rng.random_bool(0.2) { rng.random_range(4000..9000) } else { rng.random_range(0..80) };
    input.extend((0..length).map(|_| rng.random_range(0..=255_u8)));
    input.extend(b"\r\n");
}
