//! Performs all transcripts with a given server.

use std::sync::Mutex;

use serde_json::Value;

use super::expectations::{self, Basis};
use super::transcript::Case;
use super::{dialogue, records};

/// Number of concurrent dialogues: the slow ones spend most of their time waiting.
const WORKERS: usize = 24;
/// How often a dialogue is repeated if this machine could not keep to its pauses.
const ATTEMPTS: usize = 5;

pub(crate) type Results = Vec<(Basis, String, Result<(), String>)>;

/// Performs every case, the slowest first, and compares the records that `perform` returns.
pub(crate) fn of_all(perform: impl Fn(&Case) -> Result<Vec<Value>, dialogue::Failure> + Sync) -> Results {
    let mut cases = expectations::all();
    cases.sort_by_key(|(_, case)| case.slowness());
    let (cases, results) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let work = || {
        while let Some((basis, case)) = { cases.lock().unwrap().pop() } {
            let result = attempt(&case, &perform);
            results.lock().unwrap().push((basis, case.name, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap()
}

fn attempt(
    case: &Case,
    perform: impl Fn(&Case) -> Result<Vec<Value>, dialogue::Failure>,
) -> Result<(), String> {
    let mut attempts = 0;
    let records = loop {
        attempts += 1;
        match perform(case) {
            Ok(records) => break records,
            Err(failure) if failure.is_void && attempts < ATTEMPTS => {
                println!("{}: this machine was too busy, repeating: {}", case.name, failure.what);
            }
            Err(failure) => return Err(failure.what),
        }
    };
    match records::differences(&case.messages, &records) {
        differences if differences.is_empty() => Ok(()),
        differences => Err(differences),
    }
}
