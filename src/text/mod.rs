//! Formatting of values: escaping of untrusted text, names of hosts, durations, sizes and timestamps. Imports no other
//! module; any thread.

pub mod escape;
pub mod hosts;
mod percent;
mod timestamp;
pub mod units;

pub(crate) use percent::percent_decoded;
pub(crate) use timestamp::timestamp;
