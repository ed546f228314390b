//! Octets to lines and message data: the ends of lines, dot-terminated data, and what is looked for in it. Imports
//! `policy` and the crates for searching; pure.

pub(super) mod incoming;
pub(super) mod lines;
pub(super) mod message_id;
pub(super) mod scan;

pub use lines::Lines;
pub use scan::{DataScan, DataScanner, LineScan, LineScanner};
