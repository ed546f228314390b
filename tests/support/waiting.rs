//! The client's clock, and waiting for conditions that have no event.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Longest wait for anything that must occur: far longer than any configured delay, so that a hang fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The client's time.
#[expect(clippy::disallowed_methods, reason = "the client under test keeps its own time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Calls `look` repeatedly until it returns `Ok`. After the longest wait the test fails with the last error.
pub(crate) fn until<T, E: Debug>(mut look: impl FnMut() -> Result<T, E>) -> T {
    let start = now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(start.elapsed() < PATIENCE, "still waiting: {seen:?}"),
        }
        // Without the pause, polling would take the processor from the tested code.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(|| if holds() { Ok(()) } else { Err(what) });
}
