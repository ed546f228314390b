//! The transcripts against the pure session: the same bytes give the same replies, closing and records.

use std::collections::BTreeMap;

use serde_json::Value;
use smtpmock::smtp::Record;

use crate::support::expectations;
use crate::support::peer::Peer;
use crate::support::records;
use crate::support::transcript::{Case, ClientEnd, Step};

#[test]
fn every_recorded_dialogue_is_accounted_for() {
    let cases = expectations::all();
    let results: Vec<_> =
        cases.iter().map(|(basis, case)| (*basis, case.name.clone(), check(case))).collect();
    expectations::account("pure session", &results);
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
            return Err(format!("unexpected further replies: {:?}", String::from_utf8_lossy(&peer.output)));
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
    // The pure session has no time: the timeout is applied where the dialogue closes.
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
    // A client that stops waiting before a delayed reply receives it in a later step.
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
