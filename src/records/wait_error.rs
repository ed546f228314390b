//! The error of a wait.

use std::fmt;
use std::time::Duration;

use crate::records::Message;
use crate::smtp::Listed;

/// The awaited number of messages did not arrive in time.
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
    /// How many were waited for.
    pub expected: usize,
    /// For how long.
    pub timeout: Duration,
    /// What did arrive. Waits that purge leave these in the server.
    pub arrived: Vec<Message>,
}

/// What arrived is shown as [`Message`] shows itself, the first ten of it: for `unwrap` in a test.
impl fmt::Debug for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, timeout, arrived } = self;
        f.debug_struct("WaitError")
            .field("expected", expected)
            .field("timeout", timeout)
            .field("arrived", &Listed(arrived))
            .finish()
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, timeout, arrived } = self;
        write!(f, "timeout waiting for {expected} messages: got {} within {timeout:?}", arrived.len())
    }
}

impl std::error::Error for WaitError {}
