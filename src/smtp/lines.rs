//! Looking at the lines of message text: what it takes for others to refuse them.

use memchr::memchr_iter;

/// What was seen in the lines of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lines {
    /// A LF that follows no CR (RFC 5321 section 2.3.8).
    pub has_bare_lf: bool,
    /// A line of more than [`LIMIT`](Self::LIMIT) octets.
    pub has_long_line: bool,
}

impl Lines {
    /// Longest line in octets, its end not counted (RFC 5322 section 2.1.1, RFC 5321 section 4.5.3.1.6).
    pub const LIMIT: usize = 998;
}

/// Looks at message text as it comes, in runs of any size. A LF ends a line, with or without CR before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineInspector {
    seen: Lines,
    /// Octets since the last LF.
    length: u32,
    ends_with_cr: bool,
}

impl LineInspector {
    /// Looks at what follows.
    pub(super) fn inspect(&mut self, run: &[u8]) {
        let mut start = 0;
        for end in memchr_iter(b'\n', run) {
            self.extend(&run[start..end]);
            self.seen.has_bare_lf |= !self.ends_with_cr;
            self.end_line();
            start = end + 1;
        }
        self.extend(&run[start..]);
    }

    /// What was seen, if the text ends here.
    pub(super) fn finish(mut self) -> Lines {
        self.end_line();
        self.seen
    }

    fn extend(&mut self, part: &[u8]) {
        if let Some(last) = part.last() {
            self.length = self.length.saturating_add(u32::try_from(part.len()).unwrap_or(u32::MAX));
            self.ends_with_cr = *last == b'\r';
        }
    }

    fn end_line(&mut self) {
        let length = self.length.saturating_sub(u32::from(self.ends_with_cr));
        self.seen.has_long_line |= length as usize > Lines::LIMIT;
        (self.length, self.ends_with_cr) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same without haste.
    fn naive(text: &[u8]) -> Lines {
        let mut seen = Lines::default();
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
            3 => (990..1005_usize).prop_map(|length| vec![b'x'; length]),
            2 => Just(Vec::new()),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn lines_are_seen_as_they_are_however_they_are_cut(
            text in text(),
            sizes in prop::collection::vec(0..600_usize, 1..8),
        ) {
            let mut inspector = LineInspector::default();
            let mut rest = &text[..];
            // A size of zero is an empty run; the whole rest comes where sizes are only that.
            for size in sizes.iter().cycle().take(text.len() + sizes.len()) {
                let (run, after) = rest.split_at((*size).min(rest.len()));
                inspector.inspect(run);
                rest = after;
            }
            inspector.inspect(rest);
            // What ends with CR may be about to end its line.
            let text = text.strip_suffix(b"\r").unwrap_or(&text);
            prop_assert_eq!(inspector.finish(), naive(text));
        }
    }

    #[test]
    fn a_line_may_have_998_octets() {
        for (length, is_long) in [(998, false), (999, true)] {
            for end in ["\r\n", "\n", ""] {
                let mut inspector = LineInspector::default();
                inspector.inspect(&[&vec![b'x'; length], end.as_bytes()].concat());
                let seen = inspector.finish();
                assert_eq!(
                    (seen.has_long_line, seen.has_bare_lf),
                    (is_long, end == "\n"),
                    "{length} {end:?}"
                );
            }
        }
    }
}
