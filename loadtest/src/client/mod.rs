//! An SMTP or LMTP session from the client's side: its phases, its state machine, and the parser of replies. Pure: no
//! sockets, no clocks. Imports no other room; runs on the threads of the event loops.

pub(crate) mod dialect;
pub(crate) mod enhanced;
pub(crate) mod offer;
pub(crate) mod phase;
pub mod reply;
pub(crate) mod sasl;
pub(crate) mod session;
