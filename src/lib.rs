//! A mock SMTP server: it accepts mail and throws it away or shows it, answers exactly as told, as late as
//! told, and never becomes the bottleneck of the test that sends to it.
//!
//! ```
//! use smtpmock::{Config, Server, smtp::ReplyKind};
//!
//! let server = Server::start(
//!     Config::default()
//!         .blacklisted_rcptto_emails(["full@example.com"])
//!         .reply(ReplyKind::RcptBlacklisted, "452 4.2.2 Mailbox full"),
//! )?;
//! println!("send to {}", server.local_addr());
//! // … then look at server.messages(), or server.wait_for_messages(1, timeout)
//! # Ok::<(), smtpmock::StartError>(())
//! ```
//!
//! # Threads
//!
//! ```text
//!  caller ──── Server ─── start, stop ──▶ shard 0 … shard N: one reactor thread each, all on one port
//!                 │                          │ push a record   │ queue a batch
//!                 │ messages(), waits        ▼                 ▼
//!                 ├───────────────────────▶ store      log thread, capture thread
//!                 │
//!                 └─ stats() ─ wakes each shard, which gives its figures away between two turns
//! ```
//!
//! A shard owns its connections and the figures of what it measured; nothing of a session is shared. What shards share
//! are the counts of sessions and milestones, the memory budget, what rules remember and what was put off, and the
//! store, where each has a part of its own that readers only swap out.
//!
//! The program adds threads of its own. The main one decides (`lifetime`); one hears signals, one waits for the time
//! of `--exit-after`, one tells of the run (`teller`: progress, interval logs, reports, verdicts), so that an output
//! that nobody reads holds up no signal, and one stops the server, so that a second signal can overtake it.
//!
//! # The way of a byte
//!
//! `net::reactor` polls and dispatches → `net::connection` reads into a reused buffer → [`smtp::Session`] finds
//! the end of the line or of the data, decides, and returns a step → the step is measured (`measure`, [`stats`]) and
//! its record filed (`records`, `store`, `capture`) → its reply is appended, and written at the end of the turn, or
//! held back by `net::wheel`. `src/net/LIFECYCLE.md` tells it in full.
//!
//! The SMTP part, [`smtp`], is pure: it can be used without the server, in a simulation or a fuzzer.

pub mod smtp;

mod capture;
mod config;
mod error;
mod failure;
mod journal;
mod lock;
mod logger;
mod measure;
mod memory;
mod message;
mod milestone;
mod net;
mod outbox;
mod records;
#[cfg(feature = "report")]
pub mod report;
mod server;
pub mod stats;
mod store;
mod totals;
pub mod units;

pub use capture::CaptureContent;
pub use config::{Config, OverLimit};
pub use error::{ConfigError, StartError, WaitError};
pub use failure::ServerFailure;
pub use logger::{Logger, StdLogger};
pub use message::Message;
pub use milestone::Milestone;
pub use server::{Server, StopOutcome};
pub use stats::Stats;

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
