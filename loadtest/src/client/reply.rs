//! An incremental parser of SMTP replies (RFC 5321 section 4.2).
//!
//! Pure: bytes in, reply lines out. It shares no code with a server, so that a mistake in one is not hidden by the
//! same mistake in the other. It accepts what servers really send: a bare LF ends a line, and the text after the code
//! may be any bytes.

use std::fmt;

/// The longest reply line accepted, in bytes with its line end. RFC 5321 section 4.5.3.1.5 allows 512; four times
/// that is accepted from servers with long explanations.
pub const LINE_LIMIT: usize = 2048;

/// The most lines of one reply. An EHLO reply has about twenty at most.
pub const LINES_LIMIT: usize = 128;

/// One line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The three-digit code, 200 to 599.
    pub code: u16,
    /// Whether this is the reply's last line (`250 text`, not `250-text`).
    pub last: bool,
    /// The text after the code and its separator, without the line end.
    pub text: &'a [u8],
}

/// Why bytes are not a reply. None of these errors is recoverable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line did not end within [`LINE_LIMIT`] bytes.
    LineTooLong,
    /// A reply had more than [`LINES_LIMIT`] lines.
    TooManyLines,
    /// A line does not start with a code between 200 and 599 and a space, hyphen or end.
    BadCode,
    /// The lines of one reply have different codes.
    CodeChanged,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::LineTooLong => write!(f, "a reply line is longer than {LINE_LIMIT} bytes"),
            ReplyError::TooManyLines => write!(f, "a reply has more than {LINES_LIMIT} lines"),
            ReplyError::BadCode => f.write_str("a reply line does not start with a code 200..599"),
            ReplyError::CodeChanged => f.write_str("the lines of one reply carry different codes"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// Parser state between the reads of one connection. Allocates only for lines that arrive in parts.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// The beginning of a line whose end has not arrived; shorter than [`LINE_LIMIT`].
    partial: Vec<u8>,
    /// The code of the previous lines, inside a multi-line reply.
    open: Option<u16>,
    /// Lines of the reply that is open; zero between replies.
    lines: usize,
}

impl ReplyParser {
    /// A parser at the beginning of a reply.
    pub fn new() -> ReplyParser {
        ReplyParser::default()
    }

    /// Resets the state for a new connection, and retains the buffer.
    pub fn reset(&mut self) {
        self.partial.clear();
        self.open = None;
        self.lines = 0;
    }

    /// Whether the parser is between two replies.
    pub fn is_between_replies(&self) -> bool {
        self.partial.is_empty() && self.open.is_none()
    }

    /// Passes every complete line of `input` to `take`, in order, and retains the rest for the next call. When `take`
    /// returns `false`, the rest is dropped.
    pub fn feed<E: From<ReplyError>>(
        &mut self,
        mut input: &[u8],
        mut take: impl FnMut(Line<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let (raw, rest) = input.split_at(end + 1);
            input = rest;
            let go_on = if self.partial.is_empty() {
                take(self.line(raw)?)?
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(raw);
                let line = self.line(&whole)?;
                let go_on = take(line)?;
                whole.clear();
                self.partial = whole;
                go_on
            };
            if !go_on {
                return Ok(());
            }
        }
        if self.partial.len() + input.len() >= LINE_LIMIT {
            return Err(ReplyError::LineTooLong.into());
        }
        self.partial.extend_from_slice(input);
        self.check();
        Ok(())
    }

    /// Checks the invariants between two calls.
    fn check(&self) {
        debug_assert!(self.partial.len() < LINE_LIMIT && !self.partial.contains(&b'\n'));
        debug_assert_eq!(self.open.is_some(), self.lines > 0);
        debug_assert!(self.lines <= LINES_LIMIT);
    }

    #[inline]
    fn line<'a>(&mut self, raw: &'a [u8]) -> Result<Line<'a>, ReplyError> {
        if raw.len() > LINE_LIMIT {
            return Err(ReplyError::LineTooLong);
        }
        let line = parse_line(raw)?;
        if self.open.is_some_and(|code| code != line.code) {
            return Err(ReplyError::CodeChanged);
        }
        self.lines += 1;
        if self.lines > LINES_LIMIT {
            return Err(ReplyError::TooManyLines);
        }
        if line.last {
            self.open = None;
            self.lines = 0;
        } else {
            self.open = Some(line.code);
        }
        Ok(line)
    }
}

