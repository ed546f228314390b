//! What `smtpmock` promises, checked from outside: the bare session, and a server in this process over
//! real sockets.

#[path = "../support/mod.rs"]
mod support;

mod acceptance;
mod addresses;
mod architecture;
mod async_waits;
mod chunking;
mod extensions;
mod junk;
mod lifecycle;
mod logging;
mod measuring;
mod messages;
mod milestones;
mod regressions;
#[cfg(feature = "report")]
mod report;
mod scanners;
mod transcripts_pure;
mod transcripts_socket;
