//! Delays, rules and limits, as a client sees them.

#[path = "../support/mod.rs"]
mod support;

mod actions;
mod chance;
mod codes;
mod conditions;
mod limits;
mod properties;
mod recipes;
mod rules;
