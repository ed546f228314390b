//! The HTML of a mail, changed so that it can be shown within a page. Pure.
//!
//! This does not make HTML of a sender harmless: the frame in which it is shown, and the policy with which it is served, allow no
//! script and no request.

use std::collections::HashMap;

/// URLs of parts, by their ids (RFC 2392).
pub(super) type Urls = HashMap<String, String>;

/// Largest length of an id in octets. It bounds the search for the end of each id in a text.
const LONGEST_ID: usize = 255;

/// Replaces the `cid:` URLs of the HTML with these, which take at most `most` octets in total.
pub(super) fn with_own_images(html: String, urls: &Urls, most: usize) -> String {
    let longest = urls.keys().map(String::len).filter(|length| *length <= LONGEST_ID).max();
    let (Some(longest), Some(first)) = (longest, html.find("cid:")) else { return html };
    let (mut shown, mut rest) = (html[..first].to_owned(), &html[first..]);
    let mut left = most;
    while let Some(after) = rest.strip_prefix("cid:") {
        let bound = (0..=after.len().min(longest + 1)).rev().find(|at| after.is_char_boundary(*at));
        let window = &after[..bound.unwrap_or(0)];
        let end = window.find(['"', '\'', ')', ' ', '>', '<']).unwrap_or(window.len());
        let url = urls.get(&after[..end]).filter(|url| url.len() <= left);
        match url {
            Some(url) => {
                left -= url.len();
                shown += url;
                rest = &after[end..];
            }
            None => {
                shown += "cid:";
                rest = after;
            }
        }
        let next = rest.find("cid:").unwrap_or(rest.len());
        shown += &rest[..next];
        rest = &rest[next..];
    }
    shown
}

/// Disables the elements to which a policy does not apply: `<link rel=preconnect>` connects to another host, and so does one
/// within a frame; `<meta http-equiv=refresh>` leads to another page. Their names are changed to unknown ones.
pub(super) fn without_connections(html: &str) -> String {
    with_tags(html, |name| connects(name).then_some(OTHER_NAME))
}

/// The same, with links that open in a new window.
pub(super) fn for_a_frame(html: &str) -> String {
    with_tags(html, |name| match name.eq_ignore_ascii_case("a") {
        true => Some(TARGET),
        false => connects(name).then_some(OTHER_NAME),
    })
}

fn connects(name: &str) -> bool {
    const NAMES: [&str; 8] = ["link", "iframe", "frame", "fencedframe", "object", "embed", "base", "meta"];
    NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Replaces the beginning of a tag that connects.
const OTHER_NAME: &str = "<x-";

/// Replaces an `<a`. Of a repeated attribute the first counts.
const TARGET: &str = "<a target=\"_blank\" rel=\"noreferrer noopener\"";

/// Replaces the beginnings of tags: an `<a` with its name, others without theirs.
fn with_tags(html: &str, replaced: impl Fn(&str) -> Option<&'static str>) -> String {
    let (mut shown, mut rest) = (String::with_capacity(html.len()), html);
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        shown += before;
        let length = tag[1..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len() - 1);
        let name = &tag[1..=length];
        let (text, used) = match replaced(name) {
            Some(TARGET) => (TARGET, 1 + length),
            Some(text) => (text, 1),
            None => ("<", 1),
        };
        shown += text;
        rest = &tag[used..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_open_beside_and_nothing_connects() {
        let target = "<a target=\"_blank\" rel=\"noreferrer noopener\"";
        for (html, expected) in [
            ("<a href=x>x</a>", format!("{target} href=x>x</a>")),
            ("<A\nhref=x>", format!("{target}\nhref=x>")),
            ("<abbr>a < b</abbr><a", format!("<abbr>a < b</abbr>{target}")),
            ("<LiNk rel=preconnect href=//x><", "<x-LiNk rel=preconnect href=//x><".to_owned()),
            (
                "<iframe srcdoc='&lt;link&gt;'></iframe>",
                "<x-iframe srcdoc='&lt;link&gt;'></iframe>".to_owned(),
            ),
            ("<ö><<meta/http-equiv=refresh>", "<ö><<x-meta/http-equiv=refresh>".to_owned()),
            ("", String::new()),
        ] {
            assert_eq!(for_a_frame(html), expected);
        }
        assert_eq!(without_connections("<link><a b>"), "<x-link><a b>");
    }

    #[test]
    fn own_images_are_found_wherever_they_are_named() {
        let urls = Urls::from([("a@x".to_owned(), "U".to_owned())]);
        for (html, expected) in [
            ("<img src=\"cid:a@x\"><img src=cid:b@x>", "<img src=\"U\"><img src=cid:b@x>"),
            ("url(cid:a@x) cid:a@x", "url(U) U"),
            ("cid:", "cid:"),
            ("no", "no"),
        ] {
            assert_eq!(with_own_images(html.to_owned(), &urls, 100), expected);
        }
    }

    fn urls(ids: &[&str]) -> Urls {
        ids.iter().map(|id| ((*id).to_owned(), format!("/{}", id.len()))).collect()
    }

    #[test]
    fn ids_that_are_known_are_replaced_within_the_bound() {
        let html = r#"<img src="cid:logo"><img src='cid:none'>cid:logo)cid:ü cid:"#;
        let shown = |most| with_own_images(html.to_owned(), &urls(&["logo", "ü", "lo"]), most);
        assert_eq!(shown(100), r#"<img src="/4"><img src='cid:none'>/4)/2 cid:"#);
        assert_eq!(shown(3), r#"<img src="/4"><img src='cid:none'>cid:logo)cid:ü cid:"#);
        assert_eq!(with_own_images(html.to_owned(), &Urls::new(), 100), html);
        let long = "x".repeat(LONGEST_ID + 1);
        let named = format!("cid:{long}");
        assert_eq!(with_own_images(named.clone(), &urls(&[&long, "a"]), 100), named);
        assert_eq!(with_own_images(format!("cid:{}", &long[1..]), &urls(&[&long[1..]]), 100), "/255");
    }

    /// One that is searched to the end of the text for each `cid:` would take hours.
    #[test]
    fn a_text_of_nothing_but_ids_is_read_once() {
        let html = "cid:".repeat(4 << 20);
        assert_eq!(with_own_images(html.clone(), &urls(&["ü", &"x".repeat(20)]), 100), html);
    }
}
