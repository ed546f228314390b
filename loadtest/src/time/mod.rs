//! The clock of a run, and moments on it. Imports no other room; used on every thread.

pub(crate) mod clock;
pub(crate) mod lease;
