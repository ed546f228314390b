//! Extended SMTP as configured: what the server's own reply to EHLO offers.

use crate::smtp::auth::{Auth, Mechanism};
use crate::smtp::command::ATTRIBUTES;
use crate::smtp::policy::{MAX_RECIPIENTS, OwnReplies, Policy};
use crate::smtp::reply::{Reply, ReplyKind};
use crate::smtp::rules::{Extension, Offer};

/// The first line of the reply to EHLO, unless a text for HELO or EHLO is configured.
const GREETING: &[u8] = b"250 smtpmock greets you";

/// The acceptance of a message in sessions with enhanced status codes.
const ACCEPTANCE: &str = "250 2.0.0 Ok: queued as {{id}}";

/// The acceptance in other sessions with extensions.
const PLAIN_ACCEPTANCE: &str = "250 Ok: queued as {{id}}";

/// The reply to an unknown command: it lists the commands that the session can use. In SMTP without extensions that
/// yields exactly the default text.
const UNRECOGNIZED: &str = "502 Command unrecognized. Available commands: {{commands}}";

/// Replies whose default text lists commands.
const LISTING: &[ReplyKind] = &[ReplyKind::InvalidCommand, ReplyKind::InvalidRsetArgument];

/// What the server's own reply to EHLO offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Esmtp {
    /// The extensions; `None`: the default set.
    pub offer: Option<Offer>,
    /// Additional lines after them, without code and line end. They are sent, and count as offered, even if the server
    /// does not support them.
    pub lines: Vec<String>,
    /// Who may authenticate. AUTH is offered if anybody can.
    pub auth: Auth,
    /// Whether AUTH may send the secret itself before TLS; `None`: TLS is not available.
    pub clear_auth: Option<bool>,
    /// Before TLS commands other than EHLO, LHLO, NOOP, QUIT and STARTTLS get [`ReplyKind::TlsRequired`].
    pub tls_required: bool,
}

/// The security of the connection below SMTP.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Clear,
    Encrypted,
    /// Encrypted, and the client has proven its identity.
    External,
}

impl Policy {
    /// The reply to EHLO if none is configured: the reply to HELO, followed under Extended SMTP by the extensions.
    pub(super) fn ehlo_reply(&self, offer: Option<Offer>) -> Reply {
        match &self.esmtp {
            Some(esmtp) => self.extended_reply(esmtp, offer),
            None => self.reply(ReplyKind::HeloReceived).clone(),
        }
    }

    /// The reply to LHLO if none is configured: the reply to EHLO, but with extensions even if those are off for EHLO.
    pub(super) fn lhlo_reply(&self) -> Reply {
        match &self.esmtp {
            None if !self.is_configured(ReplyKind::EhloReceived) => {
                self.extended_reply(&Esmtp::default(), None)
            }
            _ => self.reply(ReplyKind::EhloReceived).clone(),
        }
    }

    fn extended_reply(&self, esmtp: &Esmtp, offer: Option<Offer>) -> Reply {
        let helo = self.reply(ReplyKind::HeloReceived);
        let greeting = match self.is_configured(ReplyKind::HeloReceived) {
            true if helo.is_acceptance_in_one_line() => helo.text(),
            // A configured text of several lines is the whole offer.
            true => return helo.clone(),
            false => GREETING,
        };
        let offer = offer.or(esmtp.offer).unwrap_or_default();
        let form = |below| {
            let offered = Extension::ALL.iter();
            let offered = offered.filter_map(|&extension| self.line_of(extension, offer, below));
            let mut lines: Vec<String> = offered.chain(esmtp.lines.iter().cloned()).collect();
            let reply = with_lines(greeting, &lines);
            if !self.knows_xclient() {
                return reply;
            }
            lines.push(format!("XCLIENT {ATTRIBUTES}"));
            reply.with_one_for_trusted(with_lines(greeting, &lines))
        };
        let may_be_external = esmtp.auth.is_on() && esmtp.auth.offers(Mechanism::External);
        match self.has_tls {
            true if may_be_external => {
                let encrypted = form(Below::Encrypted).with_one_for_external(form(Below::External));
                form(Below::Clear).with_one_for_encrypted(encrypted)
            }
            true => form(Below::Clear).with_one_for_encrypted(form(Below::Encrypted)),
            false => form(Below::Clear),
        }
    }

