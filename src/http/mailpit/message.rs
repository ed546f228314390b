//! `/api/v1/message/{id}` and `/view`: one message.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, LOCATION};
use serde::Serialize;

use crate::http::Plane;
use crate::http::call::Call;
use crate::http::desk::Asker;
use crate::http::download::{download, part_of};
use crate::http::facade::{FacadeId, find, newest};
use crate::http::mailpit::events::News;
use crate::http::mailpit::filter::Filter;
use crate::http::mailpit::summary::{Address, addresses, first};
use crate::http::mailpit::{TEXT, not_found, refusal};
use crate::http::markup::{Urls, for_a_frame, with_own_images, without_connections};
use crate::http::reply::{FITTING_OCTETS, Refusal, Reply, empty, json, of};
use crate::http::route::Route;
use crate::mime::{self, Mail, Part, PartKind};
use crate::records::Message;
use crate::records::store::Shown;
use crate::text::timestamp;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/message/{id}", |call| Box::pin(one(call))),
    Route::get("/api/v1/message/{id}/headers", |call| Box::pin(headers(call))),
    Route::get("/api/v1/message/{id}/raw", |call| Box::pin(raw(call))),
    Route::get("/api/v1/message/{id}/part/{n}", |call| Box::pin(part(call))),
    Route::get("/view/{file}", |call| Box::pin(view(call))),
];

/// Names the newest message, or the newest that `?query=` finds.
const LATEST: &str = "latest";

