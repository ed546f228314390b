//! Header fields of a message (RFC 5322 section 2.2): unfolded, with encoded words decoded.

use memchr::memchr;

use super::encoded_word;

/// Value of the first field of this name, trimmed; `None` if absent.
pub(super) fn field(message: &[u8], name: &str) -> Option<String> {
    let mut lines = Lines(message);
    let mut value = lines.find_map(|line| value(line, name))?.to_vec();
    for line in lines.take_while(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
        value.extend_from_slice(line);
    }
    Some(encoded_word::decode(value.trim_ascii()))
}

/// The text after the colon, if the line begins a field of this name.
fn value<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (own, value) = line.split_at(memchr(b':', line)?);
    // RFC 5322 section 4.5 allows white space before the colon in old messages.
    own.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()).then(|| &value[1..])
}

/// The text after the header section.
pub(super) fn body(message: &[u8]) -> &[u8] {
    let mut lines = Lines(message);
    while lines.next().is_some() {}
    lines.0
}

/// The lines of the header section, without their ends. A bare LF ends a line too.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = memchr(b'\n', self.0).unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(length);
        self.0 = rest.get(1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::field;
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b"From: Ann <ann@example.com>\r\n\
        SUBJECT : =?utf-8?Q?Gr=C3=B6=C3=9Fe?=\r\n =?utf-8?Q?_42?= and\r\n\tmore\r\n\
        Subject: the second\r\n\
        X-Empty:\r\n\
        X-Bare: lf\n\
        \r\n\
        X-Body: no field\r\n";

    #[test]
    fn the_first_field_of_a_name_is_unfolded_and_decoded() {
        let field = |name| field(MESSAGE, name);
        assert_eq!(field("From").as_deref(), Some("Ann <ann@example.com>"));
        assert_eq!(field("subject").as_deref(), Some("Größe 42 and\tmore"));
        assert_eq!(field("x-empty").as_deref(), Some(""));
        assert_eq!(field("X-Bare").as_deref(), Some("lf"));
        for absent in ["X-Body", "Fro", "From: Ann", "", "more"] {
            assert_eq!(field(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_message_need_not_have_a_header_or_a_body() {
        assert_eq!(field(b"", "Subject"), None);
        assert_eq!(field(b"\r\nSubject: no\r\n", "Subject"), None);
        assert_eq!(field(b"Subject: hi", "Subject").as_deref(), Some("hi"));
        assert_eq!(field(b" folded: first\r\nSubject: hi\r\n ", "subject").as_deref(), Some("hi"));
    }

    proptest! {
        #[test]
        fn any_message_may_come(message in prop::collection::vec(any::<u8>(), 0..300), name in ".{0,3}") {
            field(&message, &name);
        }
    }
}
