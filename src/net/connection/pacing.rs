//! Slow links: replies that drip, and reads that are throttled. Both follow a schedule: a piece that was late does not
//! delay those behind it, and at no time has more passed than the rate allows.

use std::io;
use std::time::Duration;

use super::{COMMANDS, Connection, Phase, SCRATCH, Transport};
use crate::net::context::{Context, Rates};
use crate::net::resources::{Resources, Stop};
use crate::smtp::Expect;
use crate::smtp::rules::ByteRate;
use crate::time::Timestamp;

/// The bytes of so much time are written at once, but at least one: a reader sees pieces, and a fast drip does not cost
/// a system call per byte.
const DRIP: Duration = Duration::from_millis(10);
/// The same for reads.
const GULP: Duration = Duration::from_millis(50);

/// How long after a write that found no room the next one is tried.
const STUCK: Duration = Duration::from_millis(50);

/// The schedule of a paced connection. Boxed: most connections have none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rates: Rates,
    /// When the replies that wait began to drip, and how many bytes were written since.
    drip_start: Timestamp,
    dripped: usize,
    /// After a write that found no room: when the next one is tried.
    stuck_until: Option<Timestamp>,
    /// When the next read may be.
    read_at: Timestamp,
}

impl Pace {
    /// `None` when both go at full speed.
    pub(super) fn new(rates: Rates, now: Timestamp) -> Option<Box<Self>> {
        let pace = Self { rates, drip_start: now, dripped: 0, stuck_until: None, read_at: now };
        (rates != Rates::default()).then(|| Box::new(pace))
    }

    /// When the next piece of the replies that wait is due.
    fn write_at(&self, rate: ByteRate, waiting: usize) -> Timestamp {
        let next = self.dripped + piece(rate, DRIP, waiting.max(1));
        self.stuck_until.unwrap_or_else(|| self.drip_start.after(rate.time_for(next)))
    }
}

/// How many bytes pass in a time, but at least one and at most `most`.
fn piece(rate: ByteRate, time: Duration, most: usize) -> usize {
    let bytes = u128::from(rate.bytes_per_second()) * time.as_nanos() / 1_000_000_000;
    usize::try_from(bytes).unwrap_or(most).clamp(1, most)
}

impl<T: Transport> Connection<T> {
    /// Keeps to other rates, if the service was replaced by one that has others. Replies that drip go on as they began,
    /// so this comes when none are left.
    pub(super) fn adopt_pace(&mut self, context: &Context, resources: &Resources) {
        debug_assert!(self.output.is_none(), "what drips goes on as it began");
        let (own, rates) = (self.pace.as_deref().map(|pace| pace.rates), context.service.rates());
        // The last replies have no time to drip, and what comes before a session is not paced.
        if matches!(self.phase, Phase::Preface(_)) {
            return;
        }
        if own.unwrap_or_default() != rates && resources.stop != Stop::Forced {
            self.pace = Pace::new(rates, resources.now);
        }
    }

    /// When the next piece may be written or read; `None` when nothing waits for its pace.
    #[inline]
    pub(super) fn paced_until(&self) -> Option<Timestamp> {
        let pace = self.pace.as_deref()?;
        match (&self.output, pace.rates.drip) {
            (Some(output), Some(rate)) => Some(pace.write_at(rate, output.bytes().len())),
            // While replies wait nothing is read, whatever the pace.
            (None, _) if self.readable && !self.has_unsent() && matches!(self.phase, Phase::Open) => {
                Some(pace.read_at)
            }
            _ => None,
        }
    }

    pub(super) fn is_dripping(&self) -> bool {
        self.pace.as_deref().is_some_and(|pace| pace.rates.drip.is_some())
    }

    /// Reads are paced.
    pub(super) fn is_throttled(&self) -> bool {
        self.pace.as_deref().is_some_and(|pace| pace.rates.read.is_some())
    }

    /// Starts the schedule of replies that wait from now on.
    pub(super) fn begin_drip(&mut self, now: Timestamp) {
        if let Some(pace) = self.pace.as_deref_mut() {
            (pace.drip_start, pace.dripped, pace.stuck_until) = (now, 0, None);
        }
    }

    /// Writes as much of `bytes` as is due. Returns how much the transport took.
    pub(super) fn drip(&mut self, now: Timestamp, bytes: &[u8]) -> io::Result<usize> {
        let Some((pace, rate)) = self.pace.as_deref().and_then(|pace| Some((*pace, pace.rates.drip?))) else {
            return self.stream.write(bytes);
        };
        if now < pace.write_at(rate, bytes.len()) {
            return Ok(0);
        }
        let elapsed = now.since(pace.drip_start);
        let due = piece(rate, elapsed, usize::MAX).saturating_sub(pace.dripped).clamp(1, bytes.len());
        let count = self.stream.write(&bytes[..due])?;
        if let Some(pace) = self.pace.as_deref_mut() {
            pace.dripped += count;
            pace.stuck_until = (count == 0).then(|| now.after(STUCK));
        }
        Ok(count)
    }

    /// How many bytes may be read at once.
    pub(super) fn room_to_read(&self) -> usize {
        let room = match self.expects {
            // Input that is dropped is not paced.
            _ if matches!(self.phase, Phase::Lingering { .. }) => return SCRATCH,
            Expect::Command | Expect::Nothing | Expect::Response if !self.sends_chunks => COMMANDS,
            _ => SCRATCH,
        };
        let rate = self.pace.as_deref().and_then(|pace| pace.rates.read);
        rate.map_or(room, |rate| piece(rate, GULP, room))
    }

    pub(super) fn may_read_by(&self, now: Timestamp) -> bool {
        self.pace.as_deref().is_none_or(|pace| pace.read_at <= now)
    }

    pub(super) fn note_read(&mut self, now: Timestamp, count: usize) {
        self.heard_at = now;
        self.received += count as u64;
        if let Some(pace) = self.pace.as_deref_mut()
            && let Some(rate) = pace.rates.read
        {
            pace.read_at = now.after(rate.time_for(count));
        }
    }
}
