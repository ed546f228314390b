//! Messages as MailHog shows them: envelope, fields and bodies as received.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::http::facade::FacadeId;
use crate::mime::raw_parts;
use crate::records::Message;
use crate::text::timestamp;

/// Fields as received, by their names as sent.
type Fields = BTreeMap<String, Vec<String>>;

#[derive(Serialize)]
pub(super) struct MessageView {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "From")]
    from: Path,
    #[serde(rename = "To")]
    to: Vec<Path>,
    #[serde(rename = "Content")]
    content: Content,
    #[serde(rename = "Created")]
    created: String,
    #[serde(rename = "MIME")]
    mime: Option<Mime>,
    #[serde(rename = "Raw")]
    raw: Raw,
}

/// A path of the envelope.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Path {
    relays: Option<Vec<String>>,
    mailbox: String,
    domain: String,
    params: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    headers: Fields,
    body: String,
    size: usize,
    #[serde(rename = "MIME")]
    mime: Option<Mime>,
}

/// The parts without subparts, at any depth.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Mime {
    parts: Vec<Content>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    from: String,
    to: Vec<String>,
    data: String,
    helo: String,
}

impl Path {
    fn of(path: &str) -> Self {
        let (mailbox, domain) = path.rsplit_once('@').unwrap_or((path, ""));
        Self { relays: None, mailbox: mailbox.to_owned(), domain: domain.to_owned(), params: "" }
    }
}

impl Content {
    fn of(header: &[u8], body: &[u8]) -> Self {
        Self { headers: fields(header), body: text(body), size: body.len(), mime: None }
    }
}

impl MessageView {
    pub(super) fn of(message: &Message) -> Self {
        let octets = message.content();
        let (header, body) = divided(&octets);
        let parts = raw_parts(message.body());
        // An undivided mail is its only part.
        let is_divided = parts.len() > 1 || parts.first().is_some_and(|(_, part)| part.len() < body.len());
        let mime = is_divided
            .then(|| Mime { parts: parts.iter().map(|(header, body)| Content::of(header, body)).collect() });
        let paths = message.forward_paths();
        let from = message.reverse_path().unwrap_or_default();
        Self {
            id: FacadeId(message.id()).to_string(),
            from: Path::of(&from),
            to: paths.iter().map(|path| Path::of(path)).collect(),
            content: Content::of(header, body),
            created: timestamp(message.arrived_at()),
            mime,
            raw: Raw {
                from: from.into_owned(),
                to: paths.into_iter().map(Cow::into_owned).collect(),
                data: text(message.body()),
                helo: message.helo_name().unwrap_or_default().into_owned(),
            },
        }
    }
}

/// The header, and the body after the empty line.
fn divided(octets: &[u8]) -> (&[u8], &[u8]) {
    let at = |separator: &[u8]| memchr::memmem::find(octets, separator).map(|at| (at, separator.len()));
    match [at(b"\r\n\r\n"), at(b"\n\n")].into_iter().flatten().min() {
        Some((at, length)) => (&octets[..at], &octets[at + length..]),
        None => (octets, &[]),
    }
}

/// The fields of a header, unfolded and not decoded.
fn fields(header: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let mut last: Option<String> = None;
    for line in text(header).lines() {
        if line.starts_with([' ', '\t']) {
            let values = last.as_ref().and_then(|name| fields.get_mut(name));
            values.and_then(|values| values.last_mut()).into_iter().for_each(|value| value.push_str(line));
        } else if let Some((name, value)) = line.split_once(':') {
            fields.entry(name.to_owned()).or_default().push(value.trim().to_owned());
            last = Some(name.to_owned());
        }
    }
    fields
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
