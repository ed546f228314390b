//! Interval logs in HdrHistogram's log format, for its tools: one line per interval and distribution, tagged with the
//! distribution's name.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::stats::{Numbers, Stats};

/// A log that is written during a run.
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
    /// The divisor of the column of maximum values.
    max_divisor: f64,
}

impl<W: Write> IntervalLog<W> {
    /// Creates a log of a server's figures, with durations in microseconds, also in the column of maximum values.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn new(writer: W, started_at: SystemTime) -> io::Result<Self> {
        let comments = [
            concat!("smtpmock ", env!("CARGO_PKG_VERSION")),
            "durations in microseconds, data.rate in octets a second",
        ];
        Self::with_comments(writer, started_at, &comments, 1.0)
    }

    /// Creates a log of any figures, with these comments in the header. The values in the column of maximum values are
    /// divided by `max_divisor`, for people.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
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

    /// Writes the figures between two readings: a line for each non-empty distribution. Flushes the writer, so that
    /// readers can follow the log.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn write(&mut self, difference: &Stats) -> io::Result<()> {
        for (name, metric) in difference.metrics() {
            if let Some(histogram) = metric.as_numbers().and_then(Numbers::histogram) {
                self.write_histogram(&name, histogram, difference.begins, difference.length())?;
            }
        }
        self.writer.flush()
    }

    /// Writes one line for a distribution. `begins` is the start of the interval, counted from that of the log.
    ///
    /// # Errors
    ///
    /// Errors of the writer; or a name with a comma or white space, which the format does not allow.
    pub fn write_histogram(
        &mut self,
        name: &str,
        histogram: &Histogram<u64>,
        begins: Duration,
        length: Duration,
    ) -> io::Result<()> {
        let tag = Tag::new(name).ok_or_else(|| {
            io::Error::other(format!("`{name}` is not a valid tag: it has a comma or white space"))
        })?;
        // The library's writer borrows its output, so each line gets a new one. Its first line, the divisor, is in
        // the header already and is removed.
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
