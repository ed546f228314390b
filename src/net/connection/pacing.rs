//! Slow links: replies that drip, and reads that are throttled. Both follow a schedule: a late piece does not delay the
//! next ones, and the total never exceeds the rate.

use std::io;
use std::time::Duration;

use super::{COMMANDS, Connection, Phase, SCRATCH, Transport};
use crate::net::context::{Context, Rates};
use crate::net::resources::{Resources, Stop};
use crate::smtp::Expect;
use crate::smtp::rules::ByteRate;
use crate::time::Timestamp;

/// Interval of writes: each writes the bytes of so much time, at least one. A reader sees pieces, and a fast drip does
/// not cost a system call per byte.
const DRIP: Duration = Duration::from_millis(10);
/// Interval of reads.
const GULP: Duration = Duration::from_millis(50);

/// Pause after a write that found no room.
const STUCK: Duration = Duration::from_millis(50);

/// The schedule of a paced connection. Boxed: most connections have none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rates: Rates,
    /// When the pending replies began to drip, and how many bytes were written since.
    drip_start: Timestamp,
    dripped: usize,
    /// After a write that found no room: the time of the next attempt.
    stuck_until: Option<Timestamp>,
    /// Time of the next read.
    read_at: Timestamp,
}

impl Pace {
    /// `None` if neither rate is limited.
    pub(super) fn new(rates: Rates, now: Timestamp) -> Option<Box<Self>> {
        let pace = Self { rates, drip_start: now, dripped: 0, stuck_until: None, read_at: now };
        (rates != Rates::default()).then(|| Box::new(pace))
    }

    /// When the next piece of the pending replies is due.
    fn write_at(&self, rate: ByteRate, waiting: usize) -> Timestamp {
        let next = self.dripped + piece(rate, DRIP, waiting.max(1));
        self.stuck_until.unwrap_or_else(|| self.drip_start.after(rate.time_for(next)))
    }
}

/// How many bytes pass in a time: at least one and at most `most`.
fn piece(rate: ByteRate, time: Duration, most: usize) -> usize {
    let bytes = u128::from(rate.bytes_per_second()) * time.as_nanos() / 1_000_000_000;
    usize::try_from(bytes).unwrap_or(most).clamp(1, most)
}

impl<T: Transport> Connection<T> {
    /// Applies changed rates after the service was replaced. Called when no reply drips: those that do keep their rate.
    pub(super) fn adopt_pace(&mut self, context: &Context, resources: &Resources) {
        debug_assert!(self.output.is_none(), "what drips goes on as it began");
        let (own, rates) = (self.pace.as_deref().map(|pace| pace.rates), context.service.rates());
        // The last replies of a stop do not drip, and input before a session is not paced.
        if matches!(self.phase, Phase::Preface(_)) {
            return;
        }
        if own.unwrap_or_default() != rates && resources.stop != Stop::Forced {
            self.pace = Pace::new(rates, resources.now);
        }
    }

    /// When the next piece may be written or read; `None` if nothing waits for its pace.
    #[inline]
    pub(super) fn paced_until(&self) -> Option<Timestamp> {
        let pace = self.pace.as_deref()?;
        match (&self.output, pace.rates.drip) {
            (Some(output), Some(rate)) => Some(pace.write_at(rate, output.bytes().len())),
            // While replies wait nothing is read.
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

    /// Starts the schedule of the pending replies.
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
            // Dropped input is not paced.
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
