//! Interval logs in HdrHistogram's log format, which its tools draw and add up: one line per interval and
//! distribution, tagged with the distribution's name.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::stats::{Numbers, Stats};

/// A log that is written as a run goes on.
///
/// ```
/// # use smtpmock::{Config, Server, report::hlog::IntervalLog};
/// let server = Server::start(Config::default())?;
/// let mut before = server.stats();
/// let mut log = IntervalLog::new(Vec::new(), before.started_at.expect("a server that has started"))?;
/// // once a second:
/// let now = server.stats();
/// log.write(&now.since(&before))?;
/// before = now;
/// # let _ = before;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IntervalLog<W> {
    writer: W,
    /// The column of the largest value is divided by it.
    max_divisor: f64,
}

impl<W: Write> IntervalLog<W> {
    /// Of a server's figures: durations in microseconds, the column of the largest values too.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn new(writer: W, started_at: SystemTime) -> io::Result<Self> {
        let comments = [
            concat!("smtpmock ", env!("CARGO_PKG_VERSION")),
            "durations in microseconds, data.rate in octets a second",
        ];
        Self::with_comments(writer, started_at, &comments, 1.0)
    }

    /// Of anything, with these lines at the head. The column of the largest value, which is there to be read by
    /// people, shows it divided by `max_divisor`.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn with_comments(
        mut writer: W,
        started_at: SystemTime,
        comments: &[&str],
        max_divisor: f64,
    ) -> io::Result<Self> {
        let mut head = IntervalLogWriterBuilder::new();
        for comment in comments {
            head.add_comment(comment);
        }
        head.with_start_time(started_at).with_base_time(started_at).with_max_value_divisor(max_divisor);
        head.begin_log_with(&mut writer, &mut V2DeflateSerializer::new())?;
        Ok(Self { writer, max_divisor })
    }

    /// Writes what was measured between two readings: a line for each distribution with anything in it. The
    /// lines are flushed, so that a reader who follows the log sees them.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&mut self, difference: &Stats) -> io::Result<()> {
        for (name, metric) in difference.metrics() {
            if let Some(histogram) = metric.as_numbers().and_then(Numbers::histogram) {
                self.write_histogram(&name, histogram, difference.begins, difference.length())?;
            }
        }
        self.writer.flush()
    }

    /// Writes one line: of a distribution of this name, over an interval that began so long after the start.
    ///
    /// # Errors
    ///
    /// Those of the writer, and for a name with a comma or white space, which the format has no room for.
    pub fn write_histogram(
        &mut self,
        name: &str,
        histogram: &Histogram<u64>,
        begins: Duration,
        length: Duration,
    ) -> io::Result<()> {
        let tag = Tag::new(name).ok_or_else(|| io::Error::other(format!("`{name}` is no tag of a log")))?;
        // The format's writer borrows what it writes to as long as it lives, so each line gets one. It begins
        // with the divisor, which is in the head already.
        let mut lines = Vec::new();
        IntervalLogWriterBuilder::new()
            .with_max_value_divisor(self.max_divisor)
            .begin_log_with(&mut lines, &mut V2DeflateSerializer::new())?
            .write_histogram(histogram, begins, length, Some(tag))
            .map_err(|error| io::Error::other(error.to_string()))?;
        let lines = lines.split_inclusive(|octet| *octet == b'\n');
        for line in lines.filter(|line| !line.starts_with(b"#")) {
            self.writer.write_all(line)?;
        }
        Ok(())
    }
}
