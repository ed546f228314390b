//! The client's clock, and waiting for what has no event of its own.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Longest wait for anything that must come: far beyond every configured delay, so that a hang fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The client's time.
#[expect(clippy::disallowed_methods, reason = "the client under test keeps its own time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Looks again and again until it finds what it looks for. What it sees instead is told when patience ends.
pub(crate) fn until<T, E: Debug>(mut look: impl FnMut() -> Result<T, E>) -> T {
    let start = now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(start.elapsed() < PATIENCE, "still waiting: {seen:?}"),
        }
        // What is looked at has no event; looking all the time would take the processor from it.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(|| if holds() { Ok(()) } else { Err(what) });
}
