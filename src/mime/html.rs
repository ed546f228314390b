//! HTML as text, and its links. The parser is lenient, and its result is never displayed as HTML.

use mail_parser::decoders::html::html_to_text;

pub(super) fn to_text(html: &str) -> String {
    html_to_text(html)
}

/// An anchor or an image map's area: its target and its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) href: String,
    pub(super) text: String,
}

pub(super) fn anchors(html: &str) -> Vec<Anchor> {
    let mut anchors = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let behind = &rest[start + 1..];
        if let Some(comment) = behind.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let end = tag_end(behind);
        let (tag, inside) = (&behind[..end], behind.get(end + 1..).unwrap_or_default());
        rest = inside;
        let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let name = &tag[..name_end];
        if !name.eq_ignore_ascii_case("a") && !name.eq_ignore_ascii_case("area") {
            continue;
        }
        let Some(href) = attribute(&tag[name_end..], "href").filter(|href| !href.is_empty()) else {
            continue;
        };
        let text = match name.len() {
            1 => to_text(&inside[..closing(inside)]).trim().to_owned(),
            _ => String::new(),
        };
        anchors.push(Anchor { href, text });
    }
    anchors
}

/// The end of an anchor's text: its closing tag, or the next anchor.
fn closing(inside: &str) -> usize {
    let octets = inside.as_bytes();
    let is_end = |at: &usize| {
        let behind = &octets[at + 1..];
        let is_tag = |tag: &[u8]| {
            behind.len() > tag.len()
                && behind[..tag.len()].eq_ignore_ascii_case(tag)
                && !behind[tag.len()].is_ascii_alphanumeric()
        };
        is_tag(b"/a") || is_tag(b"a")
    };
    memchr::memchr_iter(b'<', octets).find(is_end).unwrap_or(inside.len())
}

/// The end of a tag: the `>` that is not within quotes.
fn tag_end(tag: &str) -> usize {
    let mut quote = None;
    for (at, octet) in tag.bytes().enumerate() {
        match (quote, octet) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(octet),
            (Some(open), octet) if open == octet => quote = None,
            _ => {}
        }
    }
    tag.len()
}

/// The value of an attribute, with its character references decoded.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(rest.len());
        let (own, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let (value, behind) = match behind.strip_prefix('=') {
            None => ("", behind),
            Some(value) => {
                let value = value.trim_start();
                match value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
                    Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
                    None => {
                        value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len()))
                    }
                }
            }
        };
        if own.eq_ignore_ascii_case(name) {
            return Some(decoded(value.trim()));
        }
        // Each turn consumes something.
        let next = behind.trim_start();
        rest = if next.len() < rest.len() { next } else { "" };
    }
    None
}

/// Decodes the character references used in addresses.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|octet| octet == b';');
        let character = end.and_then(|end| reference(&rest[1..end]));
        match (character, end) {
            (Some(c), Some(end)) => {
                decoded.push(c);
                rest = &rest[end + 1..];
            }
            _ => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded + rest
}

fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        "equals" => Some('='),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn anchors_are_found_with_their_text() {
        let html = "<p><A class=x HREF=\"https://a.example/?x=1&amp;y=2\">Confirm <b>now</b></A> <!-- <a href=no> -->\
            <a href='/b'>two</a><a name=x>no</a><abbr href=no>x</abbr><a href=c data-x=\">\">three<a\nhref = d>four\
            <area href=e><a href=\"f\">";
        let found: Vec<_> = anchors(html).into_iter().map(|of| (of.href, of.text)).collect();
        let expected = [
            ("https://a.example/?x=1&y=2", "Confirm now"),
            ("/b", "two"),
            ("c", "three"),
            ("d", "four"),
            ("e", ""),
            ("f", ""),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(href, text)| ((*href).to_owned(), (*text).to_owned())).collect();
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "(<a|href|=|\"|'|>|</a>|<!--|&#x|&|;|\\PC| ){0,40}") {
            for anchor in anchors(&text) {
                prop_assert!(!anchor.href.is_empty() && anchor.href.len() <= 4 * text.len());
            }
        }
    }
}
