//! One open output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal as _, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::locks;
use super::place::{Identity, Place, Target};
use super::pulse::Pulse;
use crate::process::{lock, with_descriptor};

/// The size of a write to a file, in bytes; each write counts as progress. Writes end at multiples of this in the
/// file, because a write across such a boundary costs file systems up to a third more.
pub(crate) const PIECE: usize = 256 << 10;
/// The size of a write to a pipe, socket or terminal: a larger write would block several times before it returns.
const PIECE_OF_STREAM: usize = 4 << 10;

/// Serialises writes to standard output and standard error, which several threads share.
static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

/// An output that is open.
#[derive(Debug)]
pub struct Output {
    pub(super) place: Place,
    file: Arc<File>,
    identity: Identity,
    kind: Kind,
    /// The file was created by opening it, and nothing has been written. A drop in this state removes it.
    is_unused: bool,
    /// The length of a regular file up to the last write; for other kinds, the bytes written.
    length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Regular,
    Pipe,
    /// A socket or a terminal.
    Stream,
    /// A device that is not a terminal, like `/dev/null`.
    Device,
}

/// The result of opening without waiting.
pub(super) enum Opened {
    Output(Output),
    /// A FIFO without a reader.
    Unread(Identity),
}

impl Output {
    /// Opens a file, or standard output for `-`, waits for the reader of a FIFO, and locks it. The content is
    /// unchanged.
    ///
    /// # Errors
    /// It can't be opened, or another process writes to it.
    pub fn open(place: Place) -> io::Result<Self> {
        let path = match &place.target {
            Target::StandardOutput => return Self::stream(place, io::stdout().as_fd()),
            Target::StandardError => return Self::stream(place, io::stderr().as_fd()),
            Target::Path(path) => path.clone(),
        };
        let (file, is_new) = open(&path, 0)?;
        let output = Self::new(place, file, is_new)?;
        output.lock()?;
        Ok(output)
    }

