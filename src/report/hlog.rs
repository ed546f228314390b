//! Interval logs.
use crate::stats::Stats;
use std::io::{self, Write};
use std::time::SystemTime;

/// An interval log.
#[derive(Debug)]
pub struct IntervalLog<W>(W);

impl<W: Write> IntervalLog<W> {
    /// Begins.
    pub fn new(writer: W, _started_at: SystemTime) -> io::Result<Self> {
        Ok(Self(writer))
    }
    /// One interval.
    pub fn write(&mut self, difference: &Stats) -> io::Result<()> {
        writeln!(self.0, "{}", difference.messages.accepted)
    }
}
