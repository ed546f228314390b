//! What the parts need of the process around them: locks that survive a panic, signals that end it. Imports `time`
//! alone; any thread.

mod lock;
pub mod signals;

pub(crate) use lock::lock;
