//! A client that is within TLS and encrypts records of its own making: empty ones, alerts, messages of a handshake.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::cipher::{
    InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::{
    ClientConfig, ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use crate::support::encrypted::{Encrypted, connect, trusting};

/// A record of the server: its type and what is in it.
pub(super) type Record = (ContentType, Vec<u8>);

pub(super) struct Forger {
    socket: TcpStream,
    seals: Box<dyn MessageEncrypter>,
    opens: Box<dyn MessageDecrypter>,
    sent: u64,
    read: u64,
}

impl Forger {
    /// Within TLS of this version, behind the greeting.
    pub(super) fn at(address: SocketAddr, ca: &str, version: &'static SupportedProtocolVersion) -> Self {
        let mut config = ClientConfig::clone(&trusting(ca, &[version]));
        config.enable_secret_extraction = true;
        let mut client = Encrypted::over(connect(address), &Arc::new(config), "localhost");
        assert_eq!(client.reply(), "220 Welcome");
        let stream = client.0.into_inner();
        let (connection, socket) = stream.into_parts();
        let suite = connection.negotiated_cipher_suite().expect("a suite");
        let secrets = connection.dangerous_extract_secrets().expect("allowed");
        let ((sent, own), (read, of_server)) = (secrets.tx, secrets.rx);
        let ((own_key, own_iv), (key, iv)) = (parts(own), parts(of_server));
        let (seals, opens) = match suite {
            SupportedCipherSuite::Tls13(suite) => {
                (suite.aead_alg.encrypter(own_key, own_iv), suite.aead_alg.decrypter(key, iv))
            }
            SupportedCipherSuite::Tls12(suite) => {
                let (salt, explicit) = own_iv.as_ref().split_at(4);
                let seals = suite.aead_alg.encrypter(own_key, salt, explicit);
                (seals, suite.aead_alg.decrypter(key, &iv.as_ref()[..4]))
            }
        };
        let mut forger = Self { socket, seals, opens, sent: 0, read };
        // The keys take numbers in their order only, and these are used up by the handshake and the client's own records.
        (0..sent).for_each(|_| drop(forger.seal(ContentType::ApplicationData, b"")));
        forger
    }

    /// A record with this in it.
    pub(super) fn seal(&mut self, kind: ContentType, octets: &[u8]) -> Vec<u8> {
        let version = ProtocolVersion::TLSv1_2;
        let plain = OutboundPlainMessage { typ: kind, version, payload: OutboundChunks::Single(octets) };
        let sealed = self.seals.encrypt(plain, self.sent).expect("a record").encode();
        self.sent += 1;
        sealed
    }

    /// Octets as they are. False: the server has closed the connection.
    pub(super) fn put(&mut self, octets: &[u8]) -> bool {
        self.socket.write_all(octets).is_ok()
    }

    pub(super) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).expect("open");
    }

    pub(super) fn send(&mut self, kind: ContentType, octets: &[u8]) -> bool {
        let record = self.seal(kind, octets);
        self.put(&record)
    }

    /// The next record of the server; `None` at the end of its output.
    pub(super) fn record(&mut self) -> Option<Record> {
        let mut header = [0; 5];
        self.socket.read_exact(&mut header).ok()?;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        self.socket.read_exact(&mut payload).expect("a whole record");
        let (kind, version) = (ContentType::from(header[0]), ProtocolVersion::TLSv1_2);
        let opaque = InboundOpaqueMessage::new(kind, version, &mut payload);
        let plain = self.opens.decrypt(opaque, self.read).expect("a record of the server");
        self.read += 1;
        Some((plain.typ, plain.payload.to_vec()))
    }

    /// What the server sends until it closes the connection.
    pub(super) fn rest(&mut self) -> Vec<Record> {
        std::iter::from_fn(|| self.record()).collect()
    }

    /// NOOP and its reply.
    pub(super) fn assert_served(&mut self) {
        assert!(self.send(ContentType::ApplicationData, b"NOOP\r\n"));
        assert_eq!(self.record(), Some((ContentType::ApplicationData, b"250 Ok\r\n".to_vec())));
    }
}

fn parts(secrets: ConnectionTrafficSecrets) -> (rustls::crypto::cipher::AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
            (key, iv)
        }
        _ => panic!("a suite that the server does not prefer"),
    }
}
