//! The transcripts over real sockets, against a server in this process.

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::support::server::start;
use crate::support::waiting::PATIENCE;
use crate::support::{dialogue, expectations, performance, records};

#[test]
fn every_recorded_dialogue_is_accounted_for_over_sockets() {
    let results = performance::of_all(|case| {
        let capture = NamedTempFile::new().expect("a file");
        // Every client has closed its side: delayed replies are awaited.
        let config = case.server_config().capture(capture.path()).shutdown_timeout(PATIENCE);
        let server = start(config);
        dialogue::perform(case, server.local_addr())?;
        server.stop();
        let records: Vec<Value> =
            server.messages().iter().map(|message| records::to_json(message.record())).collect();
        assert_eq!(
            records::captured(capture.path()),
            records,
            "{}: the capture differs from the messages",
            case.name
        );
        Ok(records)
    });
    expectations::account("server in this process", &results);
}
