//! The bare session and its parts: no socket, no clock.

mod addresses;
mod cutting;
mod lmtp;
mod parameters;
mod regressions;
mod scanners;
mod transcripts;
