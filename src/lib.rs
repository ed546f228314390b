//! smtpmock: a mock SMTP server.

pub mod smtp;

mod capture;
mod config;
mod error;
mod journal;
mod logger;
mod memory;
mod message;
mod net;
mod outbox;
mod records;
mod server;
mod stats;
mod store;

pub use capture::CaptureContent;
pub use config::Config;
pub use error::{ConfigError, StartError, WaitError};
pub use logger::{Logger, StdLogger};
pub use message::Message;
pub use net::shard::ShardFailure;
pub use server::{Server, StopOutcome};
pub use stats::Stats;
