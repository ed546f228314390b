//! The file of `--tls-ca-out`: the certificate of this server's own CA, for clients to trust.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use smtpmock::Tls;
use smtpmock::output::lock;

use super::ready::{create, unfinished_name};

/// Most octets compared: a larger file is something else.
const MOST_OCTETS: u64 = 1 << 20;
/// How often another process may replace the file meanwhile.
const TRIES: usize = 16;

/// Writes the certificate, replacing that of an earlier run. The returned file is locked: while it is open, other
/// servers do not replace it, which would make clients trust another CA. `None`: the file already has this certificate,
/// of a permanent CA.
///
/// # Errors
/// The file is something else, or belongs to a running server; or it can't be written.
pub(crate) fn publish(path: &Path, pem: &str) -> io::Result<Option<File>> {
    for _ in 0..TRIES {
        let is_written = match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(io::Error::other("it is not a regular file: expected the path of a file"));
            }
            Ok(_) => {
                let mut old = File::open(path)?;
                let mut text = Vec::new();
                (&mut old).take(MOST_OCTETS).read_to_end(&mut text)?;
                if text == pem.as_bytes() {
                    return Ok(None);
                }
                if !text.is_empty() && !str::from_utf8(&text).is_ok_and(Tls::is_made_ca) {
                    return Err(io::Error::other(
                        "it has other content: expected no file, or the one certificate that an earlier run has written there",
                    ));
                }
                replace(path, &old, pem)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => put(path, pem, true)?,
            Err(error) => return Err(error),
        };
        if is_written.is_some() {
            return Ok(is_written);
        }
    }
    Err(io::Error::other("other processes replace it all the time: expected a file of this server alone"))
}

/// `None`: another process has replaced the file meanwhile.
fn replace(path: &Path, old: &File, pem: &str) -> io::Result<Option<File>> {
    let metadata = old.metadata()?;
    lock(old, &metadata)?;
    let is_same = |now: fs::Metadata| (now.dev(), now.ino()) == (metadata.dev(), metadata.ino());
    match fs::symlink_metadata(path).is_ok_and(is_same) {
        true => put(path, pem, false),
        false => Ok(None),
    }
}

/// Writes the file atomically: a reader finds all of it or the previous content. `None`: `is_new` was required, but a
/// file exists.
fn put(path: &Path, pem: &str, is_new: bool) -> io::Result<Option<File>> {
    let unfinished = unfinished_name(path)?;
    let mut file = create(&unfinished)?;
    let written = file
        .write_all(pem.as_bytes())
        .and_then(|()| lock(&file, &file.metadata()?))
        .and_then(|()| if is_new { fs::hard_link(&unfinished, path) } else { fs::rename(&unfinished, path) });
    let written = match written {
        Err(error) if is_new && error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        // The file system has no hard links.
        Err(error) if is_new && !path.exists() => {
            fs::rename(&unfinished, path).map(|()| Some(file)).or(Err(error))
        }
        written => written.map(|()| Some(file)),
    };
    // Already gone after a rename. The first error is reported.
    let _ = fs::remove_file(&unfinished);
    written
}
