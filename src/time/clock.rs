//! The only place that reads a clock. Everything else is given the time as a value.

use std::cmp::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// The timing wheel's unit. `epoll_wait` rounds up to whole milliseconds; with a tick well below one, a
/// delay is at most about 1.5 ms late on an idle machine, and never early.
pub(crate) const TICK: Duration = Duration::from_micros(250);

/// A number of [`TICK`]s since the clock was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    /// The tick that is running so long after the start.
    pub(crate) fn at(since_start: Duration) -> Self {
        // A u64 holds 584 years of nanoseconds.
        Self(since_start.as_nanos() as u64 / TICK.as_nanos() as u64)
    }

    /// The tick of this number.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// Time from the start of the clock to the beginning of this tick.
    pub(crate) fn since_start(self) -> Duration {
        Duration::from_nanos(self.0.saturating_mul(TICK.as_nanos() as u64))
    }

    /// How long it is from a moment, so long after the start of the clock, until this tick begins; zero when it has
    /// begun.
    pub(crate) fn after_moment(self, since_start: Duration) -> Duration {
        self.since_start().saturating_sub(since_start)
    }

    /// The first tick that is surely not before `span` from any moment in this one: one more, because
    /// this tick has begun already.
    pub(crate) fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0).saturating_add(1))
    }
}

/// A duration in ticks, rounded up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span(u64);

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX))
    }
}

/// A monotonic clock, started with its server: all shards share one.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system's.
    System { start: Instant },
    /// One that a test moves, in nanoseconds since its start.
    #[cfg(test)]
    Virtual(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// The system's clock; starts at tick 0.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn start() -> Self {
        Self::System { start: Instant::now() }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::System { start } => start.elapsed(),
            #[cfg(test)]
            Self::Virtual(nanoseconds) => {
                Duration::from_nanos(nanoseconds.load(std::sync::atomic::Ordering::Relaxed))
            }
        }
    }

    /// The tick that is running now.
    pub(crate) fn now(&self) -> Tick {
        Tick::at(self.elapsed())
    }
}

/// The time of day, for records and logs. It may jump; nothing is timed by it.
#[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
pub(crate) fn wall_time() -> SystemTime {
    SystemTime::now()
}

/// A deadline on the monotonic clock, for threads that block. The later one is greater.
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
    /// It never comes.
    pub(crate) const NEVER: Self = Self(None);

    /// `timeout` from now; a timeout too long to be expressed never comes.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// What is left of it.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }
}
