//! The guarantees of `smtpmock`, tested from outside. There is one binary, so that all tests run concurrently and are linked
//! once. A test that counts the threads or descriptors of its process runs in a separate one ([`support::alone`]).
//!
//! Starting a process copies all sockets of this one for a moment, so that the peer may notice the close of a socket late: a
//! test waits for the effect and does not check only once.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
#[cfg(feature = "cli")]
mod cli;
mod findings;
mod hostile;
#[cfg(feature = "http")]
mod http;
mod programs;
mod rules;
mod server;
mod session;
mod systems;
