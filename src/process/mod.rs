//! What the parts need of the process around them: locks that survive a panic, signals that end it, files that are read
//! whole. Imports `time` alone; any thread.

mod input;
mod lock;
pub mod signals;

pub use input::read_bounded;
pub(crate) use lock::lock;
