//! Octets in place of a client's hello, sent to a server that encrypts from the first octet. Also part of a fuzz
//! target.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use smtpmock::{Config, Server, Tls};

/// More than the server's part of a handshake, and than a few alerts.
const MOST: u64 = 16 * 1024;
/// A client that has ended its output is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Types of the records that a handshake begins with, or ends with: an alert and a handshake.
const RECORDS: [u8; 2] = [21, 22];

pub(crate) struct Encrypting {
    pub(crate) server: Server,
    path: PathBuf,
}

impl Encrypting {
    /// With a Unix socket at this path.
    pub(crate) fn at(path: PathBuf) -> Self {
        let config =
            Config::default().tls(Tls::self_signed()).listen(format!("smtps+unix://{}", path.display()));
        Self { server: Server::start(config).expect("a server"), path }
    }

    /// Sends these octets and ends the output. Asserts that the server ends the connection too, and returns its answer:
    /// records, and not many.
    pub(crate) fn feed(&self, octets: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(&self.path).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // The server may have closed the connection before it has read them all.
        let _ = stream.write_all(octets).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        match (&stream).take(MOST).read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            result => drop(result.expect("the server ends the connection")),
        }
        assert!(self.server.failure().is_none(), "the server has failed");
        assert!(answer.len() < MOST as usize, "an answer of {} octets", answer.len());
        assert!(answer.first().is_none_or(|kind| RECORDS.contains(kind)), "{answer:?}");
        answer
    }
}
