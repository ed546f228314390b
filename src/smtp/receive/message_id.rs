//! Finds the Message-ID of a message (RFC 5322 section 3.6.4) in its text as it arrives, without retaining the text.

use std::hash::{DefaultHasher, Hasher};

use memchr::memchr;

/// Length of the searched text: longer header sections are rare, and the field is near the top.
const REACH: usize = 16 * 1024;

const NAME: &[u8] = b"message-id";

/// Hashes the first Message-ID, folded or not, without white space.
#[derive(Clone, Debug, Default)]
pub(in crate::smtp) struct MessageIdFinder {
    position: Position,
    /// Octets searched so far.
    reached: usize,
    hasher: DefaultHasher,
    /// Part of its value was hashed.
    is_found: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    #[default]
    LineStart,
    /// This many octets of the field's name follow the start of the line.
    Name(usize),
    /// In another field, up to the end of the line.
    Elsewhere,
    Value,
    /// After a line of the value, which continues if the next line begins with white space.
    ValueLineEnd,
    /// The field, or the header section, has ended.
    Over,
}

impl MessageIdFinder {
    /// Searches the next run.
    pub(in crate::smtp) fn search(&mut self, run: &[u8]) {
        let mut rest = &run[..run.len().min(REACH - self.reached)];
        self.reached += rest.len();
        while let [octet, behind @ ..] = rest {
            rest = match self.position {
                Position::Over => return,
                Position::Elsewhere => {
                    let Some(end) = memchr(b'\n', rest) else { return };
                    self.position = Position::LineStart;
                    &rest[end + 1..]
                }
                _ => {
                    self.position = self.step(*octet);
                    behind
                }
            };
        }
    }

    /// The hash of the Message-ID; `None` if none was found.
    pub(in crate::smtp) fn finish(&self) -> Option<u64> {
        self.is_found.then(|| self.hasher.finish())
    }

    fn step(&mut self, octet: u8) -> Position {
        match (self.position, octet) {
            (Position::LineStart, b'\n') => Position::Over,
            (Position::LineStart, b'\r') => Position::LineStart,
            (Position::LineStart, _) => named(0, octet),
            (Position::Name(_), b'\n') => Position::LineStart,
            (Position::Name(seen), _) => named(seen, octet),
            // Skipped by search, not octet by octet.
            (Position::Over | Position::Elsewhere, _) => self.position,
            (Position::Value, b'\n') => Position::ValueLineEnd,
            (Position::ValueLineEnd, b' ' | b'\t') | (Position::Value, b' ' | b'\t' | b'\r') => {
                Position::Value
            }
            (Position::ValueLineEnd, _) => Position::Over,
            (Position::Value, _) => {
                self.hasher.write_u8(octet);
                self.is_found = true;
                Position::Value
            }
        }
    }
}

/// After this many octets of the name.
fn named(seen: usize, octet: u8) -> Position {
    match NAME.get(seen) {
        Some(expected) if octet.eq_ignore_ascii_case(expected) => Position::Name(seen + 1),
        None if octet == b':' => Position::Value,
        // RFC 5322 section 4.5 allows white space before the colon in old messages.
        None if matches!(octet, b' ' | b'\t') => Position::Name(seen),
        _ => Position::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(runs: &[&[u8]]) -> Option<u64> {
        let mut finder = MessageIdFinder::default();
        runs.iter().for_each(|run| finder.search(run));
        finder.finish()
    }

    fn hash(id: &str) -> Option<u64> {
        let mut hasher = DefaultHasher::default();
        id.bytes().for_each(|octet| hasher.write_u8(octet));
        (!id.is_empty()).then(|| hasher.finish())
    }

    /// A naive oracle, which first splits the header section.
    fn naive(text: &str) -> Option<u64> {
        let header = text.split("\r\n\r\n").next().unwrap_or_default();
        let header = if text.starts_with("\r\n") { "" } else { header };
        let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut fields = unfolded.split("\r\n").filter_map(|field| field.split_once(':'));
        let id = fields.find(|(name, _)| name.trim_end().eq_ignore_ascii_case("Message-ID"));
        hash(&id.unwrap_or_default().1.replace([' ', '\t'], ""))
    }

    fn message() -> impl Strategy<Value = String> {
        let line = prop::sample::select(vec![
            "Message-ID: <1@a.example>\r\n",
            "message-id:\r\n <2@a.example>\r\n",
            "MESSAGE-ID\t: <3@\r\n\ta.example>\r\n",
            "Message-IDs: <4@a.example>\r\n",
            "Message-I: <5@a.example>\r\n",
            "X-Message-ID: <6@a.example>\r\n",
            "Subject: hi\r\n Message-ID: <7@a.example>\r\n",
            "Message-ID:\r\n",
            "Subject: hi\r\n",
            "\r\n",
        ]);
        prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn it_is_found_however_the_text_is_split(text in message(), cuts in prop::collection::vec(0..200_usize, 0..6)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(text.len())).collect();
            cuts.sort_unstable();
            let starts = [0].into_iter().chain(cuts.iter().copied());
            let ends = cuts.iter().copied().chain([text.len()]);
            let runs: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &text.as_bytes()[start..end]).collect();
            prop_assert_eq!(found(&runs), naive(&text));
        }

        #[test]
        fn any_text_may_come(text in prop::collection::vec(any::<u8>(), 0..400)) {
            found(&[&text]);
        }
    }

    #[test]
    fn it_is_searched_for_near_the_top() {
        let behind = |octets: usize| {
            let field = format!("X: {}\r\n", "x".repeat(octets - 5));
            found(&[field.as_bytes(), b"Message-ID: <1@a.example>\r\n\r\n"])
        };
        assert_eq!(behind(1000), hash("<1@a.example>"));
        assert_eq!(behind(REACH), hash(""));
        assert_eq!(behind(REACH + 1), hash(""));
    }
}
