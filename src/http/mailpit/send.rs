//! `POST /api/v1/send`: files a message without an SMTP client. It has a session of its own, to which no rule or limit of the
//! server applies, and is in no figure, capture or log.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use chrono::{DateTime, Utc};
use hyper::header::AUTHORIZATION;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::http::Plane;
use crate::http::call::Call;
use crate::http::document;
use crate::http::facade::FacadeId;
use crate::http::mailpit::marks::{is_tag, tidied};
use crate::http::reply::{Refusal, Reply, json, json_as};
use crate::http::route::Route;
use crate::records::{Endpoint, Message};
use crate::smtp::auth::{Auth, Credential};
use crate::smtp::rules::Environment;
use crate::smtp::{AddressRules, Esmtp, Policy, Protocol, Record, RecordId, Session};
use crate::time::wall_time;

pub(super) const ROUTES: &[Route] =
    &[Route::with_body(Method::POST, "/api/v1/send", BODY, |call| Box::pin(send(call)))];

/// Octets of the body.
const BODY: usize = 25 << 20;
/// Recipients of one message.
const MOST_RECIPIENTS: usize = 1000;
/// Octets of the text of an encoded word: with its delimiters it is shorter than 75 (RFC 2047 section 2).
const WORD: usize = 45;
/// Fields that are derived from others, in addition to those of MIME, which begin with `Content-`.
const OWN_FIELDS: &[&str] = &["to", "from", "cc", "bcc", "reply-to", "date", "subject", "mime-version"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Draft {
    from: Person,
    #[serde(default)]
    to: Vec<Person>,
    #[serde(default)]
    cc: Vec<Person>,
    #[serde(default)]
    bcc: Vec<String>,
    #[serde(default)]
    reply_to: Vec<Person>,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    text: String,
    #[serde(default, rename = "HTML")]
    html: String,
    #[serde(default)]
    attachments: Vec<File>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Person {
    #[serde(default)]
    name: String,
    email: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct File {
    /// In base64.
    content: String,
    filename: String,
    #[serde(default)]
    content_type: String,
    /// If present, the attachment is shown within the text.
    #[serde(default, rename = "ContentID")]
    content_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    error: String,
}

#[derive(Serialize)]
struct Sent {
    #[serde(rename = "ID")]
    id: String,
}

fn wrong(error: impl Into<String>) -> Refusal {
    json_as(StatusCode::BAD_REQUEST, &Fault { error: error.into() }).into()
}

async fn send(mut call: Call) -> Result<Reply, Refusal> {
    let draft = call.read(document::read::<Draft>).await?.map_err(|misfit| wrong(misfit.to_string()))?;
    let user = user_of(&call);
    let plane = Arc::clone(&call.plane);
    let work = move || {
        draft.check()?;
        let id = plane.mailpit.next_id();
        let now = wall_time();
        let text = draft.written(id, now)?;
        let record = draft.record(id, &text, user.as_deref())?;
        file(&plane, id, record, now);
        let tags = tidied(draft.tags.iter().cloned());
        if !tags.is_empty()
            && let Some(shown) = plane.store.find(id)
        {
            plane.mailpit.marks.change(&shown.message, |mark| mark.tags = tags.into());
        }
        Ok(json(&Sent { id: FacadeId(id).to_string() }))
    };
    call.plane.desk.look(work).await?
}

/// The user of Basic authentication, which the record names.
fn user_of(call: &Call) -> Option<String> {
    let given = call.head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let pair = BASE64.decode(given.strip_prefix("Basic ")?.trim()).ok()?;
    let (user, _) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    (!user.is_empty() && !user.contains(char::is_control)).then(|| user.to_owned())
}

fn file(plane: &Plane, id: RecordId, record: Record, now: SystemTime) {
    let nowhere = Endpoint::Inet(([0, 0, 0, 0], 0).into());
    let message = Message {
        record,
        server: id.server,
        session_id: id.session,
        peer_addr: nowhere.clone(),
        local_addr: nowhere,
        proxied: None,
        protocol: Protocol::Smtp,
        inbox: None,
        tls: None,
        connected_at: now,
        connected: Duration::ZERO,
        accepted_at: Some(now),
    };
    plane.store.finish(0, None, message, true);
}

impl Draft {
    fn check(&self) -> Result<(), Refusal> {
        let people = || self.to.iter().chain(&self.cc).map(|of| of.email.as_str());
        if people().count() + self.bcc.len() > MOST_RECIPIENTS {
            return Err(wrong(format!("there are more than {MOST_RECIPIENTS} recipients")));
        }
        let addresses = people().chain(self.bcc.iter().map(String::as_str));
        let addresses = addresses.chain(self.reply_to.iter().map(|of| of.email.as_str()));
        for address in std::iter::once(self.from.email.as_str()).chain(addresses) {
            let is_address = address.contains('@')
                && !address.contains(|c: char| c.is_control() || c.is_whitespace() || "<>".contains(c));
            if !is_address {
                return Err(wrong(format!("{address:?} is no address")));
            }
        }
        for (name, value) in &self.headers {
            let is_name =
                !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
            if !is_name || value.contains(|c: char| c.is_control() && c != '\t') {
                return Err(wrong(format!(
                    "{name:?} is no field of a header, or its value has control characters or several lines"
                )));
            }
            let is_own = OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name))
                || name.to_ascii_lowercase().starts_with("content-");
            if is_own || (name.eq_ignore_ascii_case("X-Tags") && !self.tags.is_empty()) {
                return Err(wrong(format!("the field {name} is made of others")));
            }
        }
        match self.tags.iter().find(|tag| !is_tag(tag)) {
            Some(tag) => Err(wrong(format!("{tag:?} is no tag"))),
            None => Ok(()),
        }
    }

    /// The message, with lines of less than 78 octets, except in the given fields.
    fn written(&self, id: RecordId, now: SystemTime) -> Result<String, Refusal> {
        let id = FacadeId(id);
        let mut text = format!("From: {}\r\n", listed(std::slice::from_ref(&self.from)));
        for (name, people) in [("To", &self.to), ("Cc", &self.cc), ("Reply-To", &self.reply_to)] {
            if !people.is_empty() {
                let _ = write!(text, "{name}: {}\r\n", listed(people));
            }
        }
        let date = DateTime::<Utc>::from(now).to_rfc2822();
        let _ = write!(text, "Subject: {}\r\nDate: {date}\r\n", words(&self.subject));
        if !self.headers.keys().any(|name| name.eq_ignore_ascii_case("Message-ID")) {
            let _ = write!(text, "Message-ID: <{id}@smtpmock>\r\n");
        }
        for (name, value) in &self.headers {
            let value = if value.is_ascii() { value.clone() } else { words(value) };
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text += "MIME-Version: 1.0\r\n";
        let html = || encoded("text/html; charset=utf-8", "", self.html.as_bytes());
        let plain = || encoded("text/plain; charset=utf-8", "", self.text.as_bytes());
        let body = match (self.text.is_empty(), self.html.is_empty()) {
            (false, false) => multipart("alternative", &format!("a{id}"), &[plain(), html()]),
            (true, false) => html(),
            _ => plain(),
        };
        if self.attachments.is_empty() {
            return Ok(text + &body);
        }
        let files = self.attachments.iter().map(File::written).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<_> = std::iter::once(body).chain(files).collect();
        Ok(text + &multipart("mixed", &format!("m{id}"), &all))
    }

    /// The record of a session in which this message is sent.
    fn record(&self, id: RecordId, text: &str, user: Option<&str>) -> Result<Record, Refusal> {
        let mut policy = Policy::default();
        policy.addresses = AddressRules::Lenient;
        policy.set_message_size_limit(2 * BODY);
        policy.set_max_recipients(MOST_RECIPIENTS);
        let mut input = "EHLO localhost\r\n".to_owned();
        let mut auth = Auth::default();
        if let Some(user) = user {
            auth.add(Credential::user(user, user));
            let _ = write!(input, "AUTH PLAIN {}\r\n", BASE64.encode(format!("\0{user}\0{user}")));
        }
        policy.set_esmtp(Some(Esmtp { auth, ..Esmtp::default() }));
        let is_ascii = self.people().chain([self.from.email.as_str()]).all(str::is_ascii);
        let parameter = if is_ascii { "" } else { " SMTPUTF8" };
        let _ = write!(input, "MAIL FROM:<{}>{parameter}\r\n", self.from.email);
        self.people().for_each(|to| _ = write!(input, "RCPT TO:<{to}>\r\n"));
        let text = format!("\r\n{text}").replace("\r\n.", "\r\n..");
        let _ = write!(input, "DATA{text}.\r\n");
        let mut environment = Environment::alone();
        let mut session = Session::new();
        session.greeting(&policy, &mut environment);
        let mut rest = input.as_bytes();
        while !rest.is_empty() {
            let mut progress = session.advance(&policy, &mut environment, rest);
            rest = &rest[progress.consumed..];
            if let Some(check) = progress.check.take() {
                progress = session.resume(&policy, &mut environment, check.run());
            }
            let Some(step) = progress.step else { continue };
            if step.reply.code().is_none_or(|code| code >= 400) {
                return Err(wrong(String::from_utf8_lossy(step.reply.text())));
            }
            if let crate::smtp::Filing::Finished(record) = step.filing {
                return Ok(Record { transaction: id.transaction, ..*record });
            }
        }
        Err(wrong("the message has no recipient"))
    }

    /// All recipients.
    fn people(&self) -> impl Iterator<Item = &str> {
        let named = self.to.iter().chain(&self.cc).map(|of| of.email.as_str());
        named.chain(self.bcc.iter().map(String::as_str))
    }
}

impl File {
    fn written(&self) -> Result<String, Refusal> {
        let Self { content, filename, content_type, content_id } = self;
        // A `data:` URL begins with its type.
        let content = match content.strip_prefix("data:").and_then(|url| url.split_once(',')) {
            Some((_, data)) => data,
            None => content,
        };
        let content: String = content.split_whitespace().collect();
        let octets = BASE64.decode(content).map_err(|_| wrong(format!("{filename:?} is not in base64")))?;
        let is_safe =
            |text: &str| text.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>\"\\".contains(&octet));
        if !is_safe(content_type) || !is_safe(content_id) {
            return Err(wrong(format!(
                "the type or the id of {filename:?} has other than visible characters"
            )));
        }
        let content_type = match content_type.as_str() {
            "" => guessed(&octets),
            given => given,
        };
        let name: String =
            filename.chars().map(|c| if c.is_control() || "\"\\".contains(c) { '_' } else { c }).collect();
        let name = if name.is_ascii() { name } else { words(&name) };
        let disposition = if content_id.is_empty() { "attachment" } else { "inline" };
        let mut fields = format!("Content-Disposition: {disposition}; filename=\"{name}\"\r\n");
        if !content_id.is_empty() {
            let _ = write!(fields, "Content-ID: <{content_id}>\r\n");
        }
        Ok(encoded(content_type, &fields, &octets))
    }
}

/// The type of common files, by their first octets.
fn guessed(octets: &[u8]) -> &'static str {
    let known: [(&[u8], &str); 5] = [
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"%PDF-", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
    ];
    let found =
        known.iter().find(|(magic, _)| octets.starts_with(magic)).map(|(_, content_type)| *content_type);
    let is_text = || std::str::from_utf8(octets).is_ok_and(|text| !text.contains('\0'));
    found.unwrap_or_else(|| if is_text() { "text/plain" } else { "application/octet-stream" })
}

