//! The memory of a session as the sum of all its parts: the oracle for the charged memory.

use std::sync::Arc;

use proptest::prelude::*;

use super::Session;
use super::dialogue::{Dialogue, Receiving};
use crate::smtp::auth::ExternalIdentity;
use crate::smtp::policy::{Keep, Policy, RecordMode};
use crate::smtp::receive::incoming::{Content, Incoming};
use crate::smtp::record::{Exchange, Record, Recorder};
use crate::smtp::reply::{Reply, ReplyKind};
use crate::smtp::rules::Environment;
use crate::smtp::session::Protocol;
use crate::smtp::session::envelope::Envelope;

/// An `Arc` counts references of two kinds.
const ARC: usize = 2 * size_of::<usize>();

impl Session {
    /// Bytes of all its allocations, without the allocator's overhead.
    pub(crate) fn walk(&self) -> usize {
        let Self { dialogue, records } = self;
        let of = |recorder: &Recorder| size_of::<Record>() + recorder.record().walk();
        let recorder = records.0.as_ref().map_or(0, of);
        dialogue.walk() + recorder
    }
}

impl Dialogue {
    fn walk(&self) -> usize {
        // All fields are destructured, so that a new one cannot be omitted.
        let Self {
            protocol: _,
            receiving,
            sequence: _,
            chunks,
            envelope,
            declared: _,
            extensions: _,
            retry_keys,
            data_begun: _,
            is_trusted: _,
            skipped: _,
            is_encrypted: _,
            has_spoken: _,
            is_cut_short: _,
            memory_left: _,
            transactions: _,
            steps: _,
            messages: _,
            identity,
            external,
            auth_refused_at: _,
        } = self;
        let incoming = match receiving {
            Receiving::Commands(_) | Receiving::Chunk(_) => 0,
            Receiving::Data(Incoming { content, .. }) => content.text.capacity(),
            Receiving::Replies(answering) => answering.memory(),
            Receiving::Responses(responses) => responses.memory(),
        };
        let envelope = envelope.as_deref().map_or(0, Envelope::memory);
        let chunks = chunks.as_deref().map_or(0, |content| size_of::<Content>() + content.text.capacity());
        let identity =
            identity.as_deref().map_or(0, |identity| ARC + size_of_val(identity) + identity.user.len());
        let external = external.as_deref().map_or(0, ExternalIdentity::memory);
        incoming + chunks + envelope + identity + external + retry_keys.as_deref().map_or(0, size_of_val)
    }
}

impl Record {
    fn walk(&self) -> usize {
        let lines = [&self.helo_exchange, &self.mailfrom_exchange, &self.data_exchange, &self.rset_exchange];
        let recipients = self.rcptto_exchanges.iter();
        let reply = |reply: &Option<Reply>| reply.as_ref().map_or(0, Reply::memory);
        let exchange = |exchange: &Exchange| exchange.request.len() + reply(&exchange.response);
        let recipients = recipients.map(|recipient| ARC + size_of::<Exchange>() + exchange(recipient));
        let text = |text: &Arc<Vec<u8>>| ARC + size_of::<Vec<u8>>() + text.capacity();
        lines.iter().map(|line| exchange(line)).sum::<usize>()
            + reply(&self.msg_response)
            + self.rcptto_exchanges.capacity() * size_of::<Arc<Exchange>>()
            + recipients.sum::<usize>()
            + self.msg_request.as_ref().map_or(0, text)
            + self.deliveries.as_ref().map_or(0, |deliveries| deliveries.walk())
    }
}

fn policy(choice: u8) -> Policy {
    let mut policy = Policy::default();
    if choice & 64 != 0 {
        // Replies that each record owns.
        policy.set_reply(ReplyKind::RcptReceived, "250 2.1.5 <{{to}}> of <{{from}}> is welcome");
        policy.set_reply(ReplyKind::MessageReceived, "250 2.0.0 {{id}}");
    }
    policy.multiple_rcptto = choice & 1 != 0;
    policy.multiple_message_receiving = choice & 2 != 0;
    policy.records = if choice & 4 != 0 { RecordMode::Session } else { RecordMode::Message };
    policy.set_esmtp((choice & 64 != 0).then(Default::default));
    policy.keep = [Keep::Message, Keep::Message, Keep::Envelope, Keep::Nothing][usize::from(choice >> 3 & 3)];
    if choice & 32 != 0 {
        for rule in ["message to=*x* delay=1h", "rcpt to=*b* reply=\"450 later\"", "any helo=x* delay=1s"] {
            policy.add_rule(rule.parse().expect("a rule"));
        }
    }
    policy
}

