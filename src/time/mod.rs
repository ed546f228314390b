//! The only room that reads a clock: everything else is given the time as a value. Imports no other room; any thread.

mod clock;
mod timestamp;

pub(crate) use clock::{Clock, Deadline, wall_time};
pub(crate) use timestamp::Timestamp;
