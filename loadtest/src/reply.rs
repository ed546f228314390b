//! An incremental parser of SMTP replies (RFC 5321 section 4.2).
//!
//! Pure: bytes in, reply lines out. It shares nothing with any server's code, so a
//! mistake there cannot hide behind the same mistake here. It reads what servers really
//! send: a bare LF ends a line too, and the text after the code may be any bytes.

use std::fmt;

/// The longest reply line taken, in bytes with its line end. RFC 5321 section 4.5.3.1.5
/// says 512; servers that put long explanations into a line are given four times that.
pub const LINE_LIMIT: usize = 2048;

/// The most lines one reply may have. An EHLO reply has about twenty at most.
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

/// Why bytes are not a reply. The session cannot go on after any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line did not end within [`LINE_LIMIT`] bytes.
    LineTooLong,
    /// A reply had more than [`LINES_LIMIT`] lines.
    TooManyLines,
    /// A line does not start with a code between 200 and 599 and a space, hyphen or end.
    BadCode,
    /// The lines of one reply carry different codes.
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

/// Parser state between reads of one connection. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// The beginning of a line whose end has not arrived; at most [`LINE_LIMIT`] bytes.
    partial: Vec<u8>,
    /// The code of the lines before, when inside a multi-line reply.
    open: Option<u16>,
    /// Lines seen of the reply that is open.
    lines: usize,
}

impl ReplyParser {
    /// A parser that expects the first byte of a reply.
    pub fn new() -> ReplyParser {
        ReplyParser::default()
    }

    /// Forgets everything, for a new connection; keeps the buffer's memory.
    pub fn reset(&mut self) {
        self.partial.clear();
        self.open = None;
        self.lines = 0;
    }

    /// Whether the parser stands between two replies.
    pub fn is_between_replies(&self) -> bool {
        self.partial.is_empty() && self.open.is_none()
    }

    /// Hands every complete line of `input` to `take`, in order, and keeps the rest for
    /// the next call. `take` says whether to go on; when it does not, the rest is dropped.
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
        Ok(())
    }

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
fn parse_line(raw: &[u8]) -> Result<Line<'_>, ReplyError> {
    let line = raw.strip_suffix(b"\n").unwrap_or(raw);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let [
        first @ b'2'..=b'5',
        second @ b'0'..=b'9',
        third @ b'0'..=b'9',
        rest @ ..,
    ] = line
    else {
        return Err(ReplyError::BadCode);
    };
    let code =
        u16::from(first - b'0') * 100 + u16::from(second - b'0') * 10 + u16::from(third - b'0');
    let (last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return Err(ReplyError::BadCode),
    };
    Ok(Line { code, last, text })
}
