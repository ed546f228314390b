//! A line on standard error while a run goes on. Not being able to show one is no reason to end a run.

use std::io::{self, IsTerminal as _};

use super::writer::Writer;

/// The line is erased before the next is written in its place.
const ERASE: &str = "\r\x1b[K";
/// A line that went on in the next row could not be rewritten.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// A terminal that was made narrower has broken the line: what is below its beginning, where the cursor is, goes too.
const BELOW: &str = "\x1b[J";
/// The cursor waits there.
const BEGINNING: &str = "\r";

/// A line, over and over.
#[derive(Debug)]
pub struct Progress {
    to: Writer,
    /// Each in place of the one before; otherwise each on a line of its own.
    is_rewritten: bool,
}

impl Progress {
    /// Lines for what writes to standard error.
    pub fn new(to: Writer) -> Self {
        Self { to, is_rewritten: io::stderr().is_terminal() }
    }

    /// Whether a line replaces the one before.
    pub fn is_rewritten(&self) -> bool {
        self.is_rewritten
    }

    /// Shows a line, if there is room for it.
    pub fn show(&self, line: &str) {
        self.offer(match self.is_rewritten {
            false => format!("{line}\n"),
            true => format!("{ERASE}{CUT}{BELOW}{line}{WRAP}{BEGINNING}"),
        });
    }

    /// Leaves the last line standing.
    pub fn end(&self) {
        if self.is_rewritten {
            self.offer("\n".to_owned());
        }
    }

    /// Takes the last line away.
    pub fn erase(&self) {
        if self.is_rewritten {
            self.offer(format!("{ERASE}{BELOW}"));
        }
    }

    fn offer(&self, text: String) {
        let _ = self.to.offer(text);
    }
}
