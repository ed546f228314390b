//! A whole session: however its input is cut, it gives the same replies and records, stays within its
//! limits, and never panics.
//!
//! The first two bytes choose the policy and how the input is cut; the rest is what the client sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::{AddressRules, Filing, LineScanner, Next, Policy, Record, RecordMode, Session};

/// What a session came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    output: Vec<u8>,
    records: Vec<Record>,
    closed: bool,
}

fuzz_target!(|data: &[u8]| {
    let [choice, cut, input @ ..] = data else { return };
    let policy = policy(*choice);
    let whole = talk(&policy, input, input.len().max(1));
    let pieces = talk(&policy, input, usize::from(*cut) + 1);
    assert_eq!(whole, pieces, "cut into pieces of {}", usize::from(*cut) + 1);
});

fn policy(choice: u8) -> Policy {
    let mut policy = Policy::default();
    policy.multiple_rcptto = choice & 1 != 0;
    policy.multiple_message_receiving = choice & 2 != 0;
    // A refusal in the middle of the data comes as soon as it is known: with both, replies depend on the cut.
    policy.fail_fast = choice & 12 == 4;
    if choice & 8 != 0 {
        policy.set_message_size_limit(100);
    }
    if choice & 16 != 0 {
        policy.records = RecordMode::Message;
    }
    policy.addresses = match choice >> 5 & 3 {
        0 => AddressRules::Compat,
        1 => AddressRules::Rfc5321,
        _ => AddressRules::Any,
    };
    policy
}

/// Feeds the input in pieces of `size`, as a connection does.
fn talk(policy: &Policy, input: &[u8], size: usize) -> Outcome {
    let mut session = Session::new();
    let mut outcome = Outcome { output: Vec::new(), records: Vec::new(), closed: false };
    let mut waiting = Vec::new();
    for piece in input.chunks(size) {
        waiting.extend_from_slice(piece);
        take(policy, &mut session, &mut waiting, &mut outcome);
        assert!(outcome.closed || waiting.len() <= LineScanner::LIMIT, "more waits than one line");
        if outcome.closed {
            break;
        }
    }
    outcome.records.extend(session.finish(policy));
    outcome
}

fn take(policy: &Policy, session: &mut Session, waiting: &mut Vec<u8>, outcome: &mut Outcome) {
    while !waiting.is_empty() && !outcome.closed {
        let progress = session.advance(policy, waiting);
        waiting.drain(..progress.consumed);
        let Some(step) = progress.step else { return };
        outcome.output.extend_from_slice(step.reply.wire());
        outcome.closed = step.next == Next::Close;
        if step.filing == Filing::Finished {
            outcome.records.extend(session.take_finished());
        }
    }
}
