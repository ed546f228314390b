//! Reading whole files up to a limit, because a device or a pipe may never end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The content of the file.
///
/// # Errors
/// It can't be read, or is larger than `limit` bytes.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}
