//! A file for each mail, written atomically: under a temporary name first, then renamed.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};

use super::{mail, mbox};
use crate::output::Pulse;
use crate::process::{host_name, is_out_of_descriptors, with_descriptor};
use crate::records::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A maildir, with `tmp`, `new` and `cur`; lines end with LF.
    Maildir,
    /// A plain folder, with each message as received: lines end with CRLF.
    Eml,
}

/// A folder of mails. Existing files are not touched.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    kind: Kind,
    /// Mails so far.
    count: u64,
    host: String,
    /// Device and inode of the folder of finished mails.
    identity: Option<(u64, u64)>,
    /// The last file, open only to reserve its descriptor for the next mail, in case sessions use all others.
    spare: Option<fs::File>,
}

impl Folder {
    /// Creates the folder, and checks that files can be created in it.
    pub(super) fn open(path: &Path, kind: Kind) -> io::Result<Self> {
        // Not allowed in names of a maildir's files, or reserved for the suffix that mail programs add.
        let host = host_name().replace(['/', ':', '.'], "-");
        let host = if host.is_empty() { "localhost".to_owned() } else { host };
        let mut folder = Self { path: path.to_owned(), kind, count: 0, host, identity: None, spare: None };
        folder.make()?;
        let probe = folder.unfinished(&folder.name(UNIX_EPOCH));
        folder.spare = Some(create(&probe)?);
        fs::remove_file(probe)?;
        Ok(folder)
    }

    /// Creates the folder, unless it exists.
    pub(super) fn make(&mut self) -> io::Result<()> {
        let folders = match self.kind {
            Kind::Maildir => &["tmp", "new", "cur"][..],
            Kind::Eml => &[""],
        };
        folders.iter().try_for_each(|folder| {
            fs::create_dir_all(self.path.join(folder)).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                    io::Error::new(error.kind(), "it is a file: expected a folder, or the name of a new one")
                }
                _ => error,
            })
        })?;
        self.identity = Some(identity(&self.finished())?);
        Ok(())
    }

    /// Checks that the folder's name still refers to the folder of these mails. Single mails may have been moved, as
    /// mail programs do.
    pub(super) fn check(&self) -> io::Result<()> {
        match identity(&self.finished()) {
            Ok(now) if Some(now) == self.identity => Ok(()),
            Ok(_) => Err(io::Error::other("another program replaced the folder while it was written to")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(io::Error::other("another program removed the folder while it was written to"))
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a mail. Waits while no descriptor is free.
    pub(super) fn put(&mut self, message: &Message, at: SystemTime, pulse: &Pulse) -> io::Result<()> {
        self.count += 1;
        let name = self.name(at);
        let unfinished = self.unfinished(&name);
        let written = self
            .write(&unfinished, message)
            .and_then(|()| fs::rename(&unfinished, self.finished().join(&name)));
        if written.is_err() {
            // It may not exist; the earlier error is reported.
            let _ = fs::remove_file(&unfinished);
        }
        pulse.note(message.body().len() as u64 + 1);
        written
    }

    fn write(&mut self, path: &Path, message: &Message) -> io::Result<()> {
        let mut file = with_descriptor(|| match create(path) {
            Err(error) if is_out_of_descriptors(&error) && self.spare.take().is_some() => create(path),
            created => created,
        })?;
        let head = mail::head(message);
        match self.kind {
            Kind::Eml => {
                file.write_all(&head)?;
                file.write_all(message.body())?;
            }
            Kind::Maildir => {
                let mut text = Vec::with_capacity(head.len() + message.body().len());
                mbox::append_text(&mut text, &head, |_| false);
                mbox::append_text(&mut text, message.body(), |_| false);
                file.write_all(&text)?;
            }
        }
        self.spare = Some(file);
        Ok(())
    }

    /// A unique name across mails, processes and machines.
    fn name(&self, at: SystemTime) -> OsString {
        let Self { kind, count, host, .. } = self;
        let pid = std::process::id();
        let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        match kind {
            Kind::Maildir => {
                let (seconds, micros) = (since_epoch.as_secs(), since_epoch.subsec_micros());
                format!("{seconds}.M{micros}P{pid}Q{count}.{host}").into()
            }
            Kind::Eml => {
                let time = DateTime::<Utc>::from(at).format("%Y%m%dT%H%M%S%.6fZ");
                format!("{time}-{pid}-{count}.eml").into()
            }
        }
    }

    /// The folder of finished mails.
    fn finished(&self) -> PathBuf {
        match self.kind {
            Kind::Maildir => self.path.join("new"),
            Kind::Eml => self.path.clone(),
        }
    }

    fn unfinished(&self, name: &OsString) -> PathBuf {
        match self.kind {
            Kind::Maildir => self.path.join("tmp").join(name),
            Kind::Eml => {
                let mut hidden = OsString::from(".");
                hidden.push(name);
                self.path.join(hidden)
            }
        }
    }
}

fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(folder).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn create(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
