//! A server in this process, over real sockets.

mod acceptance;
mod async_waits;
mod auth;
mod chunking;
#[cfg(feature = "tls")]
pub(crate) mod client_ca;
#[cfg(feature = "tls")]
mod client_certificates;
mod esmtp;
mod extensions;
#[cfg(feature = "tls")]
mod external;
mod finding;
#[cfg(feature = "tls")]
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
#[cfg(feature = "tls")]
mod old_form;
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
