//! Delays, rules and limits, as a client sees them.

mod actions;
mod basics;
mod chance;
mod codes;
mod conditions;
mod limits;
mod properties;
mod recipes;
#[cfg(feature = "tls")]
mod tls;
