//! Reading whole files with a limit on size and time, because a device or pipe may never end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// How long a FIFO may have no writer.
const WRITER_WAIT: Duration = Duration::from_secs(5);

/// How long a pipe with a writer may give nothing. A writer may ask for a passphrase first.
const OCTETS_WAIT: Duration = Duration::from_secs(60);

/// The content of the file. A pipe, such as the shell's `<(…)`, is read to its end.
///
/// # Errors
/// It can't be read, is larger than `limit` bytes, or is a pipe that has no writer for five seconds, or gives nothing
/// for a minute.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() || kind.is_socket() {
        return Err(io::Error::other(if kind.is_dir() { "a directory" } else { "a socket" }));
    }
    if kind.is_fifo() {
        return read_pipe(path, limit);
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

/// Reads on another thread, as opening a FIFO blocks too. The thread is abandoned if the pipe gives nothing.
fn read_pipe(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (pieces, received) = mpsc::sync_channel(1);
    let path = path.to_owned();
    thread::Builder::new().name("smtpmock-input".to_owned()).spawn(move || {
        if let Err(error) = copy(&path, &pieces) {
            // Fails only if the reader was abandoned.
            let _ = pieces.send(Err(error));
        }
    })?;
    collect(&received, limit)
}

/// Sends an empty piece when the pipe has a writer, and then its content, until its end or until nobody receives it.
fn copy(path: &Path, pieces: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut pipe = File::open(path)?;
    let mut piece = vec![0; 64 << 10];
    let mut is_received = pieces.send(Ok(Vec::new())).is_ok();
    while is_received {
        let length = match pipe.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        is_received = length > 0 && pieces.send(Ok(piece[..length].to_vec())).is_ok();
    }
    Ok(())
}

fn collect(received: &Receiver<io::Result<Vec<u8>>>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut patience, mut lacks) = (WRITER_WAIT, "had no writer");
    loop {
        match received.recv_timeout(patience) {
            Ok(piece) => bytes.append(&mut piece?),
            Err(RecvTimeoutError::Disconnected) => return Ok(bytes),
            Err(RecvTimeoutError::Timeout) => {
                let reason = format!("a pipe that has {lacks} for {patience:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
        }
        (patience, lacks) = (OCTETS_WAIT, "given nothing");
        bytes = within(limit, bytes)?;
    }
}
