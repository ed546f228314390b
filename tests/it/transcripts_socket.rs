//! The transcripts over real sockets, against a server in this process and against the program.

use std::sync::Mutex;

use serde_json::Value;
use smtpmock::Server;

use crate::support::expectations::{self, Basis};
use crate::support::files::TemporaryFile;
use crate::support::program::Program;
use crate::support::transcript::Case;
use crate::support::{dialogue, records};

/// Dialogues performed at a time: most of the time of the slow ones is spent waiting.
const WORKERS: usize = 24;
/// How often a dialogue is performed whose pauses this machine could not keep.
const ATTEMPTS: usize = 5;

#[test]
fn every_recorded_dialogue_is_accounted_for_over_sockets() {
    let results = perform_all(|case| {
        let capture = TemporaryFile::absent();
        let config = case.server_config().capture(capture.path());
        let server = Server::start(config).expect("a server on a free port");
        dialogue::perform(case, server.local_addr())?;
        server.stop();
        let records: Vec<Value> =
            server.messages().iter().map(|message| records::to_json(message.record())).collect();
        let captured: Vec<Value> = capture.content().lines().map(records::from_capture).collect();
        assert_eq!(captured, records, "{}: the capture differs from the messages", case.name);
        Ok(records)
    });
    expectations::account("server in this process", &results);
}

#[test]
fn every_recorded_dialogue_is_accounted_for_by_the_program() {
    let results = perform_all(|case| {
        let capture = TemporaryFile::absent();
        let mut arguments = case.arguments();
        arguments.extend(["--capture".to_owned(), capture.text().to_owned()]);
        let program = Program::start(arguments);
        dialogue::perform(case, program.address())?;
        let ended = program.stop();
        assert!(ended.status.success(), "{}: {ended:?}", case.name);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "{}", case.name);
        Ok(capture.content().lines().map(records::from_capture).collect())
    });
    expectations::account("program", &results);
}

type Results = Vec<(Basis, String, Result<(), String>)>;

/// Performs every case, the slowest first, and compares the records that `perform` gives.
fn perform_all(perform: impl Fn(&Case) -> Result<Vec<Value>, dialogue::Failure> + Sync) -> Results {
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
                println!("{}: this machine was too busy, once more: {}", case.name, failure.what);
            }
            Err(failure) => return Err(failure.what),
        }
    };
    match records::differences(&case.messages, &records) {
        differences if differences.is_empty() => Ok(()),
        differences => Err(differences),
    }
}
