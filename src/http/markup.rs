//! The HTML of a mail, changed so that it can be shown within a page. Pure.
//!
//! What a sender has written is not made harmless here: the frame in which it is shown, and the policy that it is served with,
//! allow no script and no request.

use std::borrow::Cow;

/// The HTML with other URLs in the place of its `cid:` URLs (RFC 2392), where `url` has one for the id.
pub(super) fn with_own_images(html: String, mut url: impl FnMut(&str) -> Option<String>) -> String {
    let Some(first) = html.find("cid:") else { return html };
    let (mut shown, mut rest) = (html[..first].to_owned(), &html[first..]);
    loop {
        let Some(behind) = rest.strip_prefix("cid:") else { return shown + rest };
        let end = behind.find(['"', '\'', ')', ' ', '>', '<']).unwrap_or(behind.len());
        let found = url(&behind[..end]).map(Cow::Owned);
        rest = if found.is_some() { &behind[end..] } else { behind };
        shown += &found.unwrap_or(Cow::Borrowed("cid:"));
        let next = rest.find("cid:").unwrap_or(rest.len());
        shown += &rest[..next];
        rest = &rest[next..];
    }
}

/// The HTML with links that open beside the page that embeds it.
pub(super) fn with_targets(html: &str) -> String {
    let (mut shown, mut rest) = (String::new(), html);
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        shown += before;
        let is_link = tag.get(1..3).is_some_and(|name| name.eq_ignore_ascii_case("a "));
        let length = if is_link { 3 } else { 1 };
        shown += &tag[..length];
        if is_link {
            shown += "target=\"_blank\" rel=\"noreferrer noopener\" ";
        }
        rest = &tag[length..];
    }
    shown + rest
}
