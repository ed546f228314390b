//! A progress line on standard error. Failing to write it does not end a run.

use std::io::{self, IsTerminal as _};

use super::writer::Writer;

/// Erases the line before the next one replaces it.
const ERASE: &str = "\r\x1b[K";
/// Disables wrapping: a wrapped line could not be rewritten.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// Erases everything below the cursor: a terminal that was made narrower has wrapped the line.
const BELOW: &str = "\x1b[J";
/// Moves the cursor to the beginning of the line.
const BEGINNING: &str = "\r";

/// A line that is shown repeatedly.
#[derive(Debug)]
pub struct Progress {
    to: Writer,
    /// Whether each line replaces the previous one; otherwise each is a separate line.
    is_rewritten: bool,
}

impl Progress {
    /// Shows lines with the writer of standard error.
    pub fn new(to: Writer) -> Self {
        Self { to, is_rewritten: io::stderr().is_terminal() }
    }

    /// Whether each line replaces the previous one.
    pub fn is_rewritten(&self) -> bool {
        self.is_rewritten
    }

    /// Shows a line, if the queue has room.
    pub fn show(&self, line: &str) {
        self.offer(match self.is_rewritten {
            false => format!("{line}\n"),
            true => format!("{ERASE}{CUT}{BELOW}{line}{WRAP}{BEGINNING}"),
        });
    }

    /// Ends the last line, which stays visible.
    pub fn end(&self) {
        if self.is_rewritten {
            self.offer("\n".to_owned());
        }
    }

    /// Erases the last line.
    pub fn erase(&self) {
        if self.is_rewritten {
            self.offer(format!("{ERASE}{BELOW}"));
        }
    }

    fn offer(&self, text: String) {
        let _ = self.to.offer(text);
    }
}