    /// Before TLS mechanisms that send the secret itself are refused.
    pub(in crate::smtp) fn refuses_clear_auth(&self) -> bool {
        self.esmtp.as_ref().is_some_and(|esmtp| !esmtp.clear_auth.unwrap_or(!self.has_tls))
    }

    /// Before TLS commands that need a session are refused.
    pub(in crate::smtp) fn requires_tls(&self) -> bool {
        self.esmtp.as_ref().is_some_and(|esmtp| esmtp.tls_required)
    }

    /// The default texts that list commands.
    pub(super) fn listing_replies(&self) -> impl Iterator<Item = (ReplyKind, Reply)> {
        let kinds = LISTING.iter().copied().filter(|kind| !self.is_configured(*kind));
        kinds.map(|kind| (kind, Reply::new(UNRECOGNIZED)))
    }

    /// The acceptance of a message in sessions with extensions, but without enhanced status codes.
    pub(super) fn plain_acceptance(&self) -> Reply {
        match self.is_configured(ReplyKind::MessageReceived) {
            true => self.reply(ReplyKind::MessageReceived).clone(),
            false => Reply::new(PLAIN_ACCEPTANCE),
        }
    }

    /// The replies with enhanced status codes. Configured texts are not changed.
    pub(super) fn enhanced_replies(&self) -> OwnReplies {
        let reply = |&kind: &ReplyKind| match kind.enhanced_code() {
            _ if kind == ReplyKind::MessageReceived && !self.is_configured(kind) => Reply::new(ACCEPTANCE),
            Some(code) if !self.is_configured(kind) && LISTING.contains(&kind) => {
                Reply::new(UNRECOGNIZED).with_enhanced_code(code)
            }
            Some(code) if !self.is_configured(kind) => self.reply(kind).with_enhanced_code(code),
            _ => self.reply(kind).clone(),
        };
        OwnReplies(ReplyKind::ALL.iter().map(reply).collect())
    }

    /// The line of the reply to EHLO for an extension; `None` if it is not offered.
    fn line_of(&self, extension: Extension, offer: Offer, below: Below) -> Option<String> {
        let keyword = extension.keyword();
        let is_offered = offer.includes(extension);
        if is_offered == Some(false) {
            return None;
        }
        match extension {
            Extension::Size => Some(format!("{keyword} {}", self.message_size_limit)),
            Extension::Limits => {
                let recipients = self.most_recipients();
                let is_limited = is_offered == Some(true) || recipients < MAX_RECIPIENTS;
                let recipients = is_limited.then(|| format!(" RCPTMAX={recipients}"));
                let messages = self.limits.max_messages_per_session;
                let messages = messages.map(|messages| format!(" MAILMAX={messages}"));
                let limits: String = messages.into_iter().chain(recipients).collect();
                (!limits.is_empty()).then(|| format!("{keyword}{limits}"))
            }
            Extension::Auth => {
                let refuses_some = below == Below::Clear && self.refuses_clear_auth();
                let mechanisms = self.auth()?.mechanisms();
                let offered = mechanisms.iter().filter(|one| match one {
                    Mechanism::External => below == Below::External,
                    one => !(refuses_some && one.sends_the_secret()),
                });
                let names: Vec<&str> = offered.copied().map(Mechanism::name).collect();
                (!names.is_empty()).then(|| format!("{keyword} {}", names.join(" ")))
            }
            Extension::Starttls => (self.has_tls && below == Below::Clear).then(|| keyword.to_owned()),
            _ => Some(keyword.to_owned()),
        }
    }
}

/// A reply with this first line, which has a code, and further lines.
fn with_lines(first: &[u8], lines: &[String]) -> Reply {
    let (code, words) = first.split_at(3);
    let mut text = code.to_vec();
    let mut rest =
        [words.get(1..).unwrap_or_default()].into_iter().chain(lines.iter().map(String::as_bytes)).peekable();
    while let Some(line) = rest.next() {
        text.push(if rest.peek().is_some() { b'-' } else { b' ' });
        text.extend_from_slice(line);
        if rest.peek().is_some() {
            text.push(b'\n');
            text.extend_from_slice(code);
        }
    }
    Reply::new(text)
}
