//! Octets to lines and message data: the ends of lines, dot-terminated data, and what is looked for in it. Imports
//! `command`, `reply`, `policy` and the crates for searching; pure.

pub(super) mod incoming;
pub(super) mod lines;
mod message_id;
pub(super) mod retry_key;
pub(super) mod scan;

pub use lines::Lines;
pub(crate) use retry_key::{MailKey, RetryKey};
pub use scan::{DataScan, DataScanner, LineScan, LineScanner};
