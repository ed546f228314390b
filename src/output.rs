//! Where a run's figures go: files, standard output, and a line for whoever watches.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// A file, or standard output for `-`.
pub(crate) struct Output {
    writer: Box<dyn Write + Send>,
    pub(crate) place: Place,
}

/// What is written, and where; for errors.
#[derive(Clone)]
pub(crate) struct Place {
    what: &'static str,
    path: PathBuf,
}

impl Place {
    /// "can't write the JSON report to PATH: no space left"
    pub(crate) fn error(&self, error: &io::Error) -> String {
        match self.path.as_os_str() == "-" {
            true => format!("can't write {} to standard output: {error}", self.what),
            false => format!("can't write {} to {}: {error}", self.what, self.path.display()),
        }
    }
}

impl Output {
    /// Creates the file, so that what can't be written is known before it is needed.
    pub(crate) fn create(what: &'static str, path: &Path) -> Result<Self, String> {
        let place = Place { what, path: path.to_owned() };
        let writer: Box<dyn Write + Send> = match path.as_os_str() == "-" {
            true => Box::new(io::stdout()),
            false => Box::new(File::create(path).map_err(|error| place.error(&error))?),
        };
        Ok(Self { writer, place })
    }

    /// Writes all of it.
    pub(crate) fn put(&mut self, text: &str) -> Result<(), String> {
        match self.write_all(text.as_bytes()).and_then(|()| self.flush()) {
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(self.place.error(&error)),
            _ => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A line on standard error, over and over. Not being able to show it is no reason to end a run.
pub(crate) enum Progress {
    /// Each on a line of its own.
    Lines,
    /// On a terminal: each in place of the one before.
    Terminal,
}

impl Progress {
    pub(crate) fn new() -> Self {
        if io::stderr().is_terminal() { Self::Terminal } else { Self::Lines }
    }

    pub(crate) fn show(&self, line: &str) {
        const ERASE: &str = "\x1b[K";
        // A line that goes on in the next row could not be rewritten.
        const CUT: &str = "\x1b[?7l";
        const WRAP: &str = "\x1b[?7h";
        let _ = match self {
            Self::Lines => writeln!(io::stderr(), "{line}"),
            Self::Terminal => write!(io::stderr(), "\r{ERASE}{CUT}{line}{WRAP}"),
        };
    }

    /// Leaves the last line standing.
    pub(crate) fn end(&self) {
        if matches!(self, Self::Terminal) {
            let _ = writeln!(io::stderr());
        }
    }
}
