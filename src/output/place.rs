//! Destinations of outputs, their errors, and the identity of files.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

/// The name of an output and its destination, for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Like "the JSON report"; empty for a standard stream, which carries several outputs.
    what: &'static str,
    pub(super) target: Target,
}

/// A file or a standard stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    StandardOutput,
    StandardError,
    Path(PathBuf),
}

impl Place {
    /// The destination that a path names as typed; `-` is standard output.
    pub fn new(what: &'static str, path: &Path) -> Self {
        let target = match path.as_os_str() == "-" {
            true => Target::StandardOutput,
            false => Target::Path(path.to_owned()),
        };
        Self { what, target }
    }

    pub(super) fn stream(target: Target) -> Self {
        Self { what: "", target }
    }

    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    pub(super) fn fails(&self, reason: impl Into<Reason>) -> OutputError {
        OutputError { place: self.clone(), reason: reason.into() }
    }
}

/// The error of an output that can't be written. Displays as "can't write the JSON report to PATH: no space left on
/// device".
#[derive(Clone, Debug)]
pub struct OutputError {
    place: Place,
    reason: Reason,
}

/// Why an output can't be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The system reported an error.
    System(Arc<io::Error>),
    /// A FIFO has no reader.
    Unread,
    /// The queue was full, because the reader was too slow.
    Overrun,
    /// Its reader read nothing for this long.
    Stuck(Duration),
}

impl OutputError {
    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        Self::System(Arc::new(error))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::Unread => f.write_str("no process has opened it for reading"),
            Self::Overrun => f.write_str("its reader was too slow, and part of the output was lost"),
            Self::Stuck(patience) => write!(f, "its reader took nothing for {patience:?}"),
        }
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, reason } = self;
        let space = if place.what.is_empty() { "" } else { " " };
        write!(f, "can't write{space}{} to {place}: {reason}", place.what)
    }
}

impl std::error::Error for OutputError {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::StandardOutput => f.write_str("standard output"),
            Target::StandardError => f.write_str("standard error"),
            Target::Path(path) => path.display().fmt(f),
        }
    }
}

/// The identity of a file, independent of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// `None` for a device, like `/dev/null` or a terminal, which several outputs may share.
    pub(super) fn to_compare(metadata: &Metadata) -> Option<Self> {
        let kind = metadata.file_type();
        (!kind.is_char_device() && !kind.is_block_device()).then(|| Self::of(metadata))
    }
}
