//! Counts and measurements of one thread during a run: histograms, steps, punctuality, and whether to give up. Pure,
//! but for `work`, which reads the processor time of its thread. Imports `account`, `client`, `load` and `time`; each
//! event loop has its own, merged by the main thread.

pub(crate) mod interval;
pub(crate) mod metrics;
pub(crate) mod outlook;
pub(crate) mod punctuality;
pub(crate) mod steps;
pub(crate) mod tally;
pub(crate) mod work;
