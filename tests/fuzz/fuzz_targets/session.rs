//! A whole session: however its input is cut, it gives the same replies and records, sees the same in its messages,
//! stays within its limits, and never panics.
//!
//! The first two bytes choose the policy, the protocol and how the input is cut; the rest is what the client sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::rules::{Environment, State};
use smtpmock::smtp::{
    AddressRules, Esmtp, Expect, Filing, LineScanner, Next, Policy, Protocol, Received, Record, RecordMode,
    Session, Step,
};

/// Rules that put off, so that what is tried is followed, and refuse, hold back, cut and end.
const RULES: &[&str] = &[
    "helo every=2 reply=\"250-mx.example\\n250-SIZE 10\\n250-SMTPUTF8\\n250 DSN\"",
    "rcpt per=sender+recipient times=1 reply=\"451 4.7.1 Greylisted\"",
    "message every=2 reply=\"452 4.3.1 Later\"",
    "data every=3 delay=1ms..2ms reply=\"451 4.3.0 Later\"",
    "mail from=*x* times=2 reply=\"450 4.7.1 Later\"",
    "noop every=4 cut=5",
    "rset every=5 silent",
];

/// What a session came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    output: Vec<u8>,
    records: Vec<Record>,
    messages: Vec<Received>,
    is_over: bool,
}

fuzz_target!(|data: &[u8]| {
    let [choice, cut, input @ ..] = data else { return };
    let policy = policy(*choice);
    let (protocol, size) = match cut {
        0..128 => (Protocol::Smtp, usize::from(*cut) + 1),
        _ => (Protocol::Lmtp, usize::from(*cut) - 127),
    };
    let whole = talk(protocol, &policy, input, input.len().max(1));
    let pieces = talk(protocol, &policy, input, size);
    assert_eq!(whole, pieces, "{protocol} cut into pieces of {size}");
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
    policy.records = if choice & 16 != 0 { RecordMode::Message } else { RecordMode::Session };
    // As `multiple_rcptto` changes nothing of a record per message.
    policy.set_esmtp((choice & 17 == 17).then(Esmtp::default));
    if choice & 128 != 0 {
        RULES.iter().for_each(|rule| policy.add_rule(rule.parse().expect("a rule")));
    }
    policy.addresses = match choice >> 5 & 3 {
        0 => AddressRules::Compat,
        1 => AddressRules::Rfc5321,
        2 => AddressRules::Lenient,
        _ => AddressRules::Any,
    };
    policy
}

/// Feeds the input in pieces of `size`, as a connection does.
fn talk(protocol: Protocol, policy: &Policy, input: &[u8], size: usize) -> Outcome {
    let (mut session, mut state) = (Session::speaking(protocol), State::default());
    let mut outcome = Outcome::default();
    let mut waiting = Vec::new();
    for piece in input.chunks(size) {
        waiting.extend_from_slice(piece);
        take(policy, &mut session, &mut state, &mut waiting, &mut outcome);
        assert!(outcome.is_over || waiting.len() <= LineScanner::LIMIT, "more waits than one line");
        if outcome.is_over {
            break;
        }
    }
    outcome.records.extend(session.finish(policy).map(|last| last.record));
    outcome
}

fn take(
    policy: &Policy,
    session: &mut Session,
    state: &mut State,
    waiting: &mut Vec<u8>,
    outcome: &mut Outcome,
) {
    let mut expects = Expect::Command;
    while (!waiting.is_empty() || expects == Expect::Nothing) && !outcome.is_over {
        let mut environment = Environment { state: Some(state), ..Environment::alone() };
        let progress = session.advance(policy, &mut environment, waiting);
        waiting.drain(..progress.consumed);
        expects = progress.expects;
        let Some(step) = progress.step else { return };
        outcome.note(step);
    }
}

impl Outcome {
    fn note(&mut self, step: Step) {
        self.output.extend_from_slice(step.wire());
        self.is_over = step.next != Next::Continue;
        self.messages.extend(step.message);
        if let Filing::Finished(record) = step.filing {
            self.records.push(*record);
        }
    }
}
