//! Files that are read whole, up to a bound: a device or a pipe may have no end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::report::{Report, json};

/// The largest report read, in bytes: reports take a few MiB, and a device has no end.
const FILE_LIMIT: u64 = 64 << 20;

/// What is in the file.
///
/// # Errors
///
/// It cannot be read, or has more than `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

/// The report in a file.
pub(crate) fn report(path: &Path) -> Result<Report, String> {
    read(path, FILE_LIMIT)
        .map_err(|error| error.to_string())
        .and_then(|bytes| json::parse(&bytes))
        .map_err(|error| format!("{}: {error}", path.display()))
}
