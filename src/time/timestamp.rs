//! A moment on the server's monotonic clock.

use std::num::NonZeroU64;
use std::time::Duration;

/// A moment, to the nanosecond, since the clock was started. An `Option` of it has the same size. Moments beyond 584
/// years saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(NonZeroU64);

impl Timestamp {
    /// When the clock was started.
    pub(crate) const START: Self = Self(NonZeroU64::MIN);

    /// The moment this long after the start.
    pub(crate) fn at(since_start: Duration) -> Self {
        Self::START.after(since_start)
    }

    /// Time from the start to this moment.
    pub(crate) fn since_start(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// Time from an earlier moment to this one; zero if that was later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The moment this much later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

/// Saturates at the maximum of a u64.
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_durations_agree_to_the_nanosecond_and_saturate() {
        let moment = Timestamp::at(Duration::new(3, 7));
        assert_eq!(moment.since_start(), Duration::new(3, 7));
        assert_eq!(Timestamp::START.since_start(), Duration::ZERO);
        assert_eq!(moment.after(Duration::from_nanos(5)).since(moment), Duration::from_nanos(5));
        assert_eq!(Timestamp::START.since(moment), Duration::ZERO);
        let last = moment.after(Duration::MAX);
        assert_eq!(last.after(Duration::from_secs(1)), last);
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<u64>());
    }
}
