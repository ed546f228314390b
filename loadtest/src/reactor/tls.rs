//! TLS over the socket of a connection.
//!
//! The contract is that of a socket: a short read has read all that was there, and what a write accepted has left the
//! process. What was encrypted and has not left is not accepted yet; the caller offers it again, as it would to a
//! socket, and it is not encrypted twice.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error};

use crate::account::accounting::Abort;
use crate::account::alert::Alert;
use crate::measure::tally::Secured;
use crate::reactor::dial::reason_of;
use crate::reactor::stream::Stream;

/// Octets encrypted at once: one record (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// Parts of a write, at most.
const PARTS: usize = 3;

/// A connection within TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    below: Stream,
    connection: ClientConnection,
    /// Octets of the caller that are encrypted, but whose record has not left.
    encrypted: usize,
    /// Whether the last read of the socket was short.
    is_drained: bool,
    /// Why nothing follows what was read last.
    failure: Option<io::Error>,
    has_ended: bool,
}

impl Tls {
    /// Before the handshake.
    pub(crate) fn new(
        below: Stream,
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
    ) -> Result<Tls, (Stream, Abort)> {
        let mut connection = match ClientConnection::new(Arc::clone(config), name.clone()) {
            Ok(connection) => connection,
            Err(error) => return Err((below, abort_of(&error))),
        };
        // So that each write accepts whole records.
        connection.set_buffer_limit(Some(RECORD));
        Ok(Tls { below, connection, encrypted: 0, is_drained: false, failure: None, has_ended: false })
    }

    pub(crate) fn below(&self) -> &Stream {
        &self.below
    }

    pub(crate) fn below_mut(&mut self) -> &mut Stream {
        &mut self.below
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Continues the handshake as far as the socket allows. Returns what was agreed on when it is complete.
    pub(crate) fn shake_hands(&mut self) -> Result<Option<Secured>, Abort> {
        loop {
            match self.flush() {
                Ok(()) if !self.connection.is_handshaking() => return Ok(self.secured()),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An alert may say why, and is unread.
                Err(error) if !self.connection.is_handshaking() => return Err(reason_of(&error)),
                Err(_) => {}
            }
            match self.receive() {
                Ok(0) => return Err(Abort::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(reason_of(&error)),
            }
        }
    }

    fn secured(&self) -> Option<Secured> {
        let version = self.connection.protocol_version()?;
        Some(Secured {
            is_resumed: self.connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            is_1_3: version == rustls::ProtocolVersion::TLSv1_3,
        })
    }

    /// Ends the output with close_notify (RFC 8446 section 6.1), as far as there is room for it.
    pub(crate) fn end(&mut self) {
        if !self.connection.is_handshaking() {
            self.connection.send_close_notify();
        }
        // The connection is closed in any case.
        let _ = self.flush();
    }

    /// Reads the socket once, and decrypts. Returns the number of octets read; zero at the end of its input.
    fn receive(&mut self) -> io::Result<usize> {
        let mut socket = Below { stream: &mut self.below, is_drained: false };
        let count = self.connection.read_tls(&mut socket)?;
        self.is_drained = socket.is_drained;
        if let Err(error) = self.connection.process_new_packets() {
            // The alert that says why leaves if there is room.
            let _ = self.flush();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.below)?;
        }
        Ok(())
    }
}

impl Read for Tls {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            match self.connection.reader().read(&mut into[filled..]) {
                Ok(0) => {
                    self.has_ended |= filled < into.len();
                    return Ok(filled);
                }
                Ok(count) => {
                    filled += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The end without close_notify. The session is over in either case.
                Err(_) => {
                    self.has_ended = true;
                    return Ok(filled);
                }
            }
            if filled > 0 && self.is_drained {
                return Ok(filled);
            }
            match self.failure.take().map_or_else(|| self.receive(), Err) {
                Ok(_) => {}
                Err(error) if filled > 0 => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.failure = Some(error);
                        self.has_ended = true;
                    }
                    return Ok(filled);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        let mut taken = std::mem::take(&mut self.encrypted);
        let mut copies = [IoSlice::new(&[]); PARTS];
        let count = parts.len().min(PARTS);
        copies[..count].copy_from_slice(&parts[..count]);
        let mut rest = &mut copies[..count];
        IoSlice::advance_slices(&mut rest, taken);
        while !rest.is_empty() {
            let record = self.connection.writer().write_vectored(rest)?;
            match self.flush() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => {
                    self.encrypted = record;
                    break;
                }
                Err(error) => {
                    self.encrypted = record;
                    return Err(error);
                }
            }
            taken += record;
            IoSlice::advance_slices(&mut rest, record);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Tls::flush(self)
    }
}

/// The socket below, which notes whether a read was short.
struct Below<'s> {
    stream: &'s mut Stream,
    is_drained: bool,
}

impl Read for Below<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        self.is_drained = count < into.len();
        Ok(count)
    }
}

/// The reason in reports for an error of TLS.
pub(crate) fn abort_of(error: &Error) -> Abort {
    match error {
        Error::AlertReceived(AlertDescription::Unknown(number)) => Abort::Alert(Alert(*number)),
        Error::AlertReceived(alert) => Abort::Alert(Alert(u8::from(*alert))),
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Abort::CertificateExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Abort::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Abort::CertificateName
            }
            CertificateError::UnknownIssuer => Abort::CertificateIssuer,
            _ => Abort::Certificate,
        },
        Error::NoCertificatesPresented => Abort::Certificate,
        Error::PeerIncompatible(_) => Abort::TlsIncompatible,
        _ => Abort::TlsInvalid,
    }
}
