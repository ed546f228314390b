//! Outputs: all that both programs, and the capture of a server, write to.
//!
//! Outputs are opened together and unchanged ([`Claims`], [`Opening`]): a FIFO is not waited for, nothing is
//! truncated. They are compared by device and inode, with each other and with what is read, locked, and only then
//! emptied. From then on each has a thread of its own that writes to it ([`Writer`], or the capture's): the thread
//! that decides queues, and never blocks. Progress is bytes ([`Pulse`]): a reader that is slow is waited for, one
//! that takes nothing for [`PATIENCE`] is given up, and what it missed is an error. A file that lost what was written
//! to it, or its name, is an error too.
//!
//! Both programs use it, so it is public, but no part of the documented interface.

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

/// How long the reader of an output may take nothing before it is given up: while sessions wait for it, and after a
/// stop.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
