//! The record of one session or one mail transaction, for tests.

mod charset;
mod encoded_word;
mod header;
mod inbox;
#[cfg(feature = "mime")]
mod mail;
mod preview;
#[cfg(test)]
pub(crate) mod sample;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local};

use crate::records::Endpoint;
use crate::smtp::{self, Record, RecordId, ServerTag, Unsent};
use crate::text::escape::escape;
use crate::tls::TlsSession;

/// One mail with its dialogue: requests and replies from HELO to the end of the message; or that of a whole session,
/// see [`RecordMode`](smtp::RecordMode).
///
/// The getters up to [`is_consistent`](Self::is_consistent) are go-smtp-mock's, under their snake_case
/// names. Texts that are not UTF-8 are shown with replacement characters; [`record`](Self::record) has
/// the bytes. Copies share the message text.
///
/// ```
/// use std::time::Duration;
/// use smtpmock::{Config, Server};
///
/// let server = Server::start(Config::default())?;
/// // … let the code under test send to server.local_addr()
/// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
/// # std::io::Write::write_all(&mut client, b"HELO a.example\r\nMAIL FROM:<ann@example.com>\r\n\
/// #     RCPT TO:<bob@example.com>\r\nDATA\r\nSubject: =?utf-8?Q?Gr=C3=B6=C3=9Fe?=\r\n\r\nHello, Bob!\r\n.\r\n")?;
/// let messages = server.wait_for_messages(1, Duration::from_secs(5))?;
/// let [message] = &messages[..] else { panic!("one mail, not {messages:?}") };
/// assert_eq!(message.reverse_path().as_deref(), Some("ann@example.com"));
/// assert_eq!(message.forward_paths(), ["bob@example.com"]);
/// assert_eq!(message.subject().as_deref(), Some("Größe"));
/// assert!(message.msg_request().ends_with("Hello, Bob!\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Message {
    pub(crate) record: Record,
    pub(crate) server: ServerTag,
    pub(crate) session_id: u64,
    pub(crate) peer_addr: Endpoint,
    pub(crate) local_addr: Endpoint,
    pub(crate) proxied: Option<Arc<Proxied>>,
    pub(crate) protocol: smtp::Protocol,
    /// The inbox of its listener.
    pub(crate) inbox: Option<Arc<str>>,
    pub(crate) tls: Option<Arc<TlsSession>>,
    pub(crate) connected_at: SystemTime,
    /// The connection's accept time, since the server started.
    pub(crate) connected: Duration,
    pub(crate) accepted_at: Option<SystemTime>,
}

/// A client named by a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxied {
    pub(crate) proxy: Endpoint,
    pub(crate) client: smtp::ClientAttributes,
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn response(exchange: &smtp::Exchange) -> Cow<'_, str> {
    text(exchange.response_text())
}

/// Non-empty fields, as bounded text for failed assertions.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            record,
            server: _,
            session_id: _,
            peer_addr,
            local_addr,
            proxied,
            protocol: _,
            inbox: _,
            tls,
            connected_at,
            connected: _,
            accepted_at,
        } = self;
        let mut shown = f.debug_struct("Message");
        shown.field("id", &self.id());
        shown.field("peer_addr", &format_args!("{peer_addr}"));
        shown.field("local_addr", &format_args!("{local_addr}"));
        if let Some(Proxied { proxy, .. }) = proxied.as_deref() {
            shown.field("proxy_addr", &format_args!("{proxy}"));
        }
        if let Some(TlsSession { version, cipher_suite, client, .. }) = tls.as_deref() {
            shown.field("tls", &format_args!("{version} {cipher_suite}"));
            if let Some(client) = client {
                shown.field("tls_client_subject", &client.subject());
            }
        }
        shown.field("connected_at", &DateTime::<Local>::from(*connected_at));
        if let Some(accepted_at) = accepted_at {
            shown.field("accepted_at", &DateTime::<Local>::from(*accepted_at));
        }
        record.show_in(&mut shown);
        shown.finish()
    }
}

