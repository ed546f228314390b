//! Findings: each with a client that does the thing, and one that does not.

mod content;
mod dialogue;
mod endings;
mod found;
mod pace;
mod patience;
mod retries;
