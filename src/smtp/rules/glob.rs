//! Patterns for names and addresses.

use std::fmt;

/// A pattern: `*` matches any octets, `?` matches one, and any other octet matches itself, ignoring case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob {
    /// In lower case, without the enclosing angle brackets and without runs of `*`.
    pattern: Box<str>,
}

impl Glob {
    /// Any text is a pattern. Enclosing angle brackets are removed: `<>` is the null reverse-path.
    pub fn new(pattern: &str) -> Self {
        let bare = pattern.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(pattern);
        let mut pattern = bare.to_ascii_lowercase();
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        Self { pattern: pattern.into() }
    }

    /// Whether it matches only the empty text.
    pub(super) fn is_empty(&self) -> bool {
        self.pattern.is_empty()
    }

    pub(super) fn shape(&self) -> Shape<'_> {
        let pattern = self.pattern.as_bytes();
        let is_literal = |part: &[u8]| !part.iter().any(|octet| matches!(octet, b'*' | b'?'));
        match pattern {
            [b'*', back @ ..] if !back.is_empty() && is_literal(back) => Shape::Back(back),
            [front @ .., b'*'] if !front.is_empty() && is_literal(front) => Shape::Front(front),
            text if is_literal(text) => Shape::Exact(text),
            _ => Shape::Other,
        }
    }

    /// Whether the pattern matches all of `text`.
    pub fn matches(&self, text: &[u8]) -> bool {
        let pattern = self.pattern.as_bytes();
        let (mut at, mut in_text) = (0, 0);
        // Where to continue if the last `*` must match one octet more.
        let mut star: Option<(usize, usize)> = None;
        while in_text < text.len() {
            match pattern.get(at) {
                Some(b'*') if at + 1 == pattern.len() => return true,
                Some(b'*') => {
                    star = Some((at + 1, in_text));
                    at += 1;
                }
                Some(&octet) if octet == b'?' || octet == text[in_text].to_ascii_lowercase() => {
                    at += 1;
                    in_text += 1;
                }
                _ => {
                    let Some((behind, taken)) = star else { return false };
                    let Some(taken) = next_start(pattern[behind], text, taken + 1) else { return false };
                    (at, in_text) = (behind, taken);
                    star = Some((behind, taken));
                }
            }
        }
        pattern[at..].iter().all(|&octet| octet == b'*')
    }
}

/// The next position, not before `at`, at which this octet of a pattern matches.
fn next_start(octet: u8, text: &[u8], at: usize) -> Option<usize> {
    match octet {
        b'?' => Some(at),
        _ => memchr::memchr2(octet, octet.to_ascii_uppercase(), &text[at..]).map(|found| at + found),
    }
}

/// Shapes of patterns that can be looked up: their octets, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape<'g> {
    /// Exactly this text.
    Exact(&'g [u8]),
    /// Texts with this prefix: `ann@*`.
    Front(&'g [u8]),
    /// Texts with this suffix: `*@slow.example`.
    Back(&'g [u8]),
    Other,
}

impl From<&str> for Glob {
    fn from(pattern: &str) -> Self {
        Self::new(pattern)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A naive oracle, in exponential time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], text) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            ([_, ..], []) => false,
            ([octet, rest @ ..], [first, behind @ ..]) => {
                (*octet == b'?' || octet.eq_ignore_ascii_case(first)) && naive(rest, behind)
            }
        }
    }

    proptest! {
        #[test]
        fn a_match_follows_the_definition(pattern in "[ab*?]{0,8}", text in "[abAB]{0,8}") {
            prop_assert_eq!(Glob::new(&pattern).matches(text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn shapes() {
        let shape = |pattern| match Glob::new(pattern).shape() {
            Shape::Exact(text) => format!("exact {}", String::from_utf8_lossy(text)),
            Shape::Front(text) => format!("front {}", String::from_utf8_lossy(text)),
            Shape::Back(text) => format!("back {}", String::from_utf8_lossy(text)),
            Shape::Other => "other".into(),
        };
        assert_eq!(shape("Ann@A.example"), "exact ann@a.example");
        assert_eq!(shape("<>"), "exact ");
        assert_eq!(shape("ann@*"), "front ann@");
        assert_eq!(shape("*@A.example"), "back @a.example");
        for other in ["*", "a*b", "*a*", "a?", "*a?", "?*"] {
            assert_eq!(shape(other), "other", "{other}");
        }
    }

    #[test]
    fn two_brackets_match_only_the_null_path() {
        assert!(Glob::new("<>").matches(b""));
        assert!(!Glob::new("<>").matches(b"a@b.example"));
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!Glob::new(&pattern).matches(&b"a".repeat(2000)));
    }
}
