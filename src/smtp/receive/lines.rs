//! Inspects the lines of message text for faults that make other servers refuse it.

use memchr::{memchr, memrchr};

/// The faults found in the lines of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lines {
    /// A LF that follows no CR (RFC 5321 section 2.3.8).
    pub has_bare_lf: bool,
    /// A line of more than [`LIMIT`](Self::LIMIT) octets.
    pub has_long_line: bool,
    /// An octet beyond US-ASCII (RFC 6152).
    pub has_eight_bit: bool,
    /// A CR that no LF follows (RFC 5321 section 2.3.8). Only searched for in chunks.
    pub has_bare_cr: bool,
}

impl Lines {
    /// Longest line in octets, without its end (RFC 5322 section 2.1.1, RFC 5321 section 4.5.3.1.6).
    pub const LIMIT: usize = 998;
}

/// Inspects message text in runs of any size. A LF ends a line, with or without CR before it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::smtp) struct LineInspector {
    seen: Lines,
    /// Octets since the last LF; counted until a long line is found.
    length: u32,
    ends_with_cr: bool,
}

/// Each octet of a shorter run is inspected individually, since a search costs more. Runs are short if many lines begin
/// with a dot.
const SHORT: usize = 16;

impl LineInspector {
    /// Inspects the next run. Each fault is searched for until found.
    pub(in crate::smtp) fn inspect(&mut self, run: &[u8]) {
        self.seen.has_eight_bit = self.seen.has_eight_bit || !run.is_ascii();
        if run.len() < SHORT {
            return self.inspect_short(run);
        }
        if !self.seen.has_long_line {
            self.measure(run);
        }
        if !self.seen.has_bare_lf {
            let begins_with_it = run.first() == Some(&b'\n') && !self.ends_with_cr;
            self.seen.has_bare_lf = begins_with_it || has_lf_without_cr(run);
        }
        if let Some(last) = run.last() {
            self.ends_with_cr = *last == b'\r';
        }
    }

    #[inline]
    fn inspect_short(&mut self, run: &[u8]) {
        for octet in run {
            if *octet == b'\n' {
                self.seen.has_bare_lf |= !self.ends_with_cr;
                self.end_line(self.length, self.ends_with_cr);
                self.length = 0;
            } else {
                self.length = self.length.saturating_add(1);
            }
            self.ends_with_cr = *octet == b'\r';
        }
    }

    /// The faults found if the text ends here.
    pub(in crate::smtp) fn finish(mut self) -> Lines {
        self.end_line(self.length, self.ends_with_cr);
        self.seen
    }

    fn measure(&mut self, run: &[u8]) {
        let Some(end) = memchr(b'\n', run) else {
            self.length = self.length.saturating_add(octets(run));
            return;
        };
        let (line, behind) = run.split_at(end);
        let ends_with_cr = line.last().map_or(self.ends_with_cr, |last| *last == b'\r');
        self.end_line(self.length.saturating_add(octets(line)), ends_with_cr);
        match unfinished_line(&behind[1..]) {
            Some(line) => self.length = octets(line),
            None => self.seen.has_long_line = true,
        }
    }

    fn end_line(&mut self, length: u32, ends_with_cr: bool) {
        let length = length.saturating_sub(u32::from(ends_with_cr));
        self.seen.has_long_line |= length as usize > Lines::LIMIT;
    }
}

/// Searches text in runs of any size for a CR that no LF follows.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::smtp) struct BareCrFinder {
    is_found: bool,
    ends_with_cr: bool,
}

impl BareCrFinder {
    /// Searches the next run.
    pub(in crate::smtp) fn search(&mut self, run: &[u8]) {
        let [first, .., last] = run else {
            run.iter().for_each(|octet| self.step(*octet));
            return;
        };
        self.step(*first);
        self.is_found = self.is_found || has_cr_without_lf(run);
        self.ends_with_cr = *last == b'\r';
    }

    fn step(&mut self, octet: u8) {
        self.is_found |= self.ends_with_cr && octet != b'\n';
        self.ends_with_cr = octet == b'\r';
    }

    /// Whether one was found, if the text ends here.
    pub(in crate::smtp) fn finish(self) -> bool {
        self.is_found || self.ends_with_cr
    }
}

