//! A run from start to end: its threads, their merged counts, the view of its progress, and its report. Imports
//! `client`, `load`, `measure`, `reactor`, `report` and `time`; runs on the main thread.

pub(crate) mod build;
pub(crate) mod digest;
pub(crate) mod engine;
pub(crate) mod live;
mod settings;
