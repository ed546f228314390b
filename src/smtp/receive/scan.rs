//! Finds the end of a command line and of message data. Both scanners resume where they stopped, so that bytes that
//! arrive one by one cost no more than bytes that arrive together.

mod crlf_dot;

use std::ops::ControlFlow;

use memchr::memchr;

use self::crlf_dot::each_crlf_dot;

/// The result of [`LineScanner::scan`] at the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineScan {
    /// A line of this many octets, its LF included.
    Line(usize),
    /// A line over the limit ends here: drop this many octets, including the LF.
    TooLong(usize),
    /// No end yet: drop this many octets (0 unless the line is already over the limit). The rest must be the start of
    /// the next input.
    Incomplete(usize),
}

/// Finds the end of command lines. A bare LF ends a line too, as in go-smtp-mock.
///
/// ```
/// use smtpmock::smtp::{LineScan, LineScanner};
///
/// assert!(matches!(LineScanner::default().scan(b"NOOP\r\nQUIT\r\n"), LineScan::Line(6)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LineScanner {
    state: LineState,
}

#[derive(Clone, Copy, Debug)]
enum LineState {
    /// This many octets at the start of the input contain no LF.
    Searching(usize),
    /// The line is over the limit: everything up to its LF is dropped.
    Skipping,
}

impl Default for LineState {
    fn default() -> Self {
        Self::Searching(0)
    }
}

impl LineScanner {
    /// Longest command line in octets, including CRLF. At least 512 by RFC 5321 section 4.5.3.1.4; extensions add to
    /// it.
    pub const LIMIT: usize = 4096;

    /// Longest line of an authentication exchange (RFC 4954 section 4), including AUTH with an initial response, if
    /// AUTH is offered.
    pub const AUTH_LIMIT: usize = 12_288;

    /// Searches for the end of the first line in `input`.
    pub fn scan(&mut self, input: &[u8]) -> LineScan {
        self.scan_within(Self::LIMIT, input)
    }

    /// As [`scan`](Self::scan), with another limit.
    #[inline]
    pub(in crate::smtp) fn scan_within(&mut self, limit: usize, input: &[u8]) -> LineScan {
        match self.state {
            LineState::Searching(known) => self.search(limit, input, known.min(input.len())),
            LineState::Skipping => self.skip(input),
        }
    }

    /// The last input ended within a line.
    pub fn is_mid_line(&self) -> bool {
        !matches!(self.state, LineState::Searching(0))
    }

    /// The present line is over the limit: its start was dropped.
    pub(in crate::smtp) fn is_skipping(&self) -> bool {
        matches!(self.state, LineState::Skipping)
    }

    fn search(&mut self, limit: usize, input: &[u8], known: usize) -> LineScan {
        // One octet beyond the limit suffices to find that a line is too long.
        let reach = input.len().min(limit + 1);
        match memchr(b'\n', &input[known.min(reach)..reach]) {
            Some(at) if known + at < limit => {
                self.state = LineState::Searching(0);
                LineScan::Line(known + at + 1)
            }
            None if reach <= limit => {
                self.state = LineState::Searching(reach);
                LineScan::Incomplete(0)
            }
            _ => self.skip(input),
        }
    }

    fn skip(&mut self, input: &[u8]) -> LineScan {
        if let Some(at) = memchr(b'\n', input) {
            self.state = LineState::Searching(0);
            return LineScan::TooLong(at + 1);
        }
        self.state = LineState::Skipping;
        LineScan::Incomplete(input.len())
    }
}

/// The result of [`DataScanner::scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataScan {
    /// Octets consumed from the start: all of them unless the data ended.
    pub consumed: usize,
    /// The final `CRLF.CRLF` was consumed.
    pub ended: bool,
}

/// Splits message data into its content, with the stuffed dots removed, and its end (RFC 5321 sections 4.1.1.4 and
/// 4.5.2).
///
/// Only CRLF is a line end. A bare CR or LF is content, so only `CRLF.CRLF` ends the data and only a dot right after
/// CRLF is removed. SMTP smuggling relies on servers that disagree about the end of a message.
///
/// ```
/// use smtpmock::smtp::DataScanner;
///
/// let mut text = Vec::new();
/// let scan = DataScanner::default().scan(b"..dots\r\n.\r\nQUIT\r\n", |run| text.extend_from_slice(run));
/// assert!(scan.ended);
/// assert_eq!((text.as_slice(), scan.consumed), (&b".dots\r\n"[..], 11));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DataScanner {
    seen: Seen,
}

/// How much of `CRLF.CRLF` the preceding octets end with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    Nothing,
    Cr,
    /// The initial state: the CRLF of the DATA line counts.
    #[default]
    CrLf,
    /// The dot itself is never content.
    CrLfDot,
    /// The CR is pending: it is content unless LF follows.
    CrLfDotCr,
}

impl DataScanner {
    /// Scans `input` up to the end of the data, passing the content to `emit` in runs as long as possible.
    pub fn scan(&mut self, input: &[u8], mut emit: impl FnMut(&[u8])) -> DataScan {
        let mut start = match self.resume(input, &mut emit) {
            ControlFlow::Continue(start) => start,
            ControlFlow::Break(scan) => return scan,
        };
        let scan = each_crlf_dot(input, start, |found| {
            emit(&input[start..found + 2]);
            start = self.after_dot(input, found + 3)?;
            ControlFlow::Continue(())
        });
        if let ControlFlow::Break(scan) = scan {
            return scan;
        }
        let rest = &input[start..];
        self.seen = match (rest, self.seen) {
            ([.., b'\r', b'\n'], _) | ([b'\n'], Seen::Cr) => Seen::CrLf,
            ([.., b'\r'], _) => Seen::Cr,
            _ => Seen::Nothing,
        };
        emit(rest);
        DataScan { consumed: input.len(), ended: false }
    }

    /// Completes a partial match from earlier input. Breaks if that consumes all input or ends the data; otherwise
    /// returns the index of the rest, which is not empty and needs no look back beyond `Seen::Cr`.
    fn resume(&mut self, input: &[u8], emit: &mut impl FnMut(&[u8])) -> ControlFlow<DataScan, usize> {
        match (self.seen, input) {
            (_, []) => ControlFlow::Break(DataScan { consumed: 0, ended: false }),
            (Seen::Cr, [b'\n', b'.', ..]) => {
                emit(b"\n");
                self.after_dot(input, 2)
            }
            (Seen::CrLf, [b'.', ..]) => self.after_dot(input, 1),
            (Seen::CrLfDot, _) => self.after_dot(input, 0),
            (Seen::CrLfDotCr, [b'\n', ..]) => self.end(1),
            (Seen::CrLfDotCr, _) => {
                emit(b"\r");
                ControlFlow::Continue(0)
            }
            _ => ControlFlow::Continue(0),
        }
    }

    /// Continues after a dot that starts a line: with the end of the data, or with content from the returned index.
    fn after_dot(&mut self, input: &[u8], at: usize) -> ControlFlow<DataScan, usize> {
        let pending = match &input[at..] {
            [b'\r', b'\n', ..] => return self.end(at + 2),
            [b'\r'] => Seen::CrLfDotCr,
            [] => Seen::CrLfDot,
            _ => {
                self.seen = Seen::Nothing;
                return ControlFlow::Continue(at);
            }
        };
        self.seen = pending;
        ControlFlow::Break(DataScan { consumed: input.len(), ended: false })
    }

    fn end(&mut self, consumed: usize) -> ControlFlow<DataScan, usize> {
        *self = Self::default();
        ControlFlow::Break(DataScan { consumed, ended: true })
    }
}
