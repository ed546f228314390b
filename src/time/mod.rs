//! The only room that reads a clock: everything else is given the time as a value. Imports no other room; any thread.

mod clock;
mod stamp;

#[cfg(test)]
pub(crate) use clock::TICK;
pub(crate) use clock::{Clock, Deadline, Span, Tick, wall_time};
pub(crate) use stamp::Stamp;
