//! The destination of a capture and its format.

use std::io;
use std::path::Path;

use super::folder::{Folder, Kind};
use super::{CaptureFormat, json, mbox};
use crate::output::{Output, PIECE, Place, Pulse};
use crate::records::Message;

/// Records are buffered up to this many bytes before they are written.
const WRITE_AT: usize = PIECE;

/// Largest buffer that is retained.
const RETAINED: usize = 16 * WRITE_AT;

#[derive(Debug)]
pub(crate) enum Target {
    /// Records in one output, each written whole: others may write to the same output.
    File { output: Output, form: Form, gathered: Vec<u8> },
    /// A file for each record.
    Folder(Folder),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    JsonLines,
    Mbox,
}

impl Target {
    /// Opens a capture, unless already open, and empties it. Existing files of a folder are not touched.
    ///
    /// # Errors
    /// It can't be opened, emptied or created.
    pub(crate) fn open(path: &Path, format: CaptureFormat, open: Option<Output>) -> io::Result<Self> {
        let file = |form| {
            let mut output = open.map_or_else(|| Output::open(Place::new("the capture", path)), Ok)?;
            output.empty()?;
            Ok(Self::File { output, form, gathered: Vec::new() })
        };
        match format {
            CaptureFormat::JsonLines => file(Form::JsonLines),
            CaptureFormat::Mbox => file(Form::Mbox),
            CaptureFormat::Maildir => Folder::open(path, Kind::Maildir).map(Self::Folder),
            CaptureFormat::Eml => Folder::open(path, Kind::Eml).map(Self::Folder),
        }
    }

    /// Reports progress of the writes to `pulse`.
    pub(super) fn shown_by(&self, pulse: &Pulse) {
        if let Self::File { output, .. } = self {
            output.shown_by(pulse);
        }
    }

    /// Writes a record, or buffers it. Formats of mails skip records without an accepted message.
    pub(super) fn put(&mut self, message: &Message, pulse: &Pulse) -> io::Result<()> {
        let is_mail = message.msg();
        let at = message.arrived_at();
        match self {
            Self::File { form: Form::JsonLines, gathered, .. } => json::append(gathered, message, pulse),
            Self::File { form: Form::Mbox, gathered, .. } if is_mail => mbox::append(gathered, message, at),
            Self::Folder(folder) if is_mail => folder.put(message, at, pulse)?,
            Self::File { .. } | Self::Folder(_) => {}
        }
        match self {
            Self::File { output, gathered, .. } if gathered.len() >= WRITE_AT => {
                let count = output.worth_writing(gathered.len());
                output.write(&gathered[..count], pulse)?;
                gathered.drain(..count);
                // A long line must not occupy its memory from then on.
                gathered.shrink_to(RETAINED);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn flush(&mut self, pulse: &Pulse) -> io::Result<()> {
        if let Self::File { output, gathered, .. } = self {
            output.write(gathered, pulse)?;
            gathered.clear();
            gathered.shrink_to(RETAINED);
        }
        Ok(())
    }

    /// Opens it again by its name, after it was renamed. The buffer belongs to the old file.
    pub(super) fn reopen(&mut self, pulse: &Pulse) -> io::Result<()> {
        self.flush(pulse)?;
        match self {
            Self::File { output, .. } => output.reopen().map(drop),
            Self::Folder(folder) => folder.make(),
        }
    }

    /// Checks, as far as possible, that written records can still be found there.
    pub(super) fn check(&self) -> io::Result<()> {
        match self {
            Self::File { output, .. } => output.check(),
            Self::Folder(folder) => folder.check(),
        }
    }
}