/// Reads one line that ends with LF.
#[inline]
fn parse_line(raw: &[u8]) -> Result<Line<'_>, ReplyError> {
    let ([line @ .., b'\r', b'\n'] | [line @ .., b'\n'] | line) = raw;
    let [first @ b'2'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9', rest @ ..] = line else {
        return Err(ReplyError::BadCode);
    };
    let code = u16::from(first - b'0') * 100 + u16::from(second - b'0') * 10 + u16::from(third - b'0');
    let (last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return Err(ReplyError::BadCode),
    };
    Ok(Line { code, last, text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reply line, owned, for comparing.
    type Owned = (u16, bool, Vec<u8>);

    /// Feeds the pieces one after the other and collects the lines.
    fn parse(pieces: &[&[u8]]) -> Result<Vec<Owned>, ReplyError> {
        let mut parser = ReplyParser::new();
        let mut lines = Vec::new();
        for piece in pieces {
            parser.feed(piece, |line| -> Result<bool, ReplyError> {
                lines.push((line.code, line.last, line.text.to_vec()));
                Ok(true)
            })?;
        }
        Ok(lines)
    }

    /// The naive parser: all bytes at once, as text, without a bound of memory.
    fn oracle(bytes: &[u8]) -> Result<Vec<Owned>, ReplyError> {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let mut lines: Vec<&str> = text.split('\n').collect();
        let rest = lines.pop().unwrap_or_default();
        let mut found: Vec<Owned> = Vec::new();
        let (mut open, mut length) = (None, 0);
        for line in lines {
            if line.chars().count() + 1 > LINE_LIMIT {
                return Err(ReplyError::LineTooLong);
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            let digits: String = line.chars().take(3).collect();
            let code = match digits.parse::<u16>() {
                Ok(code) if digits.len() == 3 && digits.chars().all(|c| c.is_ascii_digit()) => code,
                _ => return Err(ReplyError::BadCode),
            };
            let separator = line.chars().nth(3);
            if !(200..600).contains(&code) || !matches!(separator, None | Some(' ' | '-')) {
                return Err(ReplyError::BadCode);
            }
            if open.is_some_and(|open| open != code) {
                return Err(ReplyError::CodeChanged);
            }
            length += 1;
            if length > LINES_LIMIT {
                return Err(ReplyError::TooManyLines);
            }
            let last = separator != Some('-');
            (open, length) = if last { (None, 0) } else { (Some(code), length) };
            let text = line.chars().skip(4).map(|c| c as u8).collect();
            found.push((code, last, text));
        }
        if rest.chars().count() >= LINE_LIMIT {
            return Err(ReplyError::LineTooLong);
        }
        Ok(found)
    }

    /// Bytes that are often enough a valid first line.
    fn replies() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            8 => "(250|220|550)[ -][a-zA-Z .]{0,20}(\r\n|\n)",
            1 => "[2-6][0-9]{0,3}[ -]?[a-z\u{e9}]{0,5}(\r\n|\n)?",
            1 => "[\r\n -]{0,4}",
            1 => Just(format!("250-{}\r\n", "x".repeat(LINE_LIMIT - 7))),
            1 => Just(format!("250-{}\r\n", "x".repeat(LINE_LIMIT - 5))),
            1 => Just("250-x\r\n".repeat(LINES_LIMIT - 1)),
        ];
        prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_cut_gives_what_the_naive_parser_gives(
            bytes in prop_oneof![replies(), prop::collection::vec(any::<u8>(), 0..200)],
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.push(0);
            at.push(bytes.len());
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), oracle(&bytes));
        }

        #[test]
        fn memory_is_bounded_whatever_comes(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
            let mut parser = ReplyParser::new();
            for piece in bytes.chunks(700) {
                let fed = parser.feed(piece, |_| Ok::<bool, ReplyError>(true));
                prop_assert!(parser.partial.len() <= LINE_LIMIT);
                if fed.is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn what_is_handed_over_stops_when_the_taker_says_so() {
        let mut parser = ReplyParser::new();
        let mut seen = 0;
        let fed: Result<(), ReplyError> = parser.feed(b"221 bye\r\n250 late\r\n", |_| {
            seen += 1;
            Ok(false)
        });
        assert_eq!((fed, seen), (Ok(()), 1));
        assert!(parser.is_between_replies());
    }
}
