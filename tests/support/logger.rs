//! Loggers that handle the lines of all levels in one place.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use smtpmock::Logger;

/// Receives the lines of all levels.
pub(crate) trait Lines: Send + Sync {
    fn line(&self, level: &str, text: &str);

    fn flush(&self) {}
}

/// The logger that passes its lines on.
pub(crate) struct To<T>(pub(crate) T);

impl<T: Lines> Logger for To<T> {
    fn info_activity(&self, _: SystemTime, text: &str) {
        self.0.line("INFO", text);
    }

    fn info(&self, _: SystemTime, text: &str) {
        self.0.line("INFO", text);
    }

    fn warning(&self, _: SystemTime, text: &str) {
        self.0.line("WARNING", text);
    }

    fn error(&self, _: SystemTime, text: &str) {
        self.0.line("ERROR", text);
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Discards its lines.
pub(crate) struct Silent;

impl Lines for Silent {
    fn line(&self, _: &str, _: &str) {}
}

/// Retains its lines as `LEVEL: text`.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().expect("never poisoned").clone()
    }

    /// How many lines contain this text.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }
}

impl Lines for Recorder {
    fn line(&self, level: &str, text: &str) {
        self.0.lock().expect("never poisoned").push(format!("{level}: {text}"));
    }
}
