//! Delays, rules and limits, as a client sees them.

#![expect(clippy::disallowed_methods, reason = "a client's clock is the only witness of a delay")]

mod client;
mod rules;
