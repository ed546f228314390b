//! Messages as JSON. `openapi.json` documents the fields.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Serialize;

use super::html::view_of;
use crate::http::Plane;
use crate::http::reply::fitting;
use crate::mime::{Mail, Mailbox, Part};
use crate::records::Message;
use crate::records::store::Shown;
use crate::search::Index;
use crate::smtp::{Exchange, Parameters, Reply};
use crate::text::timestamp;
use crate::tls::TlsSession;

/// A message in a list.
#[derive(Serialize)]
pub(super) struct Summary {
    id: String,
    session: u64,
    accepted: bool,
    accepted_at: Option<String>,
    connected_at: String,
    protocol: &'static str,
    peer_addr: String,
    user: Option<String>,
    inboxes: Vec<String>,
    tls: Option<Tls>,
    envelope: Envelope,
    from: Vec<Address>,
    to: Vec<Address>,
    cc: Vec<Address>,
    bcc: Vec<Address>,
    reply_to: Vec<Address>,
    subject: Option<String>,
    message_id: Option<String>,
    size: usize,
    attachments: usize,
    snippet: String,
}

#[derive(Serialize)]
pub(super) struct Tls {
    version: String,
    cipher_suite: String,
    server_name: Option<String>,
    resumed: bool,
}

impl From<&TlsSession> for Tls {
    fn from(tls: &TlsSession) -> Self {
        Self {
            version: tls.version().to_string(),
            cipher_suite: tls.cipher_suite().to_owned(),
            server_name: tls.server_name().map(str::to_owned),
            resumed: tls.is_resumed(),
        }
    }
}

#[derive(Serialize)]
struct Envelope {
    helo: Option<String>,
    /// `None` before an accepted MAIL; empty for the null reverse-path.
    from: Option<String>,
    parameters: Vec<Parameter>,
    to: Vec<Recipient>,
}

#[derive(Serialize)]
struct Recipient {
    address: String,
    parameters: Vec<Parameter>,
    accepted: bool,
    reply: String,
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    value: Option<String>,
}

#[derive(Serialize)]
struct Address {
    name: Option<String>,
    address: String,
}

/// A message with its envelope, header fields, parts and dialogue.
#[derive(Serialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    summary: Summary,
    local_addr: String,
    proxy_addr: Option<String>,
    mechanism: Option<&'static str>,
    date: Option<String>,
    headers: Vec<Field>,
    text: Option<String>,
    html: Option<String>,
    /// Where a frame shows it.
    html_view: Option<String>,
    parts: Vec<PartView>,
    dialogue: Vec<Turn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct PartView {
    number: usize,
    content_type: String,
    charset: Option<String>,
    name: Option<String>,
    kind: &'static str,
    content_id: Option<String>,
    size: usize,
}

#[derive(Serialize)]
struct Turn {
    stage: &'static str,
    /// When the reply was decided, before its delay.
    at: Option<String>,
    request: String,
    reply: Option<String>,
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn addresses(mailboxes: &[Mailbox]) -> Vec<Address> {
    mailboxes
        .iter()
        .map(|Mailbox { name, address }| Address { name: name.clone(), address: address.clone() })
        .collect()
}

fn parameters(of: Parameters<'_>) -> Vec<Parameter> {
    of.iter().map(|one| Parameter { name: text(one.keyword), value: one.value.map(text) }).collect()
}

impl Summary {
    pub(super) fn of(shown: &Shown, plane: &Plane) -> Self {
        Self::indexed(&shown.message, &plane.indexes.index(shown))
    }

