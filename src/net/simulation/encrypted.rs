//! TLS as a transport of the simulation: rustls at both ends of the wire. Keys are random but all lengths are fixed: a
//! seed gives the same world each time.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::cipher::{Begin, Cipher};
use super::wire::{End, Wire};
use crate::net::stream::tls::Tls;
use crate::net::stream::{Handshake, Input, Transport};
use crate::records::Endpoint;
use crate::smtp::rules::HandshakePlan;
use crate::tls::{ServerTls, TlsSession};

const NAME: &str = "localhost";
/// Its Ed25519 key: all signatures have one length.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGQP36qIbl4cZ1EsIVZuCHXpX7GG8AUyRe2zdCnGqkKz
-----END PRIVATE KEY-----";
/// Number of distinct clients, which reconnect.
const CLIENTS: usize = 4;

fn certificate() -> &'static str {
    static CERTIFICATE: OnceLock<String> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
        params.serial_number = Some(1_u64.into());
        let key = KeyPair::from_pem(KEY).expect("a key");
        params.self_signed(&key).expect("a certificate").pem()
    })
}

/// The client's side.
#[derive(Debug)]
struct Rustls {
    connection: ClientConnection,
    is_closed: bool,
}

impl Rustls {
    /// A client of one world. It resumes its earlier sessions.
    fn config(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        static CONFIGS: OnceLock<[ClientConfig; 2]> = OnceLock::new();
        let configs = CONFIGS.get_or_init(|| {
            [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| {
                let mut roots = RootCertStore::empty();
                let pem = certificate().as_bytes();
                roots.add(CertificateDer::from_pem_slice(pem).expect("PEM")).expect("a root");
                let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
                let builder = builder.with_protocol_versions(&[version]).expect("a version");
                builder.with_root_certificates(roots).with_no_client_auth()
            })
        });
        let is_new = version.version == rustls::ProtocolVersion::TLSv1_3;
        let mut config = configs[usize::from(is_new)].clone();
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    }
}

impl Cipher for Rustls {
    fn is_ready(&self) -> bool {
        !self.connection.is_handshaking()
    }

    fn open(&mut self, mut octets: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !octets.is_empty() {
            self.connection.read_tls(&mut octets).expect("a slice");
            let state = self.connection.process_new_packets().expect("what the server sends is valid");
            self.is_closed |= state.peer_has_closed();
            match self.connection.reader().read_to_end(&mut plain) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => drop(result.expect("an open stream")),
            }
        }
        plain
    }

    fn seal(&mut self, octets: &[u8]) {
        self.connection.writer().write_all(octets).expect("room");
    }

    fn close(&mut self) {
        self.connection.send_close_notify();
    }

    fn take_output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut output).expect("a vector");
        }
        output
    }

    fn is_closed(&self) -> bool {
        self.is_closed
    }
}

#[derive(Debug)]
struct Socket(Rc<RefCell<Wire>>);

impl Transport for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        let mut wire = self.0.borrow_mut();
        Ok(match wire.take_input(buffer)? {
            0 if wire.client_finished => Input::End,
            0 => Input::Nothing,
            count => Input::Octets { count, may_have_more: count == buffer.len() },
        })
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().put_output(octets)
    }

    fn unsent(&self) -> usize {
        0
    }

    fn drive(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn memory(&self) -> usize {
        0
    }

    fn wants_room(&self) -> bool {
        self.0.borrow().wants_room()
    }

    fn owes_input(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        self.0.borrow_mut().server_finished = true;
        Ok(())
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        self.0.borrow_mut().ends_by_reset = true;
        Ok(())
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        Ok(Endpoint::Inet(([127, 0, 0, 1], 25).into()))
    }
}

/// The server's side: in clear, and later within TLS.
#[derive(Debug)]
pub(super) struct EncryptedEnd {
    wire: Rc<RefCell<Wire>>,
    clear: Socket,
    tls: Option<Box<Tls<Socket>>>,
    /// Octets of replies that were taken but have not left.
    retained: Vec<u8>,
}

impl End for EncryptedEnd {
    const IS_SEALED: bool = false;
    const IS_ENCRYPTED: bool = true;
    // A handshake takes as long as a dozen of the other sessions.
    const SEEDS: u64 = 80;
    const LEAST: u64 = 2;