    /// Standard output.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn standard_output() -> io::Result<Self> {
        Self::open(Place::stream(Target::StandardOutput))
    }

    /// Standard error.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn standard_error() -> io::Result<Self> {
        Self::open(Place::stream(Target::StandardError))
    }

    /// As [`open`](Self::open), but never waits, and does not lock yet.
    pub(super) fn try_open(place: Place) -> io::Result<Opened> {
        let Target::Path(path) = &place.target else { return Self::open(place).map(Opened::Output) };
        let opened = open(path, OFlags::NONBLOCK.bits().cast_signed());
        let (file, is_new) = match (opened, fs::metadata(path)) {
            (Ok(opened), _) => opened,
            // ENXIO: the FIFO has no reader.
            (Err(error), Ok(metadata))
                if metadata.file_type().is_fifo() && Errno::from_io_error(&error) == Some(Errno::NXIO) =>
            {
                return Ok(Opened::Unread(Identity::of(&metadata)));
            }
            (Err(error), _) => return Err(error),
        };
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        Self::new(place, file, is_new).map(Opened::Output)
    }

    fn stream(place: Place, stream: impl AsFd) -> io::Result<Self> {
        Self::new(place, File::from(stream.as_fd().try_clone_to_owned()?), false)
    }

    fn new(place: Place, mut file: File, is_unused: bool) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::Regular,
            kind if kind.is_fifo() => Kind::Pipe,
            kind if kind.is_char_device() && !file.is_terminal() => Kind::Device,
            _ => Kind::Stream,
        };
        let length = match (kind, &place.target) {
            (Kind::Regular, Target::Path(_)) => metadata.len(),
            // After earlier output of the shell or another parent process.
            (Kind::Regular, _) => file.stream_position()?,
            _ => 0,
        };
        Ok(Self { place, file: Arc::new(file), identity: Identity::of(&metadata), kind, is_unused, length })
    }

    /// The destination.
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// `None` for a device, which several outputs may share.
    pub(super) fn to_compare(&self) -> io::Result<Option<Identity>> {
        Ok(Identity::to_compare(&self.file.metadata()?))
    }

    /// Locks a file against other writers. Standard streams are shared, and not locked.
    pub(super) fn lock(&self) -> io::Result<()> {
        match (self.kind, &self.place.target) {
            (Kind::Regular, Target::Path(_)) => locks::lock(&self.file, &self.file.metadata()?),
            _ => Ok(()),
        }
    }

    /// Truncates a file. A standard stream is unchanged.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn empty(&mut self) -> io::Result<()> {
        self.is_unused = false;
        if let (Kind::Regular, Target::Path(_)) = (self.kind, &self.place.target) {
            // Truncating an empty file is avoided: some file systems then flush all later writes on close.
            if self.length > 0 {
                self.file.set_len(0)?;
            }
            self.length = 0;
        }
        Ok(())
    }

    /// Lets `pulse` observe how much the reader of a pipe reads.
    pub(crate) fn shown_by(&self, pulse: &Pulse) {
        if self.kind == Kind::Pipe {
            pulse.watch(&self.file);
        }
    }

    /// Writes all bytes, and notes the progress of each write.
    ///
    /// # Errors
    /// Errors of the system; or another program has truncated the file.
    pub(crate) fn write(&mut self, bytes: &[u8], pulse: &Pulse) -> io::Result<()> {
        self.check_length()?;
        let turn = match self.place.target {
            Target::StandardOutput => Some(lock(&TURNS[0])),
            Target::StandardError => Some(lock(&TURNS[1])),
            Target::Path(_) => None,
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(self.room_in_piece().min(rest.len()));
            self.write_piece(piece, pulse)?;
            self.length += piece.len() as u64;
            rest = behind;
        }
        drop(turn);
        Ok(())
    }

    /// The size of the next write, in bytes.
    fn room_in_piece(&self) -> usize {
        match self.kind {
            Kind::Regular => PIECE - (self.length % PIECE as u64) as usize,
            Kind::Device => PIECE,
            Kind::Pipe | Kind::Stream => PIECE_OF_STREAM,
        }
    }

    /// How many of `count` pending bytes to write now if more will follow. For a locked file these are whole pieces.
    /// For any other output all of them, so that they are not interleaved with another writer's data.
    pub(crate) fn worth_writing(&self, count: usize) -> usize {
        match (self.kind, &self.place.target) {
            (Kind::Regular, Target::Path(_)) => match count.checked_sub(self.room_in_piece()) {
                Some(behind) => count - behind % PIECE,
                None => 0,
            },
            _ => count,
        }
    }

    fn write_piece(&self, mut piece: &[u8], pulse: &Pulse) -> io::Result<()> {
        while !piece.is_empty() {
            match (&*self.file).write(piece) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    pulse.note(count as u64);
                    piece = &piece[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A process that shares a standard stream may have made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_until_writable()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_until_writable(&self) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that a file was not truncated.
    fn check_length(&self) -> io::Result<()> {
        if self.kind != Kind::Regular {
            return Ok(());
        }
        let length = self.file.metadata()?.len();
        if length < self.length {
            let written = self.length;
            return Err(io::Error::other(format!(
                "another program truncated it: {length} bytes are left of {written}"
            )));
        }
        Ok(())
    }

    /// Checks that a file was not truncated, and that its name still refers to it.
    ///
    /// # Errors
    /// It was truncated, or its name refers to another file or none.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.check_length()?;
        let (Kind::Regular, Target::Path(path)) = (self.kind, &self.place.target) else { return Ok(()) };
        match fs::metadata(path) {
            Ok(metadata) if Identity::of(&metadata) == self.identity => Ok(()),
            Ok(_) => Err(io::Error::other("another program replaced the file while it was written to")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(io::Error::other("another program removed the file while it was written to"))
            }
            Err(error) => Err(error),
        }
    }

    /// Reopens a renamed file by its old name, for appending. True if the new file is empty. Does nothing if the name
    /// still refers to the same file. Waits while no descriptor is free.
    ///
    /// # Errors
    /// It can't be opened, or another process writes to it.
    pub(crate) fn reopen(&mut self) -> io::Result<bool> {
        let (Kind::Regular, Target::Path(path)) = (self.kind, &self.place.target) else { return Ok(false) };
        self.check_length()?;
        if fs::metadata(path).is_ok_and(|metadata| Identity::of(&metadata) == self.identity) {
            return Ok(false);
        }
        let place = self.place.clone();
        *self = with_descriptor(|| Self::open(place.clone()))?;
        self.is_unused = false;
        Ok(self.kind == Kind::Regular && self.length == 0)
    }
}

/// Removes a file that was created but not used.
impl Drop for Output {
    fn drop(&mut self) {
        let Target::Path(path) = &self.place.target else { return };
        let is_same =
            |metadata: &fs::Metadata| Identity::of(metadata) == self.identity && metadata.len() == 0;
        if self.is_unused && fs::metadata(path).as_ref().is_ok_and(is_same) {
            // If it can't be removed, an empty file remains.
            let _ = fs::remove_file(path);
        }
    }
}

/// Opens a file for appending, so that two writers of one file lose nothing, without changing it. True if the file
/// was created.
fn open(path: &Path, flags: i32) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(flags);
    let opened = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            options.create(true).open(path).map(|file| (file, false))
        }
        made => made.map(|file| (file, true)),
    };
    opened.map_err(|error| match path.parent() {
        Some(folder) if error.kind() == ErrorKind::NotFound && is_missing(folder) => {
            io::Error::new(ErrorKind::NotFound, format!("there is no folder {}", folder.display()))
        }
        _ => error,
    })
}

fn is_missing(folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && fs::metadata(folder).is_err()
}

/// The identity of the file at a path; `None` for a device, or without a file.
pub(super) fn identity_at(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().as_ref().and_then(Identity::to_compare)
}
