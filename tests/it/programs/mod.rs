//! Tests with other processes: the built program with its pipes and files, real clients, and an independent witness.

mod authentication;
mod chunks;
mod clients;
#[cfg(feature = "tls")]
mod external;
mod lmtp;
#[cfg(feature = "cli")]
mod mailboxes;
mod proxies;
#[cfg(feature = "cli")]
#[cfg(feature = "tls")]
mod tls;
mod transcripts;
mod witness;
