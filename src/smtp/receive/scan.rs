//! Finds the end of a command line and of message data. Both scanners resume where they stopped, so that bytes that arrive
//! one by one cost no more than bytes that arrive together.

mod crlf_dot;

use std::ops::ControlFlow;

use memchr::memchr;

use self::crlf_dot::each_crlf_dot;

/// What [`LineScanner::scan`] found at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineScan {
    /// A line of this many octets, its LF included.
    Line(usize),
    /// A line over the limit ends here; this many octets, its LF included, are to be dropped.
    TooLong(usize),
    /// No end yet; this many octets are to be dropped (0 unless the line is over the limit already). The
    /// octets that are not dropped must stand at the front of the next input.
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
    /// This many octets at the front of the input are known to hold no LF.
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
    /// Longest command line in octets, CRLF included. RFC 5321 section 4.5.3.1.4 asks for at least 512,
    /// and extensions add to it.
    pub const LIMIT: usize = 4096;

    /// The same of the lines of an authentication exchange (RFC 4954 section 4), AUTH with an initial response included,
    /// where AUTH is offered.
    pub const AUTH_LIMIT: usize = 12_288;

    /// Looks for the end of the first line in `input`.
    pub fn scan(&mut self, input: &[u8]) -> LineScan {
        self.scan_within(Self::LIMIT, input)
    }

    /// The same with another limit.
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

    /// The front of the present line was dropped: it is over the limit.
    pub(in crate::smtp) fn is_skipping(&self) -> bool {
        matches!(self.state, LineState::Skipping)
    }

    fn search(&mut self, limit: usize, input: &[u8], known: usize) -> LineScan {
        // One octet beyond the limit is enough to tell that a line is too long.
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

/// What [`DataScanner::scan`] did with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataScan {
    /// Octets used up, from the front. All of them unless the data ended.
    pub consumed: usize,
    /// The final `CRLF.CRLF` was among them.
    pub ended: bool,
}

/// Splits message data into its content, with the stuffed dots removed, and its end (RFC 5321 sections 4.1.1.4 and 4.5.2).
///
/// Only CRLF is a line end. A bare CR or LF is content, so nothing but `CRLF.CRLF` ends the data and
/// nothing but a dot right after CRLF is removed: what one server takes for the end of a message, and
/// the next does not, is how messages are smuggled.
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

/// How much of `CRLF.CRLF` the octets up to now end with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    Nothing,
    Cr,
    /// The initial state: the CRLF of the DATA line counts.
    #[default]
    CrLf,
    /// The dot itself is never content.
    CrLfDot,
    /// The CR is held back: it is content unless LF follows.
    CrLfDotCr,
}

impl DataScanner {
    /// Scans `input` up to the end of the data, giving the content to `emit` in runs as long as possible.
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

    /// Completes what earlier input ended with. Breaks off where that takes all of the input, or ends the data; the
    /// rest, from the index that is given otherwise, is not empty and needs no look back beyond `Seen::Cr`.
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

    /// Looks behind a dot that starts a line: the end of the data, or content from the index that is given.
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
