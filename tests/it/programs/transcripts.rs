//! The transcripts against the program: Go-style flags, real sockets, records from its capture.

use tempfile::NamedTempFile;

use crate::support::{dialogue, expectations, performance, program, records};

#[test]
fn every_recorded_dialogue_is_accounted_for_by_the_program() {
    let results = performance::of_all(|case| {
        let capture = NamedTempFile::new().expect("a file");
        let mut arguments = case.arguments();
        arguments.push(format!("--capture={}", capture.path().display()));
        // Every client has closed its side: delayed replies are awaited.
        arguments.push("--shutdown-timeout=60s".to_owned());
        let program = program::start(arguments);
        dialogue::perform(case, program.address())?;
        let ended = program.stopped();
        assert!(ended.status.success(), "{}: {ended:?}", case.name);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "{}", case.name);
        Ok(records::captured(capture.path()))
    });
    expectations::account("program", &results);
}
