//! The error of a wait.

use std::fmt;
use std::time::Duration;

use crate::records::Message;
use crate::smtp::Listed;

/// The awaited messages did not arrive in time.
///
/// ```
/// use std::time::Duration;
/// use smtpmock::{Config, Server};
///
/// let server = Server::start(Config::default())?;
/// let error = server.wait_for_messages(2, Duration::from_millis(10)).unwrap_err();
/// assert_eq!(error.to_string(), "timeout waiting for 2 messages: got 0 within 10ms");
/// assert!(error.arrived.is_empty());
/// # Ok::<(), smtpmock::StartError>(())
/// ```
#[derive(Clone)]
pub struct WaitError {
    /// How many were awaited; 1 with [`wait_for`](crate::Server::wait_for).
    pub expected: usize,
    /// The timeout.
    pub timeout: Duration,
    /// The messages that did arrive, matching or not. Waits that purge leave these in the server.
    pub arrived: Vec<Message>,
    /// Only matching messages were awaited.
    is_selective: bool,
}

impl WaitError {
    /// Fewer messages than expected arrived.
    pub(crate) fn too_few(expected: usize, timeout: Duration, arrived: Vec<Message>) -> Self {
        Self { expected, timeout, arrived, is_selective: false }
    }

    pub(crate) fn no_match(timeout: Duration, arrived: Vec<Message>) -> Self {
        Self { expected: 1, timeout, arrived, is_selective: true }
    }
}

/// Shows the first ten messages that arrived, for `unwrap` in a test.
impl fmt::Debug for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, timeout, arrived, is_selective: _ } = self;
        f.debug_struct("WaitError")
            .field("expected", expected)
            .field("timeout", timeout)
            .field("arrived", &Listed(arrived))
            .finish()
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, timeout, arrived, is_selective } = self;
        let count = arrived.len();
        match is_selective {
            false => {
                write!(f, "timeout waiting for {expected} messages: got {count} within {timeout:?}")
            }
            true => {
                write!(
                    f,
                    "timeout waiting for a message that matches: none of {count} did within {timeout:?}"
                )
            }
        }
    }
}

impl std::error::Error for WaitError {}
