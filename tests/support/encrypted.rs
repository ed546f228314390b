//! A client within TLS, by rustls, which verifies the server's certificate; and its commands in clear before that.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use smtpmock::Server;

use super::client::MESSAGE;
use super::waiting::PATIENCE;

/// A client's settings: it trusts just this CA.
pub(crate) fn trusting(pem: &str, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a root");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

pub(crate) fn trusting_server(server: &Server) -> Arc<ClientConfig> {
    trusting(server.ca_pem().expect("made at the start"), rustls::ALL_VERSIONS)
}

/// A client that takes any certificate.
pub(crate) fn careless() -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").dangerous();
    let any = Arc::new(Careless(provider));
    Arc::new(builder.with_custom_certificate_verifier(any).with_no_client_auth())
}

#[derive(Debug)]
struct Careless(Arc<CryptoProvider>);

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A stream that takes and gives one octet at a time.
#[derive(Debug)]
pub(crate) struct Thin<S>(pub(crate) S);

impl<S: Read> Read for Thin<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
    }
}

impl<S: Write> Write for Thin<S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(&octets[..octets.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A client within TLS.
pub(crate) struct Encrypted<S: Read + Write = TcpStream>(
    pub(crate) BufReader<StreamOwned<ClientConnection, S>>,
);

impl<S: Read + Write> Encrypted<S> {
    /// The handshake follows with the first read or write.
    pub(crate) fn over(stream: S, config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a connection");
        Self(BufReader::new(StreamOwned::new(connection, stream)))
    }

    /// The same after the handshake.
    ///
    /// # Errors
    /// What the client finds wrong, or the server has sent an alert for; another for a connection that ended.
    pub(crate) fn shake_hands(
        stream: S,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> Result<Self, rustls::Error> {
        let mut client = Self::over(stream, config, name);
        let StreamOwned { conn, sock } = client.0.get_mut();
        while conn.is_handshaking() {
            conn.complete_io(sock).map_err(|error| {
                let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>());
                reason.cloned().unwrap_or_else(|| rustls::Error::General(error.kind().to_string()))
            })?;
        }
        Ok(client)
    }

    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        let stream = self.0.get_mut();
        stream.write_all(octets.as_ref()).and_then(|()| stream.flush()).expect("the server reads");
    }

    /// The last line of the next reply.
    pub(crate) fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a reply");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    /// All lines of the next reply.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a reply");
            lines.push(line.trim_end().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return lines;
            }
        }
    }

    pub(crate) fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        assert_eq!(self.command(line), reply, "{line}");
    }

    /// A mail, after EHLO or LHLO.
    pub(crate) fn mail(&mut self) {
        self.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
        self.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
        assert!(self.command("DATA").starts_with("354 "));
        let reply = self.command(&format!("{MESSAGE}."));
        assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    }

    /// QUIT. The end of the stream is that of TLS: without close_notify reading would be an error.
    pub(crate) fn quit(mut self) {
        assert!(self.command("QUIT").starts_with("221 "));
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("close_notify");
        assert_eq!(rest, b"");
    }

    pub(crate) fn connection(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a listener");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    stream
}

/// Reads a reply in clear, without an octet beyond it.
pub(crate) fn clear_reply(stream: &mut TcpStream) -> Vec<String> {
    let mut lines = vec![String::new()];
    loop {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("a reply");
        let last = lines.last_mut().expect("a line");
        last.push(char::from(octet[0]));
        if last.ends_with("\r\n") {
            last.truncate(last.len() - 2);
            if last.as_bytes().get(3) != Some(&b'-') {
                return lines;
            }
            lines.push(String::new());
        }
    }
}

/// A connection after its greeting and these commands, and the last line of the reply to each.
pub(crate) fn clear(address: SocketAddr, commands: &[&str]) -> (TcpStream, Vec<String>) {
    let mut stream = connect(address);
    assert_eq!(clear_reply(&mut stream), ["220 Welcome"]);
    let mut replies = Vec::new();
    for line in commands {
        stream.write_all(format!("{line}\r\n").as_bytes()).expect("room");
        replies.extend(clear_reply(&mut stream).pop());
    }
    (stream, replies)
}
