//! Tests with other processes: the built program with its pipes and files, real clients, and an independent witness.

mod authentication;
#[cfg(feature = "tls")]
mod certificates;
mod chunks;
pub(crate) mod clients;
mod exim;
#[cfg(feature = "tls")]
mod external;
mod lmtp;
#[cfg(feature = "cli")]
mod mailboxes;
mod mailpit;
mod postfix;
#[cfg(feature = "http")]
mod prometheus;
mod proxies;
#[cfg(feature = "tls")]
mod scanners;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "cli")]
mod transcripts;
#[cfg(feature = "cli")]
mod verification;
mod witness;
