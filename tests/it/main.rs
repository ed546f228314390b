//! What `smtpmock` promises, checked from outside. One binary, so that the tests of all rooms run beside each
//! other and are linked once. What counts the threads or descriptors of its process runs in one of its own
//! ([`support::alone`]).
//!
//! Starting a process copies all sockets of this one for a moment, so that closing one of them may show late on
//! its other side: a test waits for what follows, it does not look once.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
#[cfg(feature = "cli")]
mod cli;
mod findings;
mod hostile;
mod programs;
mod rules;
mod server;
mod session;
