//! smtpmock: a mock SMTP server.

pub mod smtp;

mod capture;
mod config;
mod error;
mod logger;
mod message;

pub use capture::CaptureContent;
pub use config::Config;
pub use error::{ConfigError, StartError, WaitError};
pub use logger::Logger;
pub use message::Message;
