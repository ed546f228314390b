//! Delays, rules and limits, as a client sees them.

#![expect(clippy::disallowed_methods, reason = "a client's clock is the only witness of a delay")]

mod actions;
mod chance;
mod client;
mod conditions;
mod limits;
#[path = "../support/normal.rs"]
mod normal;
mod properties;
mod recipes;
mod rules;
