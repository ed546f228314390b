//! What clients say, and what the pure session answers to the whole of it.

use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use crate::smtp::{DelayPoint, Expect, Next, Policy, RecordMode, Session};

/// One reply and what it follows from.
#[derive(Debug)]
pub(super) struct Answer {
    /// How much of the input must have come.
    pub(super) input_end: usize,
    pub(super) output_end: usize,
    pub(super) delay: Duration,
    /// It was to DATA: message text is expected now.
    pub(super) opens_data: bool,
}

/// What the pure session makes of an input that comes all at once.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) output: Vec<u8>,
    pub(super) answers: Vec<Answer>,
    /// Texts of the accepted messages.
    pub(super) messages: Vec<Vec<u8>>,
    /// Where in the output the acceptance of each begins.
    pub(super) acceptances: Vec<usize>,
    /// The session closes by itself.
    pub(super) closes: bool,
}

impl Model {
    pub(super) fn new(policy: &Policy, input: &[u8]) -> Self {
        let mut session = Session::new();
        let greeting = session.greeting(policy);
        let output = greeting.reply.wire().to_vec();
        let delay = greeting.delay;
        let greeting = Answer { input_end: 0, output_end: output.len(), delay, opens_data: false };
        let mut model = Self {
            output,
            answers: vec![greeting],
            messages: Vec::new(),
            acceptances: Vec::new(),
            closes: false,
        };
        let mut taken = 0;
        while taken < input.len() && !model.closes {
            let progress = session.advance(policy, &input[taken..]);
            taken += progress.consumed;
            let Some(step) = progress.step else { break };
            let output_start = model.output.len();
            model.output.extend_from_slice(step.reply.wire());
            let (delay, next) = (step.delay, step.next);
            if let Some(record) = session.take_finished().filter(|record| record.msg) {
                model.messages.push(record.msg_text().to_vec());
                model.acceptances.push(output_start);
            }
            model.answers.push(Answer {
                input_end: taken,
                output_end: model.output.len(),
                delay,
                opens_data: session.expects() == Expect::Data,
            });
            model.closes = next == Next::Close;
        }
        model
    }

    /// How much a client has read that has heard all there is to hear after `sent` bytes.
    pub(super) fn output_after(&self, sent: usize) -> usize {
        let known = self.answers.partition_point(|answer| answer.input_end <= sent);
        self.answers[known - 1].output_end
    }
}

/// Some delays, some limits; one record per message, so that none is overwritten.
pub(super) fn policy(rng: &mut TestRng) -> Policy {
    let mut policy = Policy::default();
    policy.records = RecordMode::Message;
    for &point in DelayPoint::ALL {
        let delay = match rng.random_range(0..6) {
            0 => Duration::from_nanos(rng.random_range(1..2_000_000)),
            1 => Duration::from_micros(rng.random_range(1..5_000_000)),
            _ => Duration::ZERO,
        };
        policy.set_delay(point, delay);
    }
    match rng.random_range(0..6) {
        0 => policy.fail_fast = true,
        1 => policy.set_message_size_limit(rng.random_range(1..3000)),
        _ => {}
    }
    policy
}

/// A dialogue's input: transactions, loose commands and junk.
pub(super) fn input(rng: &mut TestRng) -> Vec<u8> {
    let mut input = Vec::new();
    if rng.random_bool(0.9) {
        input.extend(b"EHLO client.example\r\n");
    }
    for _ in 0..rng.random_range(0..7) {
        match rng.random_range(0..10) {
            0..5 => transaction(rng, &mut input),
            5..8 => loose_command(rng, &mut input),
            _ => junk(rng, &mut input),
        }
    }
    match rng.random_range(0..4) {
        0 | 1 => input.extend(b"QUIT\r\n"),
        2 => input.extend(b"NOOP without an end"),
        _ => {}
    }
    if rng.random_bool(0.1) {
        loose_command(rng, &mut input); // after QUIT nobody listens
    }
    input
}

fn transaction(rng: &mut TestRng, input: &mut Vec<u8>) {
    input.extend(b"MAIL FROM:<ann@example.com>\r\n");
    for _ in 0..rng.random_range(1..4) {
        input.extend(b"RCPT TO:<bob@example.com>\r\n");
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
        0 => input.extend(b".\n.\r\r\n"), // no end
        _ => input.extend(b".\r\n"),
    }
}

fn loose_command(rng: &mut TestRng, input: &mut Vec<u8>) {
    let commands: [&[u8]; 9] = [
        b"NOOP\r\n",
        b"RSET\r\n",
        b"HELO again.example\r\n",
        b"DATA\r\n",
        b"RCPT TO:<nobody>\r\n",
        b"\r\n",
        b"NOOP\n",
        b"VRFY ann\r\n",
        b"mail from:<>\r\n",
    ];
    input.extend(commands[rng.random_range(0..commands.len())]);
}

fn junk(rng: &mut TestRng, input: &mut Vec<u8>) {
    let length = if rng.random_bool(0.2) { rng.random_range(4000..9000) } else { rng.random_range(0..80) };
    input.extend((0..length).map(|_| rng.random_range(0..=255_u8)));
    input.extend(b"\r\n");
}
