//! The transcripts against the pure session: the same bytes give the same replies, closing and records.

use std::collections::BTreeMap;

use serde_json::Value;
use smtpmock::smtp::Record;

use crate::support::peer::Peer;
use crate::support::records;
use crate::support::transcript::{self, Case, ClientEnd, Step};

/// Recorded dialogues.
const RECORDED: usize = 531;

/// Sessions that sent nothing: readiness probes are no mail, so no record is kept of them. go-smtp-mock
/// keeps an empty one.
const SENT_NOTHING: &[&str] =
    &["abort-after-connect-immediately", "half-close-after-connect", "timeout-negative"];

#[test]
fn every_recorded_dialogue_is_accounted_for() {
    let mended: BTreeMap<String, Case> =
        transcript::mended().into_iter().map(|case| (case.name.clone(), case)).collect();
    let (mut exact, mut excepted, mut mended_cases, mut failures) = (0, 0, 0, Vec::new());
    for case in transcript::recorded() {
        let expected = expectation(&case, &mended);
        match check(&expected) {
            Err(failure) => failures.push(format!("{}: {failure}", case.name)),
            Ok(()) if case.defect.is_some() => mended_cases += 1,
            Ok(()) if SENT_NOTHING.contains(&case.name.as_str()) => excepted += 1,
            Ok(()) => exact += 1,
        }
    }
    println!("transcripts, pure session: {exact} exact, {mended_cases} mended, {excepted} excepted");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(excepted, SENT_NOTHING.len());
    assert_eq!(mended_cases, mended.len(), "a mended dialogue that mends nothing");
    assert_eq!(exact + mended_cases + excepted, RECORDED);
}

/// What is right for a recorded case: itself, or its mended dialogue.
fn expectation(case: &Case, mended: &BTreeMap<String, Case>) -> Case {
    if case.defect.is_some() {
        let mended = mended.get(&case.name).unwrap_or_else(|| panic!("{} is not mended", case.name));
        assert_eq!((&mended.defect, &mended.config), (&case.defect, &case.config), "{}", case.name);
        return mended.clone();
    }
    let mut case = case.clone();
    if SENT_NOTHING.contains(&case.name.as_str()) {
        assert!(case.steps.iter().all(|step| step.send.is_empty()), "{} sends something", case.name);
        case.messages.clear();
    }
    case
}

fn check(case: &Case) -> Result<(), String> {
    let policy = case.policy();
    let mut peers: BTreeMap<usize, Peer<'_>> = BTreeMap::new();
    let mut records = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let peer = peers.entry(step.connection).or_insert_with(|| Peer::connect(&policy));
        perform(case, step, peer, &mut records);
        compare(case, step, peer).map_err(|failure| format!("step {number}: {failure}"))?;
    }
    for peer in peers.values_mut() {
        if !peer.output.is_empty() {
            return Err(format!("replies left over: {:?}", String::from_utf8_lossy(&peer.output)));
        }
        peer.close(&mut records);
    }
    let actual: Vec<Value> = records.iter().map(records::to_json).collect();
    match records::differences(&case.messages, &actual) {
        differences if differences.is_empty() => Ok(()),
        differences => Err(differences),
    }
}

fn perform(case: &Case, step: &Step, peer: &mut Peer<'_>, records: &mut Vec<Record>) {
    for piece in step.send.chunks(step.split.unwrap_or(usize::MAX)) {
        peer.receive(piece, records);
    }
    if step.end != ClientEnd::StaysOpen {
        peer.close(records);
    }
    // Time is not the session's business: the timeout strikes where the dialogue says that it closes.
    if step.server_closed
        && !peer.closed
        && let Some(timeout) = case.session_timeout()
    {
        peer.time_out(!timeout.is_zero(), records);
    }
}

fn compare(case: &Case, step: &Step, peer: &mut Peer<'_>) -> Result<(), String> {
    let expected = step.expected();
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if step.end == ClientEnd::ClosesUnread {
        peer.output.clear();
        return Ok(());
    }
    // A client that stops listening before a delayed reply hears it in a later step.
    let stops_early = step.wait.is_some() && case.steps.iter().any(|step| !step.delay.is_zero());
    let heard =
        if stops_early { peer.output.get(..expected.len()).unwrap_or(&peer.output) } else { &peer.output };
    if heard != expected {
        return Err(format!("expected {:?}, got {:?}", show(&expected), show(heard)));
    }
    peer.output.drain(..expected.len());
    if peer.closed != step.server_closed && !stops_early {
        return Err(format!("expected closed: {}, got {}", step.server_closed, peer.closed));
    }
    Ok(())
}
