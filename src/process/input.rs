//! Files that are read whole, up to a bound: a device or a pipe may have no end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// What is in the file.
///
/// # Errors
/// It can't be read, or has more than `limit` bytes.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}
