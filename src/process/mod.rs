//! Helpers around the process: locking that ignores poison, signals that end a program, bounded reading of files.
//! Imports only `time`; any thread.

mod descriptors;
mod input;
mod lock;
pub mod signals;

pub(crate) use descriptors::{is_out_of_descriptors, with_descriptor};
pub use input::read_bounded;
pub(crate) use lock::lock;
