//! Exact counts of what became of messages, recipients and, for `--verify`, of every single message. Pure. Imports
//! `client`; each event loop has its own, merged by the main thread.

pub(crate) mod accounting;
pub(crate) mod ledger;
