//! The transcripts against the program: Go-style flags, real sockets, records from its capture.

use crate::support::files::TemporaryFile;
use crate::support::{dialogue, expectations, performance, program, records};

#[test]
fn every_recorded_dialogue_is_accounted_for_by_the_program() {
    let results = performance::of_all(|case| {
        let capture = TemporaryFile::absent();
        let mut arguments = case.arguments();
        arguments.extend(["--capture".to_owned(), capture.text().to_owned()]);
        let program = program::start(arguments);
        dialogue::perform(case, program.address())?;
        let ended = program.stopped();
        assert!(ended.status.success(), "{}: {ended:?}", case.name);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "{}", case.name);
        Ok(capture.content().lines().map(records::from_capture).collect())
    });
    expectations::account("program", &results);
}
