//! What takes other processes: the built program, and real clients.
//!
//! They are apart from the other tests because a process that is being started holds copies of all sockets
//! of this one for a moment, so that closing one of them shows late on the other side.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod mailboxes;
mod transcripts;
mod witness;
