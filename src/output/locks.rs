//! Locks on output files.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;

/// Locks a file while it is open. The lock is advisory: only the programs of this package respect it.
///
/// # Errors
/// It is locked by another process, or by another output of this one. The error names the process if the system reports
/// it.
pub fn lock(file: &File, metadata: &Metadata) -> io::Result<()> {
    match file.try_lock() {
        // Files are written without a lock if the file system has none.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string("/proc/locks").ok().and_then(|locks| holder(&locks, metadata));
            let holder = match holder {
                Some(pid) if pid == std::process::id() => "another output of this process".to_owned(),
                Some(pid) => format!("process {pid}{}", name(pid)),
                None => "another process".to_owned(),
            };
            Err(io::Error::other(format!(
                "{holder} has it locked and writes to it: expected a file that no other process writes to"
            )))
        }
    }
}

/// The process that holds the flock(2) lock of a file, from lines like `1: FLOCK ADVISORY WRITE 4711 fd:01:1234 0 EOF`
/// (proc_locks(5)).
fn holder(locks: &str, metadata: &Metadata) -> Option<u32> {
    // Linux's encoding of major and minor device number.
    let device = metadata.dev();
    let (major, minor) = (device >> 8 & 0xfff | device >> 32 & !0xfff, device & 0xff | device >> 12 & !0xff);
    let file = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|fields| match *fields {
        [_, "FLOCK", _, _, pid, locked, ..] if locked == file => pid.parse().ok(),
        _ => None,
    })
}

/// " (smtpmock)"
fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if name.is_empty() { name } else { format!(" ({})", name.trim_end()) }
}
