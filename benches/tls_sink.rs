//! TLS for the floor benchmark: one certificate for both servers, plain rustls over the sockets of the null sink, and
//! clients with and without resumption.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

const NAME: &str = "localhost";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A certificate (ECDSA, P-256) and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Identity {
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// For the floor: all defaults, and tickets instead of a session store, like `smtpmock`.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>> {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Arc::new(config))
    }

    /// For one client: it has the tickets of its own sessions, or none.
    pub(crate) fn client(&self, resumes: bool) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes())?)?;
        let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

/// A client's TLS session, after its handshake.
pub(crate) fn handshake(
    config: &Arc<ClientConfig>,
    mut stream: TcpStream,
    expected: HandshakeKind,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut connection = ClientConnection::new(Arc::clone(config), ServerName::try_from(NAME)?)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    match connection.handshake_kind() {
        Some(kind) if kind == expected => Ok(StreamOwned::new(connection, stream)),
        kind => Err(format!("the handshake is {kind:?}, not {expected:?}").into()),
    }
}

/// A connection of the floor. As with a socket, a short read means that nothing is left.
pub(crate) struct Encrypted {
    below: mio::net::TcpStream,
    connection: ServerConnection,
}

impl Encrypted {
    pub(crate) fn new(below: mio::net::TcpStream, config: &Arc<ServerConfig>) -> Self {
        let connection = ServerConnection::new(Arc::clone(config)).expect("a config that serves");
        Self { below, connection }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.below)?;
        }
        Ok(())
    }
}

impl Read for Encrypted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (mut filled, mut is_drained) = (0, false);
        loop {
            match self.connection.reader().read(&mut into[filled..]) {
                Ok(count) if count > 0 && filled + count < into.len() => filled += count,
                Ok(count) => return Ok(filled + count),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(error) if is_drained => return if filled > 0 { Ok(filled) } else { Err(error) },
                Err(_) => {
                    let mut noting = Noting { below: &mut self.below, is_short: false };
                    match self.connection.read_tls(&mut noting) {
                        Ok(0) => return Ok(filled),
                        Ok(_) => is_drained = noting.is_short,
                        Err(_) if filled > 0 => return Ok(filled),
                        Err(error) => return Err(error),
                    }
                    self.connection.process_new_packets().map_err(io::Error::other)?;
                    self.send()?;
                }
            }
        }
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.connection.writer().write(bytes)?;
        self.send()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// The socket, which notes whether a read was short.
struct Noting<'s> {
    below: &'s mut mio::net::TcpStream,
    is_short: bool,
}

impl Read for Noting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.below.read(into)?;
        self.is_short = count < into.len();
        Ok(count)
    }
}
