//! `smtpload`: an SMTP load generator that does not lie.
//!
//! The program is [`run`]; [`reply`] is public for fuzzing. One thread per event loop
//! (`reactor`), each with its own sockets, counts and histograms (`tally`); the main thread
//! (`engine`) starts them, shows what goes on (`live`), and makes the report (`report`). Each
//! output has a thread that writes to it (`outputs`), and signals are heard on one of their own
//! (`interrupt`): the main thread waits for no reader without a bound.
//! `client`, `reply`, `schedule`, `steps`, `punctuality`, `outlook`, `payload`, `template`, `gate`, `baseline` and
//! `accounting` are pure: no sockets, no clocks.

mod accounting;
mod baseline;
mod cli;
mod client;
mod clock;
mod command;
mod dial;
mod engine;
mod envelope;
mod exit;
mod feed;
mod gate;
mod help;
mod input;
mod interrupt;
mod ledger;
mod live;
mod load;
mod merge;
mod metrics;
mod outlook;
mod outputs;
mod payload;
mod phase;
mod plan;
mod punctuality;
mod reactor;
pub mod reply;
mod report;
mod schedule;
mod slot;
mod steps;
mod tally;
mod target;
mod template;
mod timer;
mod token;
mod units;
mod verify;
mod wire;

pub use command::run;
