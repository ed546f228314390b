//! The scanner of message data against the plainest one there is, however the data are cut.
//!
//! The first byte chooses how the data are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::DataScanner;

#[allow(dead_code, reason = "shared with the tests, which look at command lines too")]
#[path = "../../support/oracle.rs"]
mod oracle;

fuzz_target!(|data: &[u8]| {
    let [cut, data @ ..] = data else { return };
    let oracle::Data { content, end } = oracle::data(data);
    let expected = (content, end);
    for size in [data.len().max(1), usize::from(*cut) + 1] {
        assert_eq!(scan(data, size), expected, "cut into pieces of {size}");
    }
});

/// Content, and how much was consumed if the data ended.
type Found = (Vec<u8>, Option<usize>);

fn scan(data: &[u8], size: usize) -> Found {
    let mut scanner = DataScanner::default();
    let mut content = Vec::new();
    let mut consumed = 0;
    for piece in data.chunks(size) {
        let scan = scanner.scan(piece, |run| content.extend_from_slice(run));
        consumed += scan.consumed;
        if scan.ended {
            return (content, Some(consumed));
        }
        assert_eq!(scan.consumed, piece.len(), "data that have not ended are consumed whole");
    }
    (content, None)
}
