//! What the sessions of a run speak.

/// The dialogue that a run asks for; the same in all of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Recipients of every message; at least one.
    pub(crate) recipients: u16,
    /// Whether PIPELINING is used where it is offered.
    pub(crate) pipelining: bool,
}
