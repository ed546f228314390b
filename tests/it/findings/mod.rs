//! Findings: for each, a client that causes it and one that does not.

mod auth;
mod content;
mod dialogue;
mod endings;
mod extensions;
mod found;
mod pace;
mod patience;
mod retries;
#[cfg(feature = "tls")]
mod tls;
