//! The one test binary: what `smtpmock` promises, checked from outside.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod regressions;
mod transcripts_pure;
