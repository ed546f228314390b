//! Outputs of both programs and of a server's capture.
//!
//! All outputs are first opened without being changed ([`Claims`], [`Opening`]): without waiting for FIFOs and without
//! truncating files. They are compared by device and inode, with each other and with the inputs, then locked, and only
//! then emptied. Each output has a thread that writes to it ([`Writer`], or the capture's), so that other threads queue
//! data and never block. Progress is measured in bytes ([`Pulse`]): a slow reader delays the output; one that reads
//! nothing for [`PATIENCE`] is abandoned, and the lost data is an error. A file that was truncated, removed or replaced
//! by another program is an error too.
//!
//! Hidden: public because both programs use it.

mod claims;
mod locks;
mod opening;
mod place;
mod progress;
mod pulse;
mod streams;
mod target;
pub(crate) mod write_queue;
mod writer;

use std::time::Duration;

pub use claims::{Claims, Refusal};
pub use locks::lock;
pub use opening::Opening;
pub use place::{OutputError, Place, Reason};
pub use progress::Progress;
pub use pulse::Pulse;
pub(crate) use pulse::Reading;
pub use streams::{Streams, print, print_error};
pub use target::Output;
pub(crate) use target::PIECE;
pub(crate) use writer::no_thread;
pub use writer::{Gathered, Writer, finish};

/// How long the reader of an output may read nothing before it is abandoned, while sessions wait for it and after a
/// stop.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
