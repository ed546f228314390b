//! A timer with a resolution of microseconds.
//!
//! The timeout of a poll has whole milliseconds, which at 5,000 messages per second would start them in bursts of
//! five. On Linux a timerfd wakes the poll instead; other systems use the timeout.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

use crate::time::clock::Moment;

#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Wakes a poll at a moment.
#[derive(Debug)]
pub(crate) struct Timer {
    #[cfg(target_os = "linux")]
    fd: OwnedFd,
    /// The current setting: setting it again costs nothing.
    set: Option<Moment>,
}

impl Timer {
    #[cfg(target_os = "linux")]
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let raw = fd.as_raw_fd();
        registry.register(&mut mio::unix::SourceFd(&raw), token, mio::Interest::READABLE)?;
        Ok(Timer { fd, set: None })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(_: &Registry, _: Token) -> io::Result<Timer> {
        Ok(Timer { set: None })
    }

    /// Wakes the poll at `at`. Returns how long the poll itself may sleep.
    #[cfg(target_os = "linux")]
    pub(crate) fn wake_at(&mut self, at: Moment, now: Moment) -> io::Result<Duration> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        if self.set != Some(at) {
            // Zero would disarm it.
            let wait = at.since(now).max(Duration::from_nanos(1));
            let spec = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: wait.subsec_nanos().into(),
                },
            };
            debug_assert!(spec.it_value.tv_sec > 0 || spec.it_value.tv_nsec > 0);
            timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec)?;
            self.set = Some(at);
        }
        Ok(Duration::MAX)
    }

    /// Wakes the poll at `at`. Returns how long the poll itself may sleep.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn wake_at(&mut self, at: Moment, now: Moment) -> io::Result<Duration> {
        self.set = Some(at);
        Ok(at.since(now))
    }
}
