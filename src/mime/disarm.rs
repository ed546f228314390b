//! What the parser is not given: types by which it would descend into messages within messages, which it drops by recursion, and
//! parameters without end, of which it compares each with all others. A mail of some hundred kilobytes could end the process.

use std::borrow::Cow;

use memchr::memchr;

/// Octets of a field with parameters that are parsed.
const LONGEST: usize = 16 << 10;

/// Subtypes of `message` and `multipart` whose parts the parser takes for messages, and what is put in their place: as long, so that
/// all offsets stay.
const SUBTYPES: [(&[u8; 6], &[u8; 6]); 3] =
    [(b"rfc822", b"rfc8zz"), (b"global", b"globzz"), (b"digest", b"digezz")];

/// The same message with such fields changed, wherever they stand: the parser decides what is a header.
pub(super) fn disarmed(octets: &[u8]) -> Cow<'_, [u8]> {
    let mut disarmed = Cow::Borrowed(octets);
    let mut behind = 0;
    while let Some(found) = memchr(b'-', &octets[behind..]) {
        let hyphen = behind + found;
        behind = hyphen + 1;
        if begins_field(octets, hyphen) {
            let end = hyphen + end_of_field(&octets[hyphen..]);
            disarm(&mut disarmed, hyphen, end);
            behind = end;
        }
    }
    disarmed
}

/// A type as it was before.
pub(super) fn restored(subtype: &str) -> &str {
    let found = SUBTYPES.iter().find(|(_, mark)| subtype.as_bytes().eq_ignore_ascii_case(*mark));
    found.map_or(subtype, |(own, _)| std::str::from_utf8(*own).unwrap_or(subtype))
}

/// The text of a part, in which such fields may be quoted, as it was before.
pub(super) fn restored_text(text: String) -> String {
    SUBTYPES.iter().fold(text, |text, (own, mark)| {
        let [own, mark] = [*own, *mark].map(|word| std::str::from_utf8(word).unwrap_or_default());
        if text.contains(mark) { text.replace(mark, own) } else { text }
    })
}

/// `Content-Type` or `Content-Disposition`, in any case, around this hyphen.
fn begins_field(octets: &[u8], hyphen: usize) -> bool {
    const CONTENT: &[u8] = b"content";
    let front = hyphen.checked_sub(CONTENT.len()).map(|start| &octets[start..hyphen]);
    let rest = &octets[hyphen + 1..];
    let is_next = |name: &[u8]| rest.get(..name.len()).is_some_and(|rest| rest.eq_ignore_ascii_case(name));
    front.is_some_and(|front| front.eq_ignore_ascii_case(CONTENT))
        && (is_next(b"type") || is_next(b"disposition"))
}

/// How far a field goes on: to a line end with no white space behind it.
fn end_of_field(octets: &[u8]) -> usize {
    let mut end = 0;
    while let Some(found) = memchr(b'\n', &octets[end..]) {
        end += found + 1;
        if !matches!(octets.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
    octets.len()
}

fn disarm(octets: &mut Cow<'_, [u8]>, start: usize, end: usize) {
    let is_subtype = |window: &[u8]| SUBTYPES.iter().position(|(own, _)| window.eq_ignore_ascii_case(*own));
    let mut at = start;
    while at + 6 <= end {
        match is_subtype(&octets[at..at + 6]) {
            Some(which) => {
                octets.to_mut()[at..at + 6].copy_from_slice(SUBTYPES[which].1);
                at += 6;
            }
            None => at += 1,
        }
    }
    if end - start > LONGEST {
        let ends = |octet: &u8| matches!(octet, b'\r' | b'\n');
        octets.to_mut()[start + LONGEST..end]
            .iter_mut()
            .filter(|octet| !ends(octet))
            .for_each(|octet| *octet = b' ');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_of_messages_are_changed_in_their_fields_alone() {
        let mail = "Subject: a global digest\r\nContent-Type: message/rfc822\r\nCONTENT-TYPE : Message\r\n /\tGlobal; x=y\r\n\r\n\
                    rfc822\r\ncontent-type: multipart/digest";
        let expected = "Subject: a global digest\r\nContent-Type: message/rfc8zz\r\nCONTENT-TYPE : Message\r\n /\tglobzz; x=y\r\n\r\n\
                        rfc822\r\ncontent-type: multipart/digezz";
        assert_eq!(disarmed(mail.as_bytes()), expected.as_bytes());
        assert_eq!(restored("RFC8ZZ"), "rfc822");
        assert_eq!(restored("plain"), "plain");
        assert_eq!(restored_text("message/rfc8zz, digezz".into()), "message/rfc822, digest");
    }

    #[test]
    fn a_field_without_end_is_cut_and_its_lines_stay() {
        let field = format!("Content-Type: text/plain{}\r\n\r\nbody", ";a*1*=b\r\n ".repeat(100_000));
        let disarmed = disarmed(field.as_bytes());
        assert_eq!(disarmed.len(), field.len());
        assert!(disarmed[LONGEST + 16..].starts_with(b" ") || disarmed[LONGEST + 16..].starts_with(b"\r\n"));
        assert!(disarmed.ends_with(b"\r\n\r\nbody"));
        assert_eq!(disarmed.iter().filter(|octet| **octet == b';').count(), LONGEST / 10 - 1);
    }

    proptest! {
        #[test]
        fn nothing_else_is_changed(octets: Vec<u8>) {
            prop_assert_eq!(&*disarmed(&octets), &octets[..]);
        }
    }
}
