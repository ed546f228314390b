//! Loggers. They run on a separate thread, never on a reactor.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use chrono::{DateTime, Local};

use crate::output::Writer;
use crate::process::lock;

/// Receives log lines on a separate thread, one at a time, in the order of the events.
///
/// The four levels are go-smtp-mock's. Each text is one line, with control characters escaped. A panic of the logger
/// loses only the line at which it occurred.
///
/// ```
/// use std::time::SystemTime;
/// use smtpmock::{Config, Logger, Server};
///
/// /// Into the captured output of a test, instead of standard output.
/// struct ToTestOutput;
///
/// impl Logger for ToTestOutput {
///     fn info_activity(&self, _: SystemTime, text: &str) { println!("{text}") }
///     fn info(&self, _: SystemTime, text: &str) { println!("{text}") }
///     fn warning(&self, _: SystemTime, text: &str) { println!("warning: {text}") }
///     fn error(&self, _: SystemTime, text: &str) { println!("error: {text}") }
/// }
///
/// let server = Server::start(Config::default().logger(ToTestOutput))?;
/// # Ok::<(), smtpmock::StartError>(())
/// ```
pub trait Logger: Send + Sync {
    /// Events of sessions: requests, responses, delays, starts and ends.
    fn info_activity(&self, at: SystemTime, text: &str);
    /// Events of the server.
    fn info(&self, at: SystemTime, text: &str);
    /// Unusual but harmless events.
    fn warning(&self, at: SystemTime, text: &str);
    /// Failures.
    fn error(&self, at: SystemTime, text: &str);
    /// Called when no line is waiting, to flush.
    fn flush(&self) {}
    /// Called by another thread when the server has stopped, while the last lines are logged. A stop abandons a
    /// logger that accepts no line for five seconds.
    fn closing(&self) {}
}

/// A shared logger, as part of the settings.
#[derive(Clone)]
pub(crate) struct SharedLogger(Arc<dyn Logger>);

impl SharedLogger {
    pub(crate) fn new(logger: impl Logger + 'static) -> Self {
        Self(Arc::new(logger))
    }
}

impl std::ops::Deref for SharedLogger {
    type Target = dyn Logger;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SharedLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logger")
    }
}

/// go-smtp-mock's log lines, `INFO: 2021/11/30 22:07:30.554827 SMTP request: EHLO example.com`, in local
/// time: INFO and WARNING to standard output, ERROR to standard error.
///
/// ```
/// use smtpmock::{Config, Server, StdLogger};
///
/// let server = Server::start(Config::default().logger(StdLogger::new()))?;
/// # Ok::<(), smtpmock::StartError>(())
/// ```
#[derive(Debug, Default)]
pub struct StdLogger {
    lines: Mutex<Lines>,
    to: To,
}

/// The destination of lines.
#[derive(Debug, Default)]
enum To {
    /// The standard streams of the process. Errors of writing are ignored, because they must not stop the server.
    #[default]
    Standard,
    /// The writers of outputs.
    Writers { lines: Writer, errors: Writer },
}

#[derive(Debug, Default)]
struct Lines {
    /// Not yet written to standard output.
    pending: Vec<u8>,
    /// Formatting a date costs more than the rest of a line, and it changes once a second.
    second: i64,
    date: String,
}

/// Standard output is written to at least this often, in bytes.
const WRITE_AT: usize = 64 * 1024;

impl StdLogger {
    /// A logger that writes every level.
    pub fn new() -> Self {
        Self::default()
    }

    /// A logger with these writers for lines and for errors.
    #[doc(hidden)]
    pub fn writing_to(lines: Writer, errors: Writer) -> Self {
        Self { lines: Mutex::default(), to: To::Writers { lines, errors } }
    }

    fn write(&self, level: &str, at: SystemTime, text: &str) {
        let mut lines = lock(&self.lines);
        lines.append(level, at, text);
        if lines.pending.len() >= WRITE_AT {
            self.to.write(&mut lines.pending);
        }
    }
}

impl To {
    fn write(&self, pending: &mut Vec<u8>) {
        match self {
            Self::Standard => {
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(pending).and_then(|()| stdout.flush());
                pending.clear();
            }
            // The log's thread waits for room; events beyond its queue meanwhile are counted as dropped.
            Self::Writers { lines, .. } if !pending.is_empty() => drop(lines.push(std::mem::take(pending))),
            Self::Writers { .. } => {}
        }
    }

    fn write_error(&self, line: Vec<u8>) {
        match self {
            Self::Standard => drop(io::stderr().lock().write_all(&line)),
            Self::Writers { errors, .. } => errors.put(line),
        }
    }
}

impl Lines {
    fn append(&mut self, level: &str, at: SystemTime, text: &str) {
        let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let second = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        if self.date.is_empty() || second != self.second {
            self.second = second;
            self.date = DateTime::<Local>::from(at).format("%Y/%m/%d %H:%M:%S").to_string();
        }
        for part in [level, ": ", &self.date, "."] {
            self.pending.extend_from_slice(part.as_bytes());
        }
        let mut micros = since_epoch.subsec_micros();
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit += (micros % 10) as u8;
            micros /= 10;
        }
        self.pending.extend_from_slice(&digits);
        self.pending.push(b' ');
        self.pending.extend_from_slice(text.as_bytes());
        self.pending.push(b'\n');
    }
}

impl Logger for StdLogger {
    fn info_activity(&self, at: SystemTime, text: &str) {
        self.write("INFO", at, text);
    }

    fn info(&self, at: SystemTime, text: &str) {
        self.write("INFO", at, text);
    }

    fn warning(&self, at: SystemTime, text: &str) {
        self.write("WARNING", at, text);
    }

    fn error(&self, at: SystemTime, text: &str) {
        let mut line = Lines::default();
        line.append("ERROR", at, text);
        self.to.write_error(line.pending);
    }

    fn flush(&self) {
        self.to.write(&mut lock(&self.lines).pending);
    }

    fn closing(&self) {
        if let To::Writers { lines, .. } = &self.to {
            lines.widen();
        }
    }
}

impl Drop for StdLogger {
    fn drop(&mut self) {
        Logger::flush(self);
    }
}
