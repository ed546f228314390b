//! The transcripts over real sockets, against a server in this process.

use serde_json::Value;

use crate::support::files::TemporaryFile;
use crate::support::server::start;
use crate::support::{dialogue, expectations, performance, records};

#[test]
fn every_recorded_dialogue_is_accounted_for_over_sockets() {
    let results = performance::of_all(|case| {
        let capture = TemporaryFile::absent();
        let config = case.server_config().capture(capture.path());
        let server = start(config);
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
