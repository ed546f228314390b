//! The links of a mail.

use super::Mail;
use super::html::{Anchor, anchors};

const MOST_LINKS: usize = 1000;

/// A link in a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Its target as in the mail, with character references of HTML decoded.
    pub href: String,
    /// Its visible text; in plain text the same.
    pub text: String,
    /// Whether it is in the HTML part.
    pub is_html: bool,
}

/// See [`Mail::links`].
pub(super) fn links(mail: &Mail) -> Vec<Link> {
    let of_html = mail.html.as_deref().map(anchors).unwrap_or_default();
    let of_html = of_html.into_iter().map(|Anchor { href, text }| Link { href, text, is_html: true });
    let mut links: Vec<_> = of_html.take(MOST_LINKS).collect();
    for href in mail.text.as_deref().into_iter().flat_map(urls) {
        if links.len() < MOST_LINKS && !links.iter().any(|link| link.href == href) {
            links.push(Link { href: href.to_owned(), text: href.to_owned(), is_html: false });
        }
    }
    links
}

/// The URLs of a text: `http://` and `https://`, without trailing punctuation.
pub(super) fn urls(text: &str) -> impl Iterator<Item = &str> {
    let starts = memchr::memmem::find_iter(text.as_bytes(), "://").filter_map(|at| {
        ["https", "http"].into_iter().map(str::len).find_map(|length| {
            let start = at.checked_sub(length)?;
            let is_scheme = matches!(text.get(start..at), Some(scheme) if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"));
            let is_word = text[..start].ends_with(|c: char| c.is_ascii_alphanumeric());
            (is_scheme && !is_word).then_some(start)
        })
    });
    let mut end = 0;
    let texts = starts.filter_map(move |start| {
        // A URL within another, as in a parameter, does not count.
        if start < end {
            return None;
        }
        let url = of(&text[start..]);
        end = start + url.len();
        Some(url)
    });
    texts.filter(|url| url.split("://").nth(1).is_some_and(|rest| !rest.is_empty()))
}

/// Longest URL in octets: longer ones are not usable.
const LONGEST: usize = 8 << 10;

/// The URL at the start of a text.
fn of(text: &str) -> &str {
    let is_end = |c: char| c.is_whitespace() || c.is_control() || "<>\"`{}|\\^".contains(c);
    let most = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let text = &text[..most];
    let mut rest = &text[..text.find(is_end).unwrap_or(text.len())];
    // Closing brackets without an opening one.
    let surplus =
        |open: char, close: char| rest.matches(close).count().saturating_sub(rest.matches(open).count());
    let (mut round, mut square) = (surplus('(', ')'), surplus('[', ']'));
    while let Some(last) = rest.chars().next_back() {
        let is_outside = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' => true,
            ')' => take_one(&mut round),
            ']' => take_one(&mut square),
            _ => false,
        };
        if !is_outside {
            break;
        }
        rest = &rest[..rest.len() - last.len_utf8()];
    }
    rest
}

/// Decrements a count, unless zero.
fn take_one(count: &mut usize) -> bool {
    let less = count.checked_sub(1);
    *count = less.unwrap_or(0);
    less.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_end_where_a_sentence_goes_on() {
        let text = "Go to https://a.example/confirm?t=1&u=http://b.example/x, or (see http://c.example/(x)). \
            <HTTPS://d.example>; xhttp://no.example http://, and http://e.example/ä\u{3000}end";
        let found: Vec<_> = urls(text).collect();
        let expected = [
            "https://a.example/confirm?t=1&u=http://b.example/x",
            "http://c.example/(x)",
            "HTTPS://d.example",
            "http://e.example/ä",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_link_of_both_parts_is_listed_once() {
        let mail = Mail {
            html: Some(
                "<a href=\"https://a.example/1\">Confirm</a><a href=mailto:x@y.example>Write</a>".to_owned(),
            ),
            text: Some("Confirm: https://a.example/1 or https://a.example/2".to_owned()),
            ..Mail::default()
        };
        let found: Vec<_> = links(&mail).into_iter().map(|of| (of.href, of.text, of.is_html)).collect();
        let expected = [
            ("https://a.example/1", "Confirm", true),
            ("mailto:x@y.example", "Write", true),
            ("https://a.example/2", "https://a.example/2", false),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(href, text, html)| ((*href).to_owned(), (*text).to_owned(), *html))
            .collect();
        assert_eq!(found, expected);
    }
}
