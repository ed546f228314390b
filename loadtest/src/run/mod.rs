//! A run from start to end: its threads, what they counted put together, the view while it goes on, and its report.
//! Imports `account`, `client`, `load`, `measure`, `reactor`, `report` and `time`; runs on the main thread.

pub(crate) mod build;
pub(crate) mod engine;
pub(crate) mod live;
