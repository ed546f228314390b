//! Octets as readable text, for the `Debug` of types that contain parts of a dialogue.

use std::fmt;

/// Most octets of one text that are displayed: enough for any ordinary command line, and for the header section and
/// first lines of a message.
const SHOWN: usize = 512;
/// Most texts of one list that are displayed.
const LISTED: usize = 10;

/// One text, quoted and escaped like a Rust string, cut at a bound.
pub(crate) struct Octets<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at(self.0.len().min(SHOWN));
        if rest.is_empty() {
            return write!(f, "{:?}", String::from_utf8_lossy(shown));
        }
        // Cut at a character boundary.
        let half = shown.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
        let shown = &shown[..shown.len() - half];
        let more = half + rest.len();
        write!(f, "{:?}... and {more} more octets", String::from_utf8_lossy(shown))
    }
}

/// A list, cut at a bound.
pub(crate) struct Listed<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Debug> fmt::Debug for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(items) = self;
        let (shown, more) = items.split_at(items.len().min(LISTED));
        let mut list = f.debug_list();
        list.entries(shown);
        if !more.is_empty() {
            list.entry(&format_args!("... and {} more", more.len()));
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_as_texts_and_cut_between_characters() {
        assert_eq!(format!("{:?}", Octets(b"a \"b\"\r\n\0\xff")), r#""a \"b\"\r\n\0�""#);
        for before in SHOWN - 4..=SHOWN {
            let text = format!("{}ü€𝄞{}", "x".repeat(before), "y".repeat(SHOWN));
            let shown = format!("{:?}", Octets(text.as_bytes()));
            let (quoted, more) = shown.split_once("... and ").expect("a cut");
            let quoted = quoted.trim_matches('"');
            assert!(text.starts_with(quoted) && quoted.len() > SHOWN - 4, "{shown}");
            assert_eq!(more, format!("{} more octets", text.len() - quoted.len()));
        }
    }

    #[test]
    fn lists_are_cut() {
        let shown = |count| format!("{:?}", Listed(&vec![0; count]));
        assert_eq!(shown(LISTED), "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]");
        assert_eq!(shown(LISTED + 5), "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ... and 5 more]");
    }
}
