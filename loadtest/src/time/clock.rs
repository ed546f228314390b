//! The only source that reads clocks.
//!
//! All threads of a run share one [`Clock`] (it is `Copy`), so that their moments can be compared.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: nanoseconds since the start of the run's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The start of the clock.
    pub(crate) const ZERO: Moment = Moment(0);

    /// The time since `earlier`; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment later by `by`, saturating.
    pub(crate) fn after(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(by)))
    }

    /// The time since the start of the clock.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// The latest moment of several threads.
#[derive(Debug, Default)]
pub(crate) struct Latest(AtomicU64);

impl Latest {
    /// The latest of all.
    pub(crate) fn get(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }

    /// Records a moment, and returns the latest of all.
    pub(crate) fn raise(&self, to: Moment) -> Moment {
        Moment(self.0.fetch_max(to.0, Ordering::Relaxed).max(to.0))
    }
}

/// Whole nanoseconds of `duration`, saturating at 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whole milliseconds of `duration`, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The monotonic clock of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a clock; its moments count from here.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// A clock whose moments count from an instant, the time since 1970-01-01 UTC, by the time of day now.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn starting_at(instant: Duration) -> Clock {
        let (now, today) = (Instant::now(), since_1970());
        let origin = match instant.checked_sub(today) {
            Some(ahead) => now.checked_add(ahead),
            None => now.checked_sub(today - instant),
        };
        Clock { origin: origin.unwrap_or(now) }
    }

    /// How much later than another clock it starts; zero if earlier.
    pub(crate) fn ahead_of(&self, other: &Clock) -> Duration {
        self.origin.saturating_duration_since(other.origin)
    }

    /// Waits for the start of a clock that starts later.
    #[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
    pub(crate) fn wait(&self) {
        std::thread::sleep(self.origin.saturating_duration_since(Instant::now()));
    }

    /// The moment now.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        Moment(nanos(self.origin.elapsed()))
    }
}

/// Tests of several machines on one set the clock of a process wrong by so many milliseconds.
const WRONG_VARIABLE: &str = "SMTPLOAD_TEST_CLOCK_OFFSET_MS";

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
pub(crate) fn wall() -> SystemTime {
    static WRONG_BY: OnceLock<Duration> = OnceLock::new();
    let wrong_by = WRONG_BY.get_or_init(|| {
        let millis = std::env::var(WRONG_VARIABLE).ok().and_then(|millis| millis.parse().ok());
        Duration::from_millis(millis.unwrap_or(0))
    });
    SystemTime::now() + *wrong_by
}

/// The time of day, since 1970-01-01 UTC.
pub(crate) fn since_1970() -> Duration {
    wall().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time of day at the start of the clock and what has passed since: a clock that agrees with others and never goes
/// back.
#[cfg(feature = "fleet")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    began: Duration,
    clock: Clock,
}

#[cfg(feature = "fleet")]
impl Timeline {
    /// Starts it.
    pub(crate) fn start() -> Timeline {
        Timeline { began: since_1970(), clock: Clock::start() }
    }

    /// The time since 1970-01-01 UTC.
    pub(crate) fn now(&self) -> Duration {
        self.began.saturating_add(self.clock.now().elapsed())
    }

    /// What has passed since its start, as moments.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// An instant since 1970-01-01 UTC, by `clock`.
    pub(crate) fn moment(&self, instant: Duration) -> Moment {
        Moment::ZERO.after(instant.saturating_sub(self.began))
    }
}
