//! Helpers around the process: locking that ignores poison, signals that end a program, bounded reading of files.
//! Imports only `time`; any thread.

mod input;
mod lock;
pub mod signals;

pub use input::read_bounded;
pub(crate) use lock::lock;
