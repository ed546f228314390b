//! Naive oracles: the rules in their simplest form, for whole inputs, regardless of speed.

/// Message data, split by RFC 5321 sections 4.1.1.4 and 4.5.2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) content: Vec<u8>,
    /// Octets up to and including the CRLF of the final dot; `None` if there is no final dot.
    pub(crate) end: Option<usize>,
}

/// Splits the input into lines, which only CRLF ends: a line of one dot ends the data, and from any other line that
/// starts with a dot that dot is removed. Of truncated input, the part that is certainly content is content.
pub(crate) fn data(input: &[u8]) -> Data {
    let mut content = Vec::new();
    let mut start = 0;
    while let Some(length) = find(&input[start..], b"\r\n") {
        let line = &input[start..start + length];
        start += length + 2;
        if line == b"." {
            return Data { content, end: Some(start) };
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(match &input[start..] {
        // It may still be the end of data: it is not content yet.
        b".\r" => b"",
        [b'.', unstuffed @ ..] => unstuffed,
        line => line,
    });
    Data { content, end: None }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// One command line, which ends at its LF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Including its LF.
    Whole(Vec<u8>),
    TooLong,
}

/// Splits at every LF; a line of more than `limit` octets, including LF, is too long.
pub(crate) fn lines(input: &[u8], limit: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.iter().position(|&octet| octet == b'\n') {
        let (line, after) = rest.split_at(at + 1);
        lines.push(if line.len() > limit { Line::TooLong } else { Line::Whole(line.to_vec()) });
        rest = after;
    }
    lines
}
