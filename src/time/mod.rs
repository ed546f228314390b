//! The only module that reads a clock: everything else gets the time as a value. Imports no other module; any thread.

mod clock;
mod timestamp;

pub(crate) use clock::{Clock, Deadline, wall_time};
pub(crate) use timestamp::Timestamp;
