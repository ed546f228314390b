//! The one test binary: what `smtpmock` promises, checked from outside.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod architecture;
mod chunking;
mod clients;
mod lifecycle;
mod logging;
mod messages;
mod regressions;
mod resources;
mod scanners;
mod transcripts_pure;
mod transcripts_socket;
