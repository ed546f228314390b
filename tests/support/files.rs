//! Files for the time of a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A name in the folder for temporary files; the file is removed with it.
#[derive(Debug)]
pub(crate) struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// A name under which there is no file yet.
    pub(crate) fn absent() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("smtpmock-test-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn holding(content: &str) -> Self {
        let file = Self::absent();
        std::fs::write(&file.0, content).expect("a writable folder for temporary files");
        file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path as text.
    pub(crate) fn text(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    pub(crate) fn content(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_else(|error| panic!("{}: {error}", self.0.display()))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