    fn indexed(message: &Message, Index { head, .. }: &Index) -> Self {
        Self {
            id: message.id().to_string(),
            session: message.session_id(),
            accepted: message.msg(),
            accepted_at: message.accepted_at().map(timestamp),
            connected_at: timestamp(message.connected_at()),
            protocol: message.protocol().name(),
            peer_addr: message.peer_addr().to_string(),
            user: message.auth_user().map(Cow::into_owned),
            inboxes: message.inboxes(),
            tls: message.tls().map(Tls::from),
            envelope: Envelope {
                helo: message.helo_name().map(Cow::into_owned),
                from: message.reverse_path().map(Cow::into_owned),
                parameters: parameters(message.mail_parameters()),
                to: message.record().rcptto_exchanges.iter().map(|rcpt| recipient(rcpt)).collect(),
            },
            from: addresses(&head.from),
            to: addresses(&head.to),
            cc: addresses(&head.cc),
            bcc: addresses(&head.bcc),
            reply_to: addresses(&head.reply_to),
            subject: head.subject.clone(),
            message_id: head.message_id.clone(),
            size: message.record().msg_size,
            attachments: head.attachments,
            snippet: head.snippet.clone(),
        }
    }
}

fn recipient(rcpt: &Exchange) -> Recipient {
    Recipient {
        address: text(rcpt.name().unwrap_or_default()),
        parameters: parameters(rcpt.parameters()),
        accepted: rcpt.is_accepted(),
        reply: text(rcpt.response_text()),
    }
}

impl Detail {
    pub(super) fn of(shown: &Shown, plane: &Plane, has_raw: bool) -> Self {
        let message = &shown.message;
        let mail = Mail::parse(message.body());
        Self {
            summary: Summary::indexed(message, &plane.indexes.index_of(shown, || &mail)),
            local_addr: message.local_addr().to_string(),
            proxy_addr: message.proxy_addr().map(ToString::to_string),
            mechanism: message.auth_mechanism().map(crate::smtp::auth::Mechanism::name),
            date: mail.date,
            headers: mail.headers.into_iter().map(|(name, value)| Field { name, value }).collect(),
            text: mail.text,
            html_view: mail.html.is_some().then(|| view_of(message, plane)),
            html: mail.html,
            parts: mail.parts.into_iter().map(PartView::from).collect(),
            dialogue: dialogue(message),
            raw_base64: has_raw.then(|| BASE64.encode(message.body())),
        }
    }
}

impl From<Part> for PartView {
    fn from(Part { number, content_type, charset, name, kind, content_id, size }: Part) -> Self {
        Self { number, content_type, charset, name, kind: kind.name(), content_id, size }
    }
}

/// The commands that belong to the message, and the replies to them.
fn dialogue(message: &Message) -> Vec<Turn> {
    let record = message.record();
    let turn = |stage, exchange: &Exchange| Turn {
        stage,
        at: message.time_of(exchange).map(timestamp),
        request: text(&exchange.request),
        reply: exchange.response.as_ref().map(|reply| text(reply.text())),
    };
    let mut turns = vec![turn("helo", &record.helo_exchange)];
    turns.extend(record.auth.as_ref().map(|auth| turn("auth", &auth.exchange)));
    turns.push(turn("mail", &record.mailfrom_exchange));
    turns.extend(record.rcptto_exchanges.iter().map(|rcpt| turn("rcpt", rcpt)));
    turns.push(turn("data", &record.data_exchange));
    let end = |reply: Option<&Reply>| Turn {
        stage: "message",
        at: message.time_of_message().map(timestamp),
        request: ".".to_owned(),
        reply: reply.map(|reply| text(reply.text())),
    };
    match record.deliveries().next() {
        Some(_) => turns.extend(record.deliveries().map(|delivery| end(delivery.response))),
        None => turns.extend(record.msg_response.as_ref().map(|reply| end(Some(reply)))),
    }
    turns.push(turn("rset", &record.rset_exchange));
    turns.retain(|turn| !turn.request.is_empty());
    turns
}

/// Summaries of these messages, as many as fit.
pub(super) fn summaries<'s>(records: impl Iterator<Item = &'s Shown>, plane: &Plane) -> Vec<Summary> {
    fitting(records.map(|shown| Summary::of(shown, plane)))
}

/// Details of these messages, as many as fit.
pub(super) fn details<'s>(
    records: impl Iterator<Item = &'s Shown>,
    plane: &Plane,
    has_raw: bool,
) -> Vec<Detail> {
    fitting(records.map(|shown| Detail::of(shown, plane, has_raw)))
}
