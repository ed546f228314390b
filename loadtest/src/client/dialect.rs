//! What the sessions of a run speak.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::client::sasl::Login;

/// When a session is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encryption {
    #[default]
    Never,
    /// With STARTTLS (RFC 3207) where it is offered and accepted.
    Opportunistic,
    /// With STARTTLS, or not at all.
    Required,
    /// From the start (RFC 8314 section 3).
    Implicit,
}

/// The dialogue that a run asks for; the same in all of its sessions.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    /// Recipients of every message; at least one.
    pub(crate) recipients: u16,
    /// Whether PIPELINING is used where it is offered.
    pub(crate) pipelining: bool,
    /// LMTP (RFC 2033) instead of SMTP.
    pub(crate) is_lmtp: bool,
    pub(crate) encryption: Encryption,
    /// The size of the chunks, in octets, in which messages are sent where CHUNKING is offered.
    pub(crate) chunk: Option<NonZeroUsize>,
    /// Whether delivery status notifications are requested where DSN is offered.
    pub(crate) dsn: bool,
    /// Whether messages need SMTPUTF8.
    pub(crate) smtputf8: bool,
    /// Credentials, with which every session authenticates before its first message.
    pub(crate) login: Option<Arc<Login>>,
}

impl Dialect {
    /// Whether HELO is an alternative where EHLO is refused: it offers no extension.
    pub(crate) fn may_use_helo(&self) -> bool {
        let needs_starttls = self.encryption == Encryption::Required;
        !needs_starttls && !self.is_lmtp && !self.smtputf8 && self.login.is_none()
    }
}
