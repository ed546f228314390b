//! Reading whole files up to a limit of octets and of time, because a device or a pipe may never end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// How long a pipe may give nothing. A FIFO that no process writes to would be waited for without end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The content of the file. A pipe, like one of the shell's `<(…)`, is read to its end.
///
/// # Errors
/// It can't be read, is larger than `limit` bytes, or is a pipe that gives nothing for five seconds.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() || kind.is_socket() {
        return Err(io::Error::other(if kind.is_dir() { "a directory" } else { "a socket" }));
    }
    if kind.is_fifo() {
        return read_pipe(path, limit, PATIENCE);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    within(limit, bytes)
}

fn within(limit: u64, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    match bytes.len() as u64 > limit {
        true => Err(io::Error::other(format!("larger than {} MiB", limit >> 20))),
        false => Ok(bytes),
    }
}

/// Reads on a thread, as opening a FIFO waits, too. The thread is left behind where the pipe gives nothing.
fn read_pipe(path: &Path, limit: u64, patience: Duration) -> io::Result<Vec<u8>> {
    let (pieces, received) = mpsc::sync_channel(1);
    let path = path.to_owned();
    thread::Builder::new().name("smtpmock-input".to_owned()).spawn(move || {
        if let Err(error) = copy(&path, &pieces) {
            // Nobody waits for it any more otherwise.
            let _ = pieces.send(Err(error));
        }
    })?;
    collect(&received, limit, patience)
}

/// Sends what the pipe gives, until its end or until nobody receives it.
fn copy(path: &Path, pieces: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut pipe = File::open(path)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = match pipe.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        if length == 0 || pieces.send(Ok(piece[..length].to_vec())).is_err() {
            return Ok(());
        }
    }
}

fn collect(received: &Receiver<io::Result<Vec<u8>>>, limit: u64, patience: Duration) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match received.recv_timeout(patience) {
            Ok(piece) => bytes.append(&mut piece?),
            Err(RecvTimeoutError::Disconnected) => return Ok(bytes),
            Err(RecvTimeoutError::Timeout) => {
                let reason = format!("a pipe that has given nothing for {patience:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
        }
        bytes = within(limit, bytes)?;
    }
}
