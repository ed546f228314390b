//! A server in this process, over real sockets.

mod acceptance;
mod async_waits;
mod auth;
mod chunking;
mod esmtp;
mod extensions;
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
#[cfg(feature = "tls")]
mod tls;
mod transcripts;
mod xclient;
