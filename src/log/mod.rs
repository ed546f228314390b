//! The log: events of sessions, queued by the reactors and passed to a logger on a separate thread. Imports `smtp`,
//! `output`, `process` and `text`.

mod event_log;
mod header;
mod logger;

pub(crate) use event_log::{Event, EventLog, Notes};
pub(crate) use header::{HeaderFault, HeaderHook};
pub(crate) use logger::SharedLogger;
pub use logger::{Logger, StdLogger};
