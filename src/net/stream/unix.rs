//! Unix stream sockets: octets leave the process when the socket takes them, as over TCP.
//!
//! The file of a listening socket belongs to its server: a stale file is replaced, and the file is removed with the
//! last listener.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use mio::event::Source;
use mio::net::{UnixListener, UnixStream};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{Input, ListenOptions, Stream, Transport, departure, read_once, write_once};
use crate::config::SocketFileError;
use crate::records::Endpoint;

/// How long to wait for the start of another server in the same folder: [`ATTEMPTS`] times [`PAUSE`].
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(in crate::net) struct Unix {
    socket: UnixStream,
    /// The last write found less room than it needed.
    is_full: bool,
}

impl Unix {
    #[cfg(test)]
    pub(super) fn over(socket: UnixStream) -> Self {
        Self { socket, is_full: false }
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.socket
    }

    pub(super) fn departure(&self) -> Option<bool> {
        departure(&self.socket, || SockRef::from(&self.socket).peek(&mut [MaybeUninit::uninit()]))
    }

    /// Unread octets count against the sender's buffer, whose size only the sender can choose.
    pub(super) fn limit_receive_buffer(&self, _octets: usize) {}
}

impl Transport for Unix {
    /// A read stops after octets that came with a descriptor: a short one proves nothing.
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        read_once(&mut self.socket, buffer, |_| true)
    }

    #[inline]
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = write_once(&mut self.socket, octets)?;
        self.is_full = count < octets.len();
        Ok(count)
    }

    /// What the socket took is in the peer's receive queue.
    #[inline]
    fn unsent(&self) -> usize {
        0
    }

    #[inline]
    fn drive(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    #[inline]
    fn memory(&self) -> usize {
        0
    }

    #[inline]
    fn wants_room(&self) -> bool {
        self.is_full
    }

    fn owes_input(&self) -> bool {
        false
    }

    /// A Unix socket has no end other than its shutdown.
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Unix sockets have no reset: the peer gets an error only if its octets are unread.
    fn reset_at_end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        self.socket.local_addr().map(|address| endpoint(&address))
    }
}

/// A listening Unix socket. All shards share it: each connection is accepted by one of them.
///
/// Each connection wakes all shards; the late ones find none. The kernel could wake one alone (`EPOLLEXCLUSIVE`), but
/// mio can't ask for that.
#[derive(Debug)]
pub(crate) struct UnixAcceptor {
    /// Before the socket, to be dropped first: the file never outlives its listener.
    pub(super) file: Arc<SocketFile>,
    pub(super) socket: UnixListener,
}

impl UnixAcceptor {
    /// Sets the mode before connections are possible. Without one the process's umask applies.
    ///
    /// # Errors
    /// Errors of the system, or a [`SocketFileError`] within one.
    pub(super) fn open(path: &Arc<Path>, mode: Option<u32>, options: ListenOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let folder = lock_folder(path);
        remove_stale(path)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::of(path)?;
        if let Some(mode) = mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        drop(folder);
        Ok(Self { file: Arc::new(file), socket: UnixListener::from_std(socket.into()) })
    }

    /// The same socket, for another shard.
    pub(super) fn share(&self) -> io::Result<Self> {
        let socket = self.socket.as_fd().try_clone_to_owned()?;
        Ok(Self { file: Arc::clone(&self.file), socket: UnixListener::from_std(socket.into()) })
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.socket
    }

    pub(super) fn accept(&self) -> io::Result<(Stream, Endpoint)> {
        let (socket, peer) = self.socket.accept()?;
        Ok((Stream::Unix(Unix { socket, is_full: false }), endpoint(&peer)))
    }

    pub(super) fn local_addr(&self) -> io::Result<Endpoint> {
        Ok(Endpoint::Unix(Some(Arc::clone(&self.file.path))))
    }
}

fn endpoint(address: &SocketAddr) -> Endpoint {
    Endpoint::Unix(address.as_pathname().map(Arc::from))
}

/// The file of a listening socket; removed when dropped, unless it was replaced.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: Arc<Path>,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Arc<Path>) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: Arc::clone(path), identity: identity(&metadata) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that can't be removed is replaced by the next server there.
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode.
fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Removes a socket that no server listens at.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other(SocketFileError::NotASocket));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // A server that stops may have removed it already.
            fs::remove_file(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        }
        // A server that stops may have removed it already.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Its queue is full, so a server listens.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::other(SocketFileError::InUse { process: None }))
        }
        Err(error) => Err(error),
        Ok(()) => Err(io::Error::other(SocketFileError::InUse { process: peer_process(&probe) })),
    }
}

/// The pid of the peer of a Unix socket, if the system reports it.
#[cfg(target_os = "linux")]
fn peer_process(socket: &Socket) -> Option<i32> {
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

#[cfg(not(target_os = "linux"))]
fn peer_process(_: &Socket) -> Option<i32> {
    None
}

/// Locks the folder until dropped, so that no other server takes a socket that is bound but not listening yet for a
/// stale one. A folder that can't be locked is used without a lock: only servers that start at the same moment need it.
fn lock_folder(path: &Path) -> Option<File> {
    let folder = File::open(path.parent()?).ok()?;
    for _ in 0..ATTEMPTS {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(fs::TryLockError::Error(_)) => return None,
        }
    }
    None
}
