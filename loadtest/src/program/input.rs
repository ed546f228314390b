//! Input files, read whole and bounded: a device or a pipe may have no end.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use smtpmock::read_bounded;

use crate::report::Report;
use crate::report::json::{self, ReportError};

/// Reads a report.
pub(crate) fn report(path: &Path) -> Result<Report, InputError> {
    let error = |reason| InputError { path: path.to_owned(), reason };
    let bytes = read_bounded(path, json::FILE_LIMIT).map_err(|why| error(InputReason::File(why)))?;
    json::parse(&bytes).map_err(|why| error(InputReason::Report(why)))
}

/// A file that can't be read, or is no report.
#[derive(Debug)]
pub(crate) struct InputError {
    path: PathBuf,
    reason: InputReason,
}

#[derive(Debug)]
enum InputReason {
    File(io::Error),
    Report(ReportError),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            InputReason::File(error) => error.fmt(f),
            InputReason::Report(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InputError {}
