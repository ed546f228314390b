//! Replies that a browser saves: content from a sender is never shown.

use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};

use crate::http::reply::{Reply, of};
use crate::mime::{self, PartKind};
use crate::records::Message;

/// A part of a message by its number, as a download; `None` for an unknown number.
pub(super) fn part_of(message: &Message, number: &str) -> Option<Reply> {
    let (part, octets) = mime::part(message.body(), number.parse().ok()?)?;
    let mut reply = of(StatusCode::OK, "application/octet-stream", octets);
    let is_text = part.content_type.starts_with("text/");
    let content_type =
        if is_text { format!("{}; charset=utf-8", part.content_type) } else { part.content_type };
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    let name = part.name.filter(|_| part.kind != PartKind::Text);
    Some(download(reply, name.as_deref()))
}

/// Makes a browser save the reply, not show it. The name comes from the sender, and is encoded.
pub(super) fn download(mut reply: Reply, name: Option<&str>) -> Reply {
    let name = name.map(|name| {
        let mut encoded = String::new();
        for octet in name.bytes() {
            match octet.is_ascii_alphanumeric() || b"-._".contains(&octet) {
                true => encoded.push(char::from(octet)),
                false => encoded += &format!("%{octet:02X}"),
            }
        }
        format!("attachment; filename*=UTF-8''{encoded}")
    });
    let value = HeaderValue::try_from(name.as_deref().unwrap_or("attachment"));
    reply.headers_mut().insert(CONTENT_DISPOSITION, value.unwrap_or(HeaderValue::from_static("attachment")));
    reply
}
