//! The only place that reads a clock. Everything else gets the time as a value.

use std::cmp::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::Timestamp;

/// A monotonic clock, started with its server: all shards share one.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system's clock.
    System { start: Instant },
    /// A clock that a test advances, in nanoseconds since its start.
    #[cfg(test)]
    Virtual(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// The system's clock, started now.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn start() -> Self {
        Self::System { start: Instant::now() }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        let since_start = match self {
            Self::System { start } => start.elapsed(),
            #[cfg(test)]
            Self::Virtual(nanoseconds) => {
                Duration::from_nanos(nanoseconds.load(std::sync::atomic::Ordering::Relaxed))
            }
        };
        Timestamp::at(since_start)
    }
}

/// The time of day, for records and logs. It may jump: never used for timing.
#[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
pub(crate) fn wall_time() -> SystemTime {
    SystemTime::now()
}

/// A deadline on the monotonic clock, for threads that block. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |Self(at): &Self| (at.is_none(), *at);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Deadline {
    /// Never reached.
    pub(crate) const NEVER: Self = Self(None);

    /// `timeout` from now; [`NEVER`](Self::NEVER) if that can't be expressed.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// The time left until then.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }
}
