//! Where an output goes, in words; and which file that is.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is written, and where to; for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// "the JSON report"; empty for a standard stream, which many write to.
    what: &'static str,
    pub(super) target: Target,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    StandardOutput,
    StandardError,
    Path(PathBuf),
}

impl Place {
    /// That of a path as it is typed; `-` is standard output.
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

/// An output that can't be written. Displays as "can't write the JSON report to PATH: no space left on device".
#[derive(Clone, Debug)]
pub struct OutputError {
    place: Place,
    reason: Reason,
}

/// Why an output can't be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The system refuses it.
    System(Arc<io::Error>),
    /// A FIFO has no reader.
    Unread,
    /// More was to be written than its reader took in time.
    Overrun,
    /// Its reader took nothing for this long.
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
            Self::Unread => f.write_str("nobody has opened it for reading"),
            Self::Overrun => f.write_str("its reader did not keep up, and some was lost"),
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

/// One file, by whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// `None` for a device, like `/dev/null` or a terminal: any number of outputs may go there.
    pub(super) fn to_compare(metadata: &Metadata) -> Option<Self> {
        let kind = metadata.file_type();
        (!kind.is_char_device() && !kind.is_block_device()).then(|| Self::of(metadata))
    }
}
