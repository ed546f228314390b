//! The requested load: the plan of a run, the moments at which its messages are due, and their content. Pure: names
//! are resolved by the caller. Imports `client` and `time`; built on the main thread, read by all.

pub(crate) mod clients;
pub(crate) mod envelope;
pub(crate) mod feed;
pub(crate) mod lane;
pub(crate) mod part;
pub(crate) mod payload;
pub(crate) mod plan;
pub(crate) mod schedule;
pub(crate) mod security;
pub(crate) mod start;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod token;
pub(crate) mod xtext;