    fn tls() -> Option<ServerTls> {
        static TLS: OnceLock<ServerTls> = OnceLock::new();
        let prepare = || crate::tls::Tls::from_pem(certificate(), KEY).prepare().expect("a certificate");
        Some(TLS.get_or_init(prepare).clone())
    }

    fn ciphers() -> Box<dyn Fn(usize) -> Begin> {
        let version = |number: usize| match number % 2 {
            0 => &rustls::version::TLS13,
            _ => &rustls::version::TLS12,
        };
        let clients: [_; CLIENTS] = std::array::from_fn(|number| Rustls::config(version(number)));
        let name = ServerName::try_from(NAME).expect("a name");
        Box::new(move |number| {
            let (config, name) = (Arc::clone(&clients[number % CLIENTS]), name.clone());
            Box::new(move || {
                let connection = ClientConnection::new(config, name).expect("a client");
                Box::new(Rustls { connection, is_closed: false })
            })
        })
    }

    fn new(wire: Rc<RefCell<Wire>>) -> Self {
        let clear = Socket(Rc::clone(&wire));
        Self { wire, clear, tls: None, retained: Vec::new() }
    }
}

impl EncryptedEnd {
    fn stream(&mut self) -> &mut dyn Transport {
        match &mut self.tls {
            Some(tls) => &mut **tls,
            None => &mut self.clear,
        }
    }

    fn peek(&self) -> &dyn Transport {
        match &self.tls {
            Some(tls) => &**tls,
            None => &self.clear,
        }
    }

    /// Makes the octets that have left visible to the client.
    fn show_what_left(&mut self) {
        let left = self.retained.len() - self.peek().unsent();
        self.wire.borrow_mut().show(&self.retained[..left]);
        self.retained.drain(..left);
    }
}

impl Transport for EncryptedEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        let input = self.stream().read(buffer);
        self.show_what_left();
        input
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = self.stream().write(octets)?;
        self.retained.extend(&octets[..count]);
        self.show_what_left();
        Ok(count)
    }

    fn write_last(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = self.stream().write_last(octets)?;
        self.retained.extend(&octets[..count]);
        self.show_what_left();
        Ok(count)
    }

    fn unsent(&self) -> usize {
        self.peek().unsent()
    }

    fn drive(&mut self) -> io::Result<bool> {
        let driven = self.stream().drive();
        self.show_what_left();
        driven
    }

    fn memory(&self) -> usize {
        self.peek().memory()
    }

    fn wants_room(&self) -> bool {
        self.peek().wants_room()
    }

    fn owes_input(&self) -> bool {
        self.peek().owes_input()
    }

    fn finish(&mut self) -> io::Result<bool> {
        assert_eq!(self.unsent(), 0, "the end follows all replies");
        let is_over = self.stream().finish()?;
        self.wire.borrow_mut().has_last_record |= is_over && self.tls_session().is_some();
        Ok(is_over)
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        self.stream().shut_down_output()
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        self.stream().reset_at_end()
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        self.peek().local_addr()
    }

    fn encrypt(&mut self, tls: &ServerTls, received: &[u8], asks: bool) -> io::Result<()> {
        assert!(self.tls.is_none() && self.retained.is_empty(), "once, behind all replies in clear");
        let config = (!asks).then(|| Arc::clone(tls.config()));
        let mut layer = Tls::new(config, received);
        layer.lay_over(Socket(Rc::clone(&self.wire)));
        self.tls = Some(layer);
        Ok(())
    }

    fn is_end_orderly(&self) -> bool {
        self.peek().is_end_orderly()
    }

    fn server_name(&self) -> Option<&str> {
        self.peek().server_name()
    }

    fn follow_plan(&mut self, tls: &ServerTls, plan: &HandshakePlan) {
        self.stream().follow_plan(tls, plan);
    }

    fn handshake(&self) -> Handshake {
        self.peek().handshake()
    }

    fn handshake_octets(&self) -> u32 {
        self.peek().handshake_octets()
    }

    fn tls_session(&self) -> Option<&Arc<TlsSession>> {
        self.peek().tls_session()
    }
}

impl Drop for EncryptedEnd {
    fn drop(&mut self) {
        self.wire.borrow_mut().close();
    }
}
