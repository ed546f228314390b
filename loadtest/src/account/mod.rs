//! Exact counts of the outcome of messages and recipients, and for `--verify` the fate of every single message. Pure.
//! Imports `client`; each event loop has its own counts, merged by the main thread.

pub(crate) mod accounting;
pub(crate) mod alert;
pub(crate) mod ledger;
pub(crate) mod texts;
