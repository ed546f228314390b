//! What the sessions of a run speak.

use std::num::NonZeroUsize;

/// The dialogue that a run asks for; the same in all of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Recipients of every message; at least one.
    pub(crate) recipients: u16,
    /// Whether PIPELINING is used where it is offered.
    pub(crate) pipelining: bool,
    /// LMTP (RFC 2033) instead of SMTP.
    pub(crate) is_lmtp: bool,
    /// The size of the chunks, in octets, in which messages are sent where CHUNKING is offered.
    pub(crate) chunk: Option<NonZeroUsize>,
}
