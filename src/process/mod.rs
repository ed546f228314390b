//! Helpers around the process and its machine: locking that ignores poison, signals that end a program, descriptors,
//! bounded reading of files. Differences between systems are listed in `SYSTEMS.md` in this folder. Imports only
//! `time`; any thread.

pub mod build;
#[cfg(feature = "http")]
mod changes;
mod descriptors;
mod host;
mod input;
mod lock;
pub mod signals;
mod status;

#[cfg(feature = "http")]
pub(crate) use changes::Changes;
pub use descriptors::raise_descriptor_limit;
pub(crate) use descriptors::{is_out_of_descriptors, with_descriptor};
pub(crate) use host::host_name;
pub use input::read_bounded;
pub(crate) use lock::lock;
pub(crate) use status::own_status;
