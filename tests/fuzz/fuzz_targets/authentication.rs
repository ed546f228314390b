//! Exchanges of AUTH: however the input is cut, they give the same replies and records, let nobody in who has not proved a
//! password, show no response in a log, stay within their limits, and never panic.
//!
//! The first two bytes choose who may authenticate and how the input is cut; the rest is what the client sends behind EHLO.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::auth::{Auth, Credential, Mechanism, read_password_file};
use smtpmock::smtp::rules::Environment;
use smtpmock::smtp::{AuthOutcome, Esmtp, Expect, Filing, LineScanner, Next, Policy, Record, Session};

/// A password that no input has, as it is compared with what the client sends alone.
const UNKNOWN: &str = "\u{1}\u{2}no input has this\u{3}";

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    output: Vec<u8>,
    log: Vec<u8>,
    records: Vec<Record>,
    has_succeeded: bool,
}

fuzz_target!(|data: &[u8]| {
    let [choice, cut, input @ ..] = data else { return };
    let policy = policy(*choice);
    let whole = talk(&policy, input, input.len().max(1));
    let pieces = talk(&policy, input, usize::from(*cut) + 1);
    assert_eq!(whole, pieces, "cut into pieces of {}", usize::from(*cut) + 1);
    // Nobody whose password an input may have, and no mechanism without proof.
    let is_closed = choice & 0b1111 == 0;
    assert!(!is_closed || !whole.has_succeeded, "nobody knows the password");
});

fn policy(choice: u8) -> Policy {
    let mut auth = Auth::default();
    auth.add(Credential::user("ann", UNKNOWN));
    auth.add(Credential::token(format!("{UNKNOWN}token")));
    let hashed = "bob:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    if choice & 1 != 0 {
        // Of "secret", with the least cost.
        read_password_file(hashed).expect("valid").into_iter().for_each(|user| auth.add(user));
    }
    if choice & 2 != 0 {
        auth.add(Credential::any());
    }
    if choice & 4 != 0 {
        auth.add(Credential::user("carol", "secret"));
    }
    if choice & 8 != 0 {
        auth.set_mechanisms(Mechanism::ALL.iter().copied());
    }
    auth.required = choice & 16 != 0;
    let mut policy = Policy::default();
    policy.set_esmtp((choice & 32 == 0).then(|| Esmtp { auth, ..Esmtp::default() }));
    policy.fail_fast = choice & 64 != 0;
    policy
}

/// Feeds the input in pieces of `size`, as a connection does.
fn talk(policy: &Policy, input: &[u8], size: usize) -> Outcome {
    let (mut session, mut outcome) = (Session::new(), Outcome::default());
    let mut waiting = b"EHLO client.example\r\n".to_vec();
    let (mut expects, mut is_over) = (Expect::Command, false);
    for piece in input.chunks(size) {
        waiting.extend_from_slice(piece);
        while !waiting.is_empty() && !is_over {
            let environment = &mut Environment::alone();
            let mut progress = session.advance(policy, environment, &waiting);
            let used: Vec<u8> = waiting.drain(..progress.consumed).collect();
            if let Some(line) = progress.line {
                let shown = line.within(&used);
                let is_response = expects == Expect::Response;
                assert!(!is_response || [&b"<redacted>"[..], b"*"].contains(&&*shown), "{shown:?}");
                outcome.log.extend_from_slice(&shown);
            }
            if let Some(check) = progress.check {
                let nothing = session.advance(policy, environment, &waiting);
                assert!(nothing.consumed == 0 && nothing.step.is_none() && nothing.check.is_none());
                progress = session.resume(policy, environment, check.run());
            }
            expects = progress.expects;
            let Some(step) = progress.step else { break };
            outcome.output.extend(step.wire());
            if let Some(auth) = &step.auth {
                outcome.has_succeeded |= auth.outcome == AuthOutcome::Succeeded;
            }
            if let Filing::Finished(record) = step.filing {
                outcome.records.push(*record);
            }
            is_over = step.next != Next::Continue;
        }
        assert!(is_over || waiting.len() <= LineScanner::AUTH_LIMIT, "more waits than one line");
    }
    outcome.records.extend(session.finish(policy).map(|last| last.record));
    outcome
}