fn octets(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// The octets after the last LF of a text that begins with a line; `None` if a line is too long.
///
/// It searches for the last LF that a line of valid length may have and continues after it: all lines before it are
/// short enough. So it inspects few octets of ordinary text.
fn unfinished_line(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let reach = &rest[..rest.len().min(Lines::LIMIT + 1)];
        match memrchr(b'\n', reach) {
            Some(at) => rest = &rest[at + 1..],
            None if reach.len() <= Lines::LIMIT => return Some(rest),
            None => match &rest[Lines::LIMIT..] {
                [b'\r', b'\n', behind @ ..] => rest = behind,
                // Its LF may follow.
                [b'\r'] => return Some(rest),
                _ => return None,
            },
        }
    }
}

/// A loop that only compares the pair compiles to vector instructions.
fn has_lf_without_cr(text: &[u8]) -> bool {
    let pairs = text.iter().zip(text.get(1..).unwrap_or_default());
    pairs.fold(false, |seen, (&first, &second)| seen | ((first != b'\r') & (second == b'\n')))
}

fn has_cr_without_lf(text: &[u8]) -> bool {
    let pairs = text.iter().zip(text.get(1..).unwrap_or_default());
    pairs.fold(false, |seen, (&first, &second)| seen | ((first == b'\r') & (second != b'\n')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A naive oracle.
    fn naive(text: &[u8]) -> Lines {
        let mut seen = Lines { has_eight_bit: text.iter().any(|octet| *octet > 0x7f), ..Lines::default() };
        let mut line = Vec::new();
        for octet in text.iter().chain(b"\r\n") {
            if *octet != b'\n' {
                line.push(*octet);
                continue;
            }
            let has_cr = line.last() == Some(&b'\r');
            let content = if has_cr { &line[..line.len() - 1] } else { &line[..] };
            seen.has_bare_lf |= !has_cr;
            seen.has_long_line |= content.len() > 998;
            line.clear();
        }
        seen
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => Just(b"\r\n".to_vec()),
            1 => Just(b"\n".to_vec()),
            1 => Just(b"\r".to_vec()),
            4 => prop::collection::vec(any::<u8>().prop_filter("no LF", |octet| *octet != b'\n'), 0..9),
            3 => (995..1002_usize).prop_map(|length| vec![b'x'; length]),
            2 => Just(Vec::new()),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn faults_of_lines_are_found_however_the_text_is_split(
            text in text(),
            sizes in prop::collection::vec(prop_oneof![0..600_usize, 0..20_000_usize], 1..8),
        ) {
            let (mut inspector, mut finder) = (LineInspector::default(), BareCrFinder::default());
            let mut rest = &text[..];
            // A size of zero is an empty run; if all sizes are zero the rest is one run.
            for size in sizes.iter().cycle().take(text.len() + sizes.len()) {
                let (run, after) = rest.split_at((*size).min(rest.len()));
                inspector.inspect(run);
                finder.search(run);
                rest = after;
            }
            inspector.inspect(rest);
            finder.search(rest);
            let crs = text.iter().filter(|octet| **octet == b'\r').count();
            prop_assert_eq!(finder.finish(), text.windows(2).filter(|pair| pair == b"\r\n").count() < crs);
            // A final CR may be part of the line's end.
            let text = text.strip_suffix(b"\r").unwrap_or(&text);
            prop_assert_eq!(inspector.finish(), naive(text));
        }
    }

    #[test]
    fn a_line_may_have_998_octets() {
        for (length, is_long) in [(998, false), (999, true)] {
            for end in ["\r\n", "\n", ""] {
                let text = [b"\r\n", &vec![b'x'; length][..], end.as_bytes()].concat();
                for cut in 0..=text.len() {
                    let mut inspector = LineInspector::default();
                    inspector.inspect(&text[..cut]);
                    inspector.inspect(&text[cut..]);
                    let seen = inspector.finish();
                    let expected =
                        Lines { has_bare_lf: end == "\n", has_long_line: is_long, ..Lines::default() };
                    assert_eq!(seen, expected, "{length} {end:?} cut at {cut}");
                }
            }
        }
    }
}
