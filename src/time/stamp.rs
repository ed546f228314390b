//! A moment as measurements keep it: small enough to keep many per session.

use std::num::NonZeroU64;
use std::time::Duration;

/// A moment since the server's start, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(NonZeroU64);

impl Stamp {
    /// The moment so long after the start.
    pub(crate) fn at(since_start: Duration) -> Self {
        // One more than there are, so that an `Option` takes no more room.
        Self(NonZeroU64::MIN.saturating_add(nanoseconds(since_start)))
    }

    /// How long after the start.
    pub(crate) fn since_start(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// From an earlier moment to this one; zero if that was later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// So much later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

/// A u64 holds 584 years of them; what is longer counts as that.
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into())
}
