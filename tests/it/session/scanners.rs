//! The scanners against naive oracles, for input split in any way.

use proptest::prelude::*;
use smtpmock::smtp::{DataScanner, LineScan, LineScanner};

use crate::support::oracle::{self, Line};

/// Data composed of the pieces that matter near its end.
fn data_like() -> impl Strategy<Value = Vec<u8>> {
    // Some are longer than several vectors. Drawing numbers is much faster than choosing among strategies.
    let count = prop_oneof![3 => 0..24usize, 1 => 24..400usize];
    count
        .prop_flat_map(|count| proptest::collection::vec((0..17_u8, any::<u64>()), count))
        .prop_map(|pieces| pieces.into_iter().flat_map(|(kind, random)| piece(kind, random)).collect())
}

/// One of the pieces, frequent ones for several numbers; the last consists of up to eight octets of any value.
fn piece(kind: u8, random: u64) -> Vec<u8> {
    match kind {
        0..4 => b"\r\n".to_vec(),
        4..7 => b".".to_vec(),
        7..9 => b"\r".to_vec(),
        9..11 => b"\n".to_vec(),
        11..13 => b"\r\n.".to_vec(),
        13 => b"\r\n.\r\n".to_vec(),
        14 => b"\0".to_vec(),
        _ => {
            let octets = random.to_be_bytes();
            octets[usize::from(octets[7]) % 9..].to_vec()
        }
    }
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![3 => 1..9usize, 1 => 9..600usize], 1..12)
}

/// Splits `input` into pieces of these sizes, repeatedly.
fn pieces<'a>(input: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = input;
    sizes.iter().cycle().map_while(move |&size| {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The result of the tested scanner for `input` in pieces: the content, and where the end was.
fn scan_data(input: &[u8], sizes: &[usize]) -> (Vec<u8>, Option<usize>) {
    let (mut scanner, mut content, mut consumed) = (DataScanner::default(), Vec::new(), 0);
    for piece in pieces(input, sizes) {
        let scan = scanner.scan(piece, |run| {
            assert!(!run.is_empty(), "an empty run");
            content.extend_from_slice(run);
        });
        consumed += scan.consumed;
        if scan.ended {
            return (content, Some(consumed));
        }
        assert_eq!(scan.consumed, piece.len(), "data that goes on is consumed whole");
    }
    (content, None)
}

fn scan_lines(input: &[u8], sizes: &[usize]) -> Vec<Line> {
    let (mut scanner, mut buffer, mut lines) = (LineScanner::default(), Vec::new(), Vec::new());
    for piece in pieces(input, sizes) {
        buffer.extend_from_slice(piece);
        loop {
            let (consumed, line) = match scanner.scan(&buffer) {
                LineScan::Line(length) => (length, Some(Line::Whole(buffer[..length].to_vec()))),
                LineScan::TooLong(length) => (length, Some(Line::TooLong)),
                LineScan::Incomplete(length) => (length, None),
            };
            buffer.drain(..consumed);
            let is_incomplete = line.is_none();
            lines.extend(line);
            if is_incomplete {
                break;
            }
        }
        assert!(buffer.len() <= LineScanner::LIMIT, "an unfinished line is held beyond the limit");
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn data_is_split_by_the_rules_of_rfc_5321(input in data_like(), sizes in cuts()) {
        let expected = oracle::data(&input);
        prop_assert_eq!(scan_data(&input, &sizes), (expected.content, expected.end));
    }

    #[test]
    fn data_after_the_end_belongs_to_the_next_command(content in data_like(), rest in data_like()) {
        let stuffed = content.split_inclusive(|&octet| octet == b'\n').flat_map(|line| {
            [if line.starts_with(b".") { b".".as_slice() } else { b"" }, line].concat()
        });
        let mut input: Vec<u8> = stuffed.collect();
        input.extend_from_slice(b"\r\n.\r\n");
        let length = oracle::data(&input).end;
        input.extend_from_slice(&rest);
        prop_assert_eq!(scan_data(&input, &[usize::MAX]).1, length);
    }

    #[test]
    fn lines_end_at_lf_and_are_limited(input in data_like(), sizes in cuts()) {
        prop_assert_eq!(scan_lines(&input, &sizes), oracle::lines(&input, LineScanner::LIMIT));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_near_the_limit_are_distinguished(
        lengths in proptest::collection::vec(prop_oneof![0..3usize, 4090..4100usize, 8000..9000usize], 1..5),
        sizes in proptest::collection::vec(1..5000usize, 1..6),
    ) {
        let input: Vec<u8> = lengths.iter().flat_map(|&length| [vec![b'x'; length], b"\n".to_vec()].concat()).collect();
        prop_assert_eq!(scan_lines(&input, &sizes), oracle::lines(&input, LineScanner::LIMIT));
    }
}