/// An entity in base64, with these additional fields.
fn encoded(content_type: &str, fields: &str, octets: &[u8]) -> String {
    let mut entity =
        format!("Content-Type: {content_type}\r\n{fields}Content-Transfer-Encoding: base64\r\n\r\n");
    for line in BASE64.encode(octets).as_bytes().chunks(76) {
        entity.extend(line.iter().map(|letter| char::from(*letter)));
        entity += "\r\n";
    }
    entity
}

fn multipart(kind: &str, boundary: &str, parts: &[String]) -> String {
    let mut entity = format!("Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n");
    for part in parts {
        let _ = write!(entity, "--{boundary}\r\n{part}\r\n");
    }
    let _ = write!(entity, "--{boundary}--\r\n");
    entity
}

fn listed(people: &[Person]) -> String {
    let one = |Person { name, email }: &Person| match name.trim() {
        "" => email.clone(),
        name => format!("{} <{email}>", words(name)),
    };
    people.iter().map(one).collect::<Vec<_>>().join(",\r\n ")
}

/// A text as encoded words (RFC 2047), unless it is one word of letters and digits and spaces.
fn words(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.!?'".contains(c);
    if text.chars().all(is_plain) && text.len() < 900 {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for c in text.chars() {
        if words.last().is_some_and(|last| last.len() + c.len_utf8() > WORD) {
            words.push(String::new());
        }
        words.last_mut().into_iter().for_each(|last| last.push(c));
    }
    let words = words.iter().map(|word| format!("=?utf-8?b?{}?=", BASE64.encode(word)));
    words.collect::<Vec<_>>().join("\r\n ")
}
