//! Findings: each with a client that does the thing, and one that does not.

#[path = "../support/mod.rs"]
mod support;

mod content;
mod dialogue;
mod endings;
mod found;
mod pace;
mod patience;
mod retries;
