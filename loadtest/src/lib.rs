//! `smtpload`: an SMTP load generator whose figures can be trusted.
//!
//! The program is [`run()`]; [`reply`] is public for fuzzing. The rooms, from the inside out; the first lines of each
//! state what it holds, what it may import, and on which thread it runs:
//!
//! ```text
//! time        the clock
//! client      one SMTP session: state machine, reply parser, phases       pure
//! account     the outcome of every message, counted exactly               pure
//! load        the requested load: plan, schedule, messages                pure
//! measure     what one thread counts and measures                         pure, but for its own processor time
//! reactor     sockets and the event loop                                  a thread each
//! report      the report, its sum, and its forms
//! judge       gates, steps and the baseline                               pure
//! verify      a capture compared with what was sent
//! run         starts the threads, collects what they counted              main thread
//! fleet       one run of several machines: coordinator and agents    main thread
//! program     command line, outputs, signals, exit codes                  main thread
//! ```
//!
//! Each event loop has its own sockets, counts and histograms, merged when the run is over. Each output has a thread
//! that writes to it, and signals are received on a thread of their own: the main thread never waits for a reader
//! without a bound.

mod account;
mod client;
#[cfg(feature = "fleet")]
mod fleet;
mod judge;
mod load;
mod measure;
mod program;
mod reactor;
mod report;
mod run;
mod time;
mod verify;

pub use client::reply;
pub use program::command::run;
