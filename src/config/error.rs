//! Errors of settings and of starting a server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

use crate::tls::TlsError;

/// A setting with an invalid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Name of the setting: its setter in [`Config`](crate::Config).
    pub setting: &'static str,
    /// The invalid value.
    pub value: String,
    /// The valid values, as a phrase: "a number from 1 to 256".
    pub expected: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self { setting, value: value.to_string(), expected: expected.into() }
    }

    /// [`expected`](Self::expected) for the program, which has only flags: without the methods of the library, which
    /// are at the end.
    #[doc(hidden)]
    pub fn expected_by_flags(&self) -> &str {
        let ends = [", Config::", ", or Tls::"].map(|method| self.expected.find(method));
        ends.into_iter().flatten().min().map_or(&self.expected, |end| &self.expected[..end])
    }
}

impl From<TlsError> for ConfigError {
    fn from(TlsError { setting, value, expected }: TlsError) -> Self {
        Self { setting, value, expected }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid value {:?} for {}: expected {}", self.value, self.setting, self.expected)
    }
}

impl std::error::Error for ConfigError {}

/// Why a server did not start. No listener is left open.
///
/// ```
/// use smtpmock::{Config, Server, StartError};
///
/// let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
/// match Server::start(Config::default().port(taken.local_addr()?.port())) {
///     Err(StartError::AddressInUse(address)) => assert_eq!(address, taken.local_addr()?),
///     _ => panic!("it is in use"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting has an invalid value.
    Config(ConfigError),
    /// Another socket already listens there.
    AddressInUse(SocketAddr),
    /// A process already listens on the Unix socket; its process number if the system reports it.
    SocketInUse(PathBuf, Option<i32>),
    /// The path of the Unix socket is that of another kind of file.
    NotASocket(PathBuf),
    /// The Unix socket can't be created.
    BadSocket(PathBuf, io::Error),
    /// This machine does not have the address, or the process may not use the port.
    BadAddress(SocketAddr, io::Error),
    /// The process has no file descriptor left (`ulimit -n`).
    OutOfDescriptors(io::Error),
    /// The capture file can't be written.
    Capture(PathBuf, io::Error),
    /// Another error of the system, and the action that failed.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::AddressInUse(address) => {
                write!(f, "{address} is in use: choose another port, or port 0 for any free one")
            }
            Self::SocketInUse(path, process) => {
                let process = process.map_or("a process".to_owned(), |number| format!("process {number}"));
                write!(f, "{process} listens at {} already: stop it, or choose another path", path.display())
            }
            Self::NotASocket(path) => {
                write!(f, "{} is no socket: remove it, or choose another path", path.display())
            }
            Self::BadSocket(path, error) => {
                write!(
                    f,
                    "can't listen at {}: {error}: choose a path in a folder that exists and can be written to",
                    path.display()
                )
            }
            Self::BadAddress(address, error) => {
                write!(f, "can't listen on {address}: {error}: choose an address and port of this machine")
            }
            Self::OutOfDescriptors(error) => {
                write!(f, "no file descriptor left to listen with: {error}: raise `ulimit -n`")
            }
            Self::Capture(path, error) => write!(f, "can't write the capture to {}: {error}", path.display()),
            Self::System(doing, error) => write!(f, "{doing}: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::AddressInUse(_) | Self::SocketInUse(..) | Self::NotASocket(_) => None,
            Self::BadAddress(_, error)
            | Self::OutOfDescriptors(error)
            | Self::BadSocket(_, error)
            | Self::Capture(_, error)
            | Self::System(_, error) => Some(error),
        }
    }
}

/// Why the file of a Unix socket can't be replaced; within an [`io::Error`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum SocketFileError {
    /// A process listens on it.
    InUse { process: Option<i32> },
    /// It is not a socket.
    NotASocket,
}

impl fmt::Display for SocketFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse { .. } => "a process listens there",
            Self::NotASocket => "it is no socket",
        })
    }
}

impl std::error::Error for SocketFileError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
