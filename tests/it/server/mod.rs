//! A server in this process, over real sockets.

mod acceptance;
mod async_waits;
mod auth;
mod chunking;
#[cfg(feature = "tls")]
mod client_certificates;
mod esmtp;
mod extensions;
mod handshakes;
mod hooks;
mod junk;
mod lifecycle;
mod listeners;
mod lmtp;
mod logging;
mod measuring;
mod messages;
mod milestones;
mod parameters;
mod places;
mod proxy;
mod reconfigure;
#[cfg(feature = "report")]
mod report;
mod restarts;
mod tls;
mod transcripts;
mod xclient;