/// Allows styles and images of the mail only; no script runs, and the page has no origin.
const VIEW_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; \
    frame-ancestors 'self'; sandbox";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "MessageID")]
    message_id: String,
    /// Always true, since this request marks the message as read. An earlier Mailpit had this field, and a client in Python needs
    /// it.
    read: bool,
    from: Address,
    to: Vec<Address>,
    cc: Vec<Address>,
    bcc: Vec<Address>,
    reply_to: Vec<Address>,
    return_path: String,
    subject: String,
    list_unsubscribe: ListUnsubscribe,
    date: String,
    tags: Vec<String>,
    username: String,
    text: String,
    #[serde(rename = "HTML")]
    html: String,
    size: usize,
    inline: Vec<Attachment>,
    attachments: Vec<Attachment>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListUnsubscribe {
    header: String,
    links: Vec<String>,
    errors: String,
    header_post: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attachment {
    #[serde(rename = "PartID")]
    part_id: String,
    file_name: String,
    content_type: String,
    #[serde(rename = "ContentID")]
    content_id: String,
    size: usize,
    checksums: Checksums,
}

#[derive(Serialize)]
struct Checksums {
    #[serde(rename = "MD5")]
    md5: String,
    #[serde(rename = "SHA1")]
    sha1: String,
    #[serde(rename = "SHA256")]
    sha256: String,
}

/// Answers with a view of the message in the path. With `is_reading` the message is marked as read.
async fn look(
    call: Call,
    is_reading: bool,
    answer: impl FnOnce(&Shown, &Call) -> Result<Reply, Refusal> + Send + 'static,
) -> Result<Reply, Refusal> {
    let id = call.segments[0].clone();
    let filter = match call.parameters.lax("query") {
        Some(query) if id == LATEST => Some(Filter::parse(query)?),
        _ => None,
    };
    let searches = filter.is_some();
    let plane = Arc::clone(&call.plane);
    let work = move |asker: &Asker| {
        let plane = &call.plane;
        let shown = match filter {
            Some(filter) => filter.apply(plane, asker)?.chosen().next().map(|(shown, _)| shown.clone()),
            None if id == LATEST => newest(plane).into_iter().next(),
            None => find(&id, plane),
        };
        let Some(shown) = shown else {
            let text = if id == LATEST { "Message not found" } else { "404 page not found" };
            return Ok(Err(refusal(StatusCode::NOT_FOUND, text)));
        };
        if is_reading {
            let mut was_read = false;
            plane.mailpit.marks.change(&shown.message, |mark| {
                was_read = std::mem::replace(&mut mark.is_read, true);
            });
            if !was_read {
                plane.mailpit.note(News::Read(shown.message.id(), true));
            }
        }
        Ok(answer(&shown, &call))
    };
    plane.desk.search(searches, work).await?
}

async fn one(call: Call) -> Result<Reply, Refusal> {
    look(call, true, |shown, call| Ok(json(&Detail::of(shown, &call.plane)))).await
}

impl Detail {
    fn of(shown: &Shown, plane: &Plane) -> Self {
        let message = &*shown.message;
        let (mail, index) = (Mail::parse(message.body()), plane.indexes.index(shown));
        let mark = plane.mailpit.marks.of(message);
        let (mut inline, mut attachments) = (Vec::new(), Vec::new());
        mime::each_part(message.body(), |part, octets| match part.kind {
            PartKind::Inline => inline.push(Attachment::of(part, octets)),
            PartKind::Attachment => attachments.push(Attachment::of(part, octets)),
            PartKind::Text => {}
        });
        let came = || timestamp(message.arrived_at());
        Self {
            id: FacadeId(message.id()).to_string(),
            message_id: mail.message_id.clone().unwrap_or_default(),
            read: true,
            from: first(&mail.from),
            to: addresses(&mail.to),
            cc: addresses(&mail.cc),
            bcc: addresses(&index.head.bcc),
            reply_to: addresses(&mail.reply_to),
            return_path: message.reverse_path().unwrap_or_default().into_owned(),
            subject: mail.subject.clone().unwrap_or_default(),
            list_unsubscribe: ListUnsubscribe::of(&mail),
            date: mail.date.clone().unwrap_or_else(came),
            tags: mark.tags.to_vec(),
            username: message.auth_user().unwrap_or_default().into_owned(),
            text: mail.readable().unwrap_or_default(),
            html: mail.html.unwrap_or_default(),
            size: message.record().msg_size,
            inline,
            attachments,
        }
    }
}

impl ListUnsubscribe {
    /// RFC 2369: URLs in angle brackets, separated by commas.
    fn of(mail: &Mail) -> Self {
        let field = |name: &str| {
            let found = mail.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let header = field("List-Unsubscribe");
        let links = header.split(',').filter_map(|url| url.trim().strip_prefix('<')?.strip_suffix('>'));
        let links: Vec<_> = links.map(str::to_owned).collect();
        let is_wrong = links.is_empty() && !header.is_empty();
        let errors = if is_wrong { "no URL in angle brackets" } else { "" };
        Self { links, errors: errors.to_owned(), header_post: field("List-Unsubscribe-Post"), header }
    }
}

impl Attachment {
    fn of(part: Part, octets: &[u8]) -> Self {
        use sha2::Digest as _;
        let content_id = part.content_id.unwrap_or_default();
        Self {
            part_id: part.number.to_string(),
            file_name: part.name.unwrap_or_else(|| content_id.clone()),
            content_type: part.content_type,
            content_id,
            size: octets.len(),
            checksums: Checksums {
                md5: hex(&md5::Md5::digest(octets)),
                sha1: hex(&sha1::Sha1::digest(octets)),
                sha256: hex(&sha2::Sha256::digest(octets)),
            },
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut hex, octet| {
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

/// The message with the fields that Mailpit adds: `Return-Path`, `Received`, and `Bcc` with the recipients that are in no field.
fn stored(shown: &Shown, plane: &Plane) -> Vec<u8> {
    let Shown { message, .. } = shown;
    let index = plane.indexes.index(shown);
    let is_named = |(name, _): &(String, String)| name.eq_ignore_ascii_case("Bcc");
    let has_field = Mail::parse(message.body()).headers.iter().any(is_named);
    let mut octets = message.content();
    if message.session_id() == 0 {
        // It was not received by SMTP: without `Received`.
        let path = message.reverse_path().unwrap_or_default();
        octets = [format!("Return-Path: <{path}>\r\n").as_bytes(), message.body()].concat();
    }
    if !index.head.bcc.is_empty() && !has_field {
        let blind: Vec<_> = index.head.bcc.iter().map(|of| of.address.as_str()).collect();
        // They are from the envelope: without line ends.
        let field = format!("Bcc: {}\r\n", blind.join(",\r\n "));
        let place = octets.len() - message.body().len();
        octets.splice(place..place, field.into_bytes());
    }
    octets
}

async fn headers(call: Call) -> Result<Reply, Refusal> {
    look(call, false, |shown, call| {
        let mut fields = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in Mail::parse(&stored(shown, &call.plane)).headers {
            fields.entry(canonical(&name)).or_default().push(value);
        }
        Ok(json(&fields))
    })
    .await
}

/// `message-ID` as `Message-Id`.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect::<String>()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

async fn raw(call: Call) -> Result<Reply, Refusal> {
    look(call, false, |shown, call| {
        let reply = of(StatusCode::OK, TEXT, stored(shown, &call.plane));
        let name = format!("{}.eml", FacadeId(shown.message.id()));
        Ok(match call.parameters.lax("dl") {
            Some(_) => download(reply, Some(&name)),
            None => reply,
        })
    })
    .await
}

async fn part(call: Call) -> Result<Reply, Refusal> {
    look(call, false, |shown, call| part_of(&shown.message, &call.segments[1]).ok_or_else(not_found)).await
}

/// `/view/ID.html`, `/view/ID.txt`, and `/view/latest`, which redirects to the newest.
async fn view(mut call: Call) -> Result<Reply, Refusal> {
    let file = std::mem::take(&mut call.segments[0]);
    let (id, kind) = file.rsplit_once('.').unwrap_or((&file, ""));
    id.clone_into(&mut call.segments[0]);
    let answer = match kind {
        "html" => html,
        "txt" => text,
        _ => found,
    };
    look(call, !kind.is_empty(), answer).await
}

fn html(shown: &Shown, call: &Call) -> Result<Reply, Refusal> {
    let Mail { html, parts, .. } = Mail::parse(shown.message.body());
    let missing = || refusal(StatusCode::NOT_FOUND, "This message does not contain a HTML part");
    let urls = urls_of(&parts, &shown.message);
    let html = with_own_images(html.ok_or_else(missing)?, &urls, FITTING_OCTETS);
    let html = match call.parameters.lax("embed") {
        Some(_) => for_a_frame(&html),
        None => without_connections(&html),
    };
    let mut reply = of(StatusCode::OK, "text/html; charset=utf-8", html);
    reply.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(VIEW_POLICY));
    Ok(reply)
}

/// The URLs of the parts. Of two with the same id the first counts.
fn urls_of(parts: &[Part], message: &Message) -> Urls {
    let url = |part: &Part| {
        let url = format!("/api/v1/message/{}/part/{}", FacadeId(message.id()), part.number);
        part.content_id.clone().map(|id| (id, url))
    };
    parts.iter().rev().filter_map(url).collect()
}

fn text(shown: &Shown, _: &Call) -> Result<Reply, Refusal> {
    let text = Mail::parse(shown.message.body()).readable().unwrap_or_default();
    Ok(of(StatusCode::OK, TEXT, text))
}

/// Redirects to the view of a message: its HTML part, or its text without one.
fn found(shown: &Shown, _: &Call) -> Result<Reply, Refusal> {
    let kind = if Mail::parse(shown.message.body()).html.is_some() { "html" } else { "txt" };
    let mut reply = empty(StatusCode::FOUND);
    let location = format!("/view/{}.{kind}", FacadeId(shown.message.id()));
    reply.headers_mut().insert(LOCATION, HeaderValue::try_from(location).map_err(|_| not_found())?);
    Ok(reply)
}
