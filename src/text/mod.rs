//! Values as text: octets that others wrote made safe to show, durations, sizes and moments. Imports no other room; any
//! thread.

pub mod escape;
mod timestamp;
pub mod units;

pub(crate) use timestamp::timestamp;