/// Input of a client that fills memory: few and many recipients, short and long, and texts.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let path = prop_oneof![2 => 1..20usize, 1 => 3000..4000usize];
    let path = (path, prop::sample::select(vec!['a', 'b', 'x']));
    let path = path.prop_map(|(length, letter)| format!("<{}@c.example>", letter.to_string().repeat(length)));
    let count = prop_oneof![4 => 1..4usize, 1 => 20..300usize];
    let words = prop_oneof![2 => Just(None), 1 => (1..400usize).prop_map(Some)];
    let rcpt = (path.clone(), words, count).prop_map(|(path, words, count)| {
        let words = words.map(|length| format!(" NOTIFY=DELAY ORCPT=rfc822;{}", "o".repeat(length)));
        format!("RCPT TO:{path}{}\r\n", words.unwrap_or_default()).repeat(count)
    });
    let text = prop_oneof![2 => 0..100usize, 1 => 0..60_000usize];
    let text = text.prop_map(|length| format!("DATA\r\n{}\r\n.\r\n", "text\r\n".repeat(length / 6)));
    let size = prop_oneof![2 => 0..100usize, 1 => 0..60_000usize];
    let chunk = (size, prop::sample::select(vec!["", "", " LAST"]));
    let chunk = chunk.prop_map(|(size, last)| format!("BDAT {size}{last}\r\n{}", "x".repeat(size)));
    let line = prop_oneof![
        1 => Just("EHLO c.example\r\n".to_owned()),
        1 => (0..4000usize).prop_map(|length| format!("EHLO {}.example\r\n", "x".repeat(length))),
        4 => path.clone().prop_map(|path| format!("MAIL FROM:{path}\r\n")),
        1 => path.prop_map(|path| format!("MAIL FROM:{path} SIZE=5 ENVID=e RET=HDRS\r\n")),
        6 => rcpt,
        4 => text,
        6 => chunk,
        1 => prop::sample::select(vec!["DATA\r\n", "RSET\r\n", "NOOP\r\n", "x\r\n", "\r\n.\r\n"]).prop_map(str::to_owned),
    ];
    let lines = prop::collection::vec(line, 0..30);
    lines.prop_map(|lines| format!("EHLO c.example\r\nLHLO c.example\r\n{}", lines.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn all_memory_of_a_session_is_charged_and_stays_within_the_limit(
        choices: [u8; 2],
        is_lmtp: bool,
        input in input(),
        piece in prop_oneof![1..600usize, 1000..20_000usize],
        limit in prop_oneof![Just(usize::MAX), 0..100_000usize],
    ) {
        // The policy may be replaced at any time.
        let policies = choices.map(policy);
        let protocol = if is_lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        let (mut session, mut waiting) = (Session::speaking(protocol), Vec::new());
        for (policy, piece) in policies.iter().cycle().zip(input.chunks(piece)) {
            waiting.extend_from_slice(piece);
            loop {
                let before = session.held_memory();
                session.set_memory_left(Some(limit.saturating_sub(before)));
                let progress = session.advance(policy, &mut Environment::alone(), &waiting);
                waiting.drain(..progress.consumed);
                let (held, walked) = (session.held_memory(), session.walk());
                prop_assert!(walked <= held, "{held} are charged of {walked}");
                // A few command lines, an unfinished record and its copy are always allowed.
                let always = 5 * 4200 + 5000;
                prop_assert!(walked <= before.max(limit.saturating_add(always)), "{walked} of {limit}");
                if progress.step.is_none() {
                    break;
                }
            }
        }
    }
}
