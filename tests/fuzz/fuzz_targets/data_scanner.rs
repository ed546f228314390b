//! The scanner of message data against one that looks at each octet, however the data are cut.
//!
//! The first byte chooses how the data are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::DataScanner;

fuzz_target!(|data: &[u8]| {
    let [cut, data @ ..] = data else { return };
    let expected = naive(data);
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

/// Line by line, where only CRLF ends a line (RFC 5321 section 4.5.2).
fn naive(data: &[u8]) -> Found {
    let mut content = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let rest = &data[at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n").map(|position| position + 2);
        let line = &rest[..end.unwrap_or(rest.len())];
        if line == b".\r\n" {
            return (content, Some(at + 3));
        }
        content.extend_from_slice(match line {
            // It may still turn out to be the end: nothing is told of it yet.
            b".\r" => b"",
            [b'.', unstuffed @ ..] => unstuffed,
            line => line,
        });
        at += line.len();
    }
    (content, None)
}
