//! Splits octets into lines and message data: line ends, dot-terminated data, and the inspection of message text.
//! Imports `command`, `reply`, `policy` and the crates for searching; pure.

pub(super) mod incoming;
pub(super) mod lines;
mod message_id;
pub(super) mod retry_key;
pub(super) mod scan;

pub use lines::Lines;
pub(crate) use retry_key::{MailKey, RetryKey};
pub use scan::{DataScan, DataScanner, LineScan, LineScanner};
