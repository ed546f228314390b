//! Where an output goes, in words; and which file that is.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

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

    /// "can't write the JSON report to PATH: no space left on device"
    pub fn error(&self, error: &dyn fmt::Display) -> String {
        let space = if self.what.is_empty() { "" } else { " " };
        format!("can't write{space}{} to {self}: {error}", self.what)
    }
}

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