impl Message {
    /// The HELO or EHLO line.
    pub fn helo_request(&self) -> Cow<'_, str> {
        text(&self.record.helo_exchange.request)
    }

    /// The reply to it.
    pub fn helo_response(&self) -> Cow<'_, str> {
        response(&self.record.helo_exchange)
    }

    /// HELO was accepted.
    pub fn helo(&self) -> bool {
        self.record.helo
    }

    /// The MAIL line.
    pub fn mailfrom_request(&self) -> Cow<'_, str> {
        text(&self.record.mailfrom_exchange.request)
    }

    /// The reply to it.
    pub fn mailfrom_response(&self) -> Cow<'_, str> {
        response(&self.record.mailfrom_exchange)
    }

    /// MAIL was accepted.
    pub fn mailfrom(&self) -> bool {
        self.record.mailfrom
    }

    /// Each RCPT line and the reply to it; with [`RecordMode::Session`](smtp::RecordMode::Session) and without
    /// `multiple_rcptto` only the last.
    pub fn rcptto_request_response(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        let pairs = self.record.rcptto_exchanges.iter();
        pairs.map(|exchange| (text(&exchange.request), response(exchange))).collect()
    }

    /// A RCPT was accepted; with [`RecordMode::Session`](smtp::RecordMode::Session) and without `multiple_rcptto` the
    /// last.
    pub fn rcptto(&self) -> bool {
        self.record.rcptto
    }

    /// The DATA line.
    pub fn data_request(&self) -> Cow<'_, str> {
        text(&self.record.data_exchange.request)
    }

    /// The reply to it.
    pub fn data_response(&self) -> Cow<'_, str> {
        response(&self.record.data_exchange)
    }

    /// DATA was accepted.
    pub fn data(&self) -> bool {
        self.record.data
    }

    /// The message text: dots unstuffed, line ends as received. [`body`](Self::body) has its bytes.
    pub fn msg_request(&self) -> Cow<'_, str> {
        text(self.record.msg_text())
    }

    /// The reply to the message; empty if none was sent whole. In LMTP the first that accepts the message, otherwise
    /// the last: see [`recipient_responses`](Self::recipient_responses).
    pub fn msg_response(&self) -> Cow<'_, str> {
        text(self.record.msg_response.as_ref().map_or(b"", smtp::Reply::text))
    }

    /// The message was accepted: its positive reply was written whole, or is queued.
    pub fn msg(&self) -> bool {
        self.record.msg
    }

    /// The RSET line that abandoned the mail; with [`RecordMode::Session`](smtp::RecordMode::Session) the last RSET.
    pub fn rset_request(&self) -> Cow<'_, str> {
        text(&self.record.rset_exchange.request)
    }

    /// The reply to it.
    pub fn rset_response(&self) -> Cow<'_, str> {
        response(&self.record.rset_exchange)
    }

    /// RSET was accepted.
    pub fn rset(&self) -> bool {
        self.record.rset
    }

    /// NOOP was received in the mail transaction; with [`RecordMode::Session`](smtp::RecordMode::Session) also after
    /// it.
    pub fn noop(&self) -> bool {
        self.record.noop
    }

    /// QUIT was received before the mail was complete; with [`RecordMode::Session`](smtp::RecordMode::Session) also
    /// after it.
    pub fn quit_sent(&self) -> bool {
        self.record.quit_sent
    }

    /// A whole message was accepted: MAIL, RCPT, DATA and the message text.
    pub fn is_consistent(&self) -> bool {
        self.record.is_consistent()
    }

    /// Every request and response as bytes.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The message text as bytes: dots unstuffed, otherwise unchanged.
    pub fn body(&self) -> &[u8] {
        self.record.msg_text()
    }

    /// Value of the first header field of this name, ignoring case; `None` if absent. It is unfolded (RFC 5322 section
    /// 2.2.3) and trimmed, and encoded words (RFC 2047) are decoded if their charset is UTF-8, US-ASCII, ISO-8859-1 or
    /// Windows-1252.
    pub fn header(&self, name: &str) -> Option<String> {
        header::field(self.body(), name)
    }

    /// The subject, decoded like [`header`](Self::header).
    pub fn subject(&self) -> Option<String> {
        self.header("Subject")
    }

    /// The name in the accepted HELO or EHLO; `None` before it.
    pub fn helo_name(&self) -> Option<Cow<'_, str>> {
        self.record.helo_exchange.name().filter(|_| self.record.helo).map(text)
    }

    /// The accepted sender, without angle brackets; empty for the null reverse-path `<>`, `None` before
    /// an accepted MAIL.
    pub fn reverse_path(&self) -> Option<Cow<'_, str>> {
        self.record.mailfrom_exchange.name().filter(|_| self.record.mailfrom).map(text)
    }

    /// The accepted recipients, without angle brackets, in order.
    pub fn forward_paths(&self) -> Vec<Cow<'_, str>> {
        let accepted = self.record.rcptto_exchanges.iter().filter(|exchange| exchange.is_accepted());
        accepted.filter_map(|exchange| exchange.name().map(text)).collect()
    }

    /// The recipients for whom the message was accepted, without angle brackets, in order: in LMTP those whose own
    /// reply accepted it, in SMTP all [accepted ones](Self::forward_paths) of an accepted message.
    pub fn delivered_to(&self) -> Vec<Cow<'_, str>> {
        self.deliveries().filter_map(|rcpt| rcpt.name().map(text)).collect()
    }

    /// The RCPTs of these recipients.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &smtp::Exchange> {
        let own = self.record.deliveries().filter(|delivery| delivery.accepted);
        let is_for_all = self.protocol != smtp::Protocol::Lmtp && self.record.msg;
        let all = self.record.rcptto_exchanges.iter().filter(move |rcpt| is_for_all && rcpt.is_accepted());
        own.map(|delivery| delivery.recipient).chain(all.map(AsRef::as_ref))
    }

    /// In LMTP each accepted recipient, without angle brackets, and the reply to the message for it (RFC 2033 section
    /// 4.2), which is empty if it was not sent whole. Recipients that were not answered before the end of the session
    /// are omitted. Empty in SMTP, where [`msg_response`](Self::msg_response) is for all recipients.
    ///
    /// ```
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(
    ///     Config::default()
    ///         .listen("lmtp://127.0.0.1")
    ///         .rule("message to=full@* reply=\"452 4.2.2 Mailbox full\"".parse()?),
    /// )?;
    /// // … let the code under test send to server.local_addr()
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # std::io::Write::write_all(&mut client, b"LHLO a.example\r\nMAIL FROM:<ann@example.com>\r\n\
    /// #     RCPT TO:<bob@example.com>\r\nRCPT TO:<full@example.com>\r\nDATA\r\nHello\r\n.\r\n")?;
    /// let message = &server.wait_for_messages(1, Duration::from_secs(5))?[0];
    /// assert_eq!(message.forward_paths(), ["bob@example.com", "full@example.com"]);
    /// assert_eq!(message.delivered_to(), ["bob@example.com"]);
    /// let (recipient, response) = &message.recipient_responses()[1];
    /// assert_eq!((&**recipient, &**response), ("full@example.com", "452 4.2.2 Mailbox full"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recipient_responses(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        let pairs =
            self.record.deliveries().map(|smtp::RecipientResponse { recipient, response, .. }| {
                (recipient.name().unwrap_or_default(), response.map_or(&b""[..], smtp::Reply::text))
            });
        pairs.map(|(recipient, response)| (text(recipient), text(response))).collect()
    }

    /// The protocol of its session.
    pub fn protocol(&self) -> smtp::Protocol {
        self.protocol
    }

    /// The result of the TLS handshake; `None` if the mail was sent in clear.
    pub fn tls(&self) -> Option<&TlsSession> {
        self.tls.as_deref()
    }

    /// The parameters of the accepted MAIL; empty before it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server, smtp::{Body, Notify}};
    ///
    /// let server = Server::start(Config::default().esmtp())?;
    /// // … let the code under test send to server.local_addr()
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # std::io::Write::write_all(&mut client, b"EHLO a.example\r\n\
    /// #     MAIL FROM:<ann@example.com> BODY=8BITMIME ENVID=QQ+2B1\r\n\
    /// #     RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY\r\nDATA\r\nHello\r\n.\r\n")?;
    /// let message = &server.wait_for_messages(1, Duration::from_secs(5))?[0];
    /// assert_eq!(message.mail_parameters().body(), Some(Body::EightBitMime));
    /// assert_eq!(message.mail_parameters().envid().as_deref(), Some(&b"QQ+1"[..]));
    /// let bob = message.rcpt_parameters()[0];
    /// assert_eq!(bob.notify(), Some(Notify { success: true, delay: true, failure: false }));
    /// assert_eq!(bob.value("NOTIFY"), Some(&b"SUCCESS,DELAY"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mail_parameters(&self) -> smtp::Parameters<'_> {
        match self.record.mailfrom {
            true => self.record.mailfrom_exchange.parameters(),
            false => smtp::Parameters::default(),
        }
    }

    /// The parameters of each accepted recipient, in the order of [`forward_paths`](Self::forward_paths).
    pub fn rcpt_parameters(&self) -> Vec<smtp::Parameters<'_>> {
        let accepted = self.record.rcptto_exchanges.iter();
        let accepted = accepted.filter(|exchange| exchange.is_accepted() && exchange.name().is_some());
        accepted.map(|exchange| exchange.parameters()).collect()
    }

    /// The user that the client has authenticated as (RFC 4954), or that a [trusted](crate::Config::trust) peer has
    /// named by XCLIENT; `None` without one.
    pub fn auth_user(&self) -> Option<Cow<'_, str>> {
        self.record.auth.as_deref().map(|auth| text(auth.user()))
    }

    /// The mechanism by which the client has authenticated; `None` if it has not.
    pub fn auth_mechanism(&self) -> Option<smtp::auth::Mechanism> {
        self.record.auth.as_deref().and_then(smtp::Authentication::mechanism)
    }

    /// The unique id of this record. A reply text can contain it as `{{id}}`, and under Extended SMTP the acceptance
    /// does, so that a record can be found by a sender's log.
    ///
    /// ```
    /// # use std::io::Write;
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(Config::default().esmtp())?;
    /// // … let the code under test send to server.local_addr()
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # client.write_all(b"EHLO a.example\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n\
    /// #     DATA\r\nHello\r\n.\r\n")?;
    /// let message = &server.wait_for_messages(1, Duration::from_secs(5))?[0];
    /// assert_eq!(message.msg_response(), format!("250 2.0.0 Ok: queued as {}", message.id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn id(&self) -> RecordId {
        RecordId { server: self.server, session: self.session_id, transaction: self.record.transaction }
    }

    /// Number of the session, in the order of connection, from 1.
    pub fn session_id(&self) -> u64 {
        self.session_id
    }

    /// The client's address: that of the connection, or the one that a [trusted](crate::Config::trust) proxy has named.
    pub fn peer_addr(&self) -> &Endpoint {
        &self.peer_addr
    }

    /// The address that the client connected to, as known to the server or named by a proxy.
    pub fn local_addr(&self) -> &Endpoint {
        &self.local_addr
    }

    /// The proxy's address, if a proxy has named the [client's](Self::peer_addr).
    pub fn proxy_addr(&self) -> Option<&Endpoint> {
        self.proxied.as_deref().map(|proxied| &proxied.proxy)
    }

    /// The attributes by which XCLIENT has named the client; `None` without XCLIENT.
    pub fn client(&self) -> Option<&smtp::ClientAttributes> {
        let client = self.proxied.as_deref().map(|proxied| &proxied.client);
        client.filter(|client| **client != smtp::ClientAttributes::default())
    }

    /// When the client connected.
    pub fn connected_at(&self) -> SystemTime {
        self.connected_at
    }

    /// When the reply of one of its exchanges was decided, before its delay; `None` without a reply.
    pub fn time_of(&self, exchange: &smtp::Exchange) -> Option<SystemTime> {
        exchange.decided().map(|decided| self.wall_time(decided))
    }

    /// When the reply to the message was decided, before its delay; `None` without a reply.
    pub fn time_of_message(&self) -> Option<SystemTime> {
        self.record.msg_decided().map(|decided| self.wall_time(decided))
    }

    fn wall_time(&self, since_start: Duration) -> SystemTime {
        self.connected_at + since_start.saturating_sub(self.connected)
    }

    /// When the message was accepted; `None` if it was not.
    pub fn accepted_at(&self) -> Option<SystemTime> {
        self.accepted_at
    }

    /// When the message was accepted, or else its session began.
    pub(crate) fn arrived_at(&self) -> SystemTime {
        self.accepted_at.unwrap_or(self.connected_at)
    }

    /// The message as in a mailbox: `Return-Path:` and `Received:` (RFC 5321 section 4.4), then the text as received.
    /// Empty unless the message was accepted.
    pub fn content(&self) -> Vec<u8> {
        if !self.record.msg {
            return Vec::new();
        }
        let mut content = self.trace_header().into_bytes();
        content.extend_from_slice(self.body());
        content
    }

    /// The first lines of its first text part; `None` without one.
    pub(crate) fn preview(&self) -> Option<preview::Preview> {
        preview::of(self.body())
    }

    /// Bytes of memory that it uses, including its own fields.
    pub(crate) fn memory(&self) -> usize {
        let proxied =
            self.proxied.as_deref().map_or(0, |proxied| size_of_val(proxied) + proxied.client.memory());
        size_of::<Self>() - size_of::<Record>() + self.record.memory() + proxied
    }

    /// Removes replies that were not sent whole.
    pub(crate) fn withdraw(&mut self, unsent: &Unsent) {
        self.record.withdraw(unsent);
        self.accepted_at = self.accepted_at.filter(|_| self.record.msg);
    }

    pub(crate) fn without_text(mut self) -> Self {
        self.record.msg_request = None;
        self
    }

    /// `ESMTP` with EHLO, `SMTP` with HELO, or `LMTP`; followed by `S` within TLS, and by `A` if the client has
    /// authenticated (RFC 3848).
    pub(crate) fn with_protocol(&self) -> &'static str {
        match (self.protocol, self.tls.is_some(), self.record.auth.is_some()) {
            (smtp::Protocol::Lmtp, false, false) => "LMTP",
            (smtp::Protocol::Lmtp, false, true) => "LMTPA",
            (smtp::Protocol::Lmtp, true, false) => "LMTPS",
            (smtp::Protocol::Lmtp, true, true) => "LMTPSA",
            (_, false, true) => "ESMTPA",
            (_, true, true) => "ESMTPSA",
            (_, true, false) if self.record.ehlo => "ESMTPS",
            _ if self.record.ehlo => "ESMTP",
            _ => "SMTP",
        }
    }

    pub(crate) fn trace_header(&self) -> String {
        // With AddressRules::Any these may be any text; the header must be valid.
        let reverse_path = self.reverse_path().unwrap_or_default();
        let reverse_path = escape(&reverse_path);
        let peer = tcp_info(&self.peer_addr);
        let helo = self.record.helo_exchange.name().filter(|name| smtp::HeloName::is_name(name));
        let helo = helo.map_or(if self.peer_addr.ip().is_some() { &peer } else { "localhost" }.into(), text);
        let forward_paths = self.delivered_to();
        // RFC 5321 section 4.4 allows one path in the FOR clause, and section 7.6 warns against more.
        let for_clause = match forward_paths.as_slice() {
            [only] => format!("\r\n\tfor <{}>", escape(only)),
            _ => String::new(),
        };
        let date = DateTime::<Local>::from(self.accepted_at.unwrap_or(self.connected_at));
        format!(
            "Return-Path: <{reverse_path}>\r\n\
             Received: from {helo} ({peer})\r\n\tby smtpmock ({local}) with {with} id {id}{for_clause};\r\n\t\
             {date}\r\n",
            local = tcp_info(&self.local_addr),
            with = self.with_protocol(),
            id = self.id(),
            date = date.to_rfc2822(),
        )
    }
}

/// An endpoint in parentheses in a trace header: an address literal (RFC 5321 section 4.1.3), `[192.0.2.1]` or
/// `[IPv6:2001:db8::1]`; for a Unix socket, which has no such form, a comment.
fn tcp_info(endpoint: &Endpoint) -> String {
    match endpoint.ip() {
        Some(IpAddr::V4(ip)) => format!("[{ip}]"),
        Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        None => "unix socket".to_owned(),
    }
}
