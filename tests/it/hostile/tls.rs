//! Clients that break TLS: before its handshake, in it, and within the session. Each disturbs only its own session.

mod forger;
#[cfg(feature = "cli")]
mod halfopen;
mod hellos;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ClientConfig, ContentType};
use smtpmock::{Config, Server, Stats, Tls};

use self::forger::Forger;
use crate::support::encrypted::{Encrypted, clear, clear_reply, connect, trusting, trusting_server};
use crate::support::figures::{after_all_sessions, after_sessions, once};
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A server that encrypts from the first octet, at its first listener.
fn encrypting() -> Config {
    Config::default().tls(Tls::self_signed()).listen("smtps://127.0.0.1").session_timeout(PATIENCE)
}

fn forger(server: &Server, version: &'static rustls::SupportedProtocolVersion) -> Forger {
    Forger::at(server.local_addr(), server.ca_pem().expect("a CA"), version)
}

/// A client that sends mail within TLS until it leaves.
struct Neighbour {
    leaves: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Neighbour {
    fn of(server: &Server) -> Self {
        let (leaves, config, address) = (Arc::default(), trusting_server(server), server.local_addr());
        let flag = Arc::<AtomicBool>::clone(&leaves);
        let thread = thread::spawn(move || {
            let mut mails = 0;
            while mails == 0 || !flag.load(Ordering::SeqCst) {
                let mut client = Encrypted::over(connect(address), &config, "localhost");
                assert_eq!(client.reply(), "220 Welcome");
                client.command("EHLO client.example");
                client.mail();
                client.quit();
                mails += 1;
            }
            mails
        });
        Self { leaves, thread }
    }

    /// Asserts that all its mails have come, and no other.
    fn leave(self, server: &Server) {
        self.leaves.store(true, Ordering::SeqCst);
        let mails = self.thread.join().expect("it was served");
        assert_eq!(server.stats().messages.accepted, mails);
    }
}

/// A record of a handshake.
fn handshake(version: u8, octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).expect("a record").to_be_bytes();
    [&[HANDSHAKE, 3, version][..], &length, octets].concat()
}

/// The first record of a client of rustls.
fn hello(server: &Server) -> Vec<u8> {
    hello_of(server.ca_pem().expect("a CA"))
}

/// The same of one that trusts this CA.
fn hello_of(ca: &str) -> Vec<u8> {
    let name = "localhost".try_into().expect("a name");
    let config = trusting(ca, rustls::ALL_VERSIONS);
    let mut client = rustls::ClientConnection::new(config, name).expect("a client");
    let mut octets = Vec::new();
    client.write_tls(&mut octets).expect("a vector");
    octets
}

/// A hello of TLS 1.2 or before, without extensions.
fn old_hello(version: u8) -> Vec<u8> {
    let random = [7; 32];
    let hello = [&[3, version][..], &random, &[0, 0, 2, 0xc0, 0x2f, 1, 0]].concat();
    [&[1, 0, 0, u8::try_from(hello.len()).expect("short")][..], &hello].concat()
}

/// The same hello with an extension for padding (RFC 7685), in records of at most 16 KiB, or of two octets.
fn padded(hello: &[u8], padding: usize) -> Vec<u8> {
    let mut message = hello[5..].to_vec();
    let length = u16::try_from(padding).expect("an extension").to_be_bytes();
    message.extend([0, 21, length[0], length[1]]);
    message.resize(message.len() + padding, 0);
    let size = u32::try_from(message.len() - 4).expect("three octets").to_be_bytes();
    message[1..4].copy_from_slice(&size[1..]);
    // Behind the versions, the random, the session's id, the suites and the compression.
    let id = 38 + 1 + usize::from(message[38]);
    let suites = id + 2 + usize::from(u16::from_be_bytes([message[id], message[id + 1]]));
    let at = suites + 1 + usize::from(message[suites]);
    let extensions = u16::try_from(message.len() - at - 2).unwrap_or(u16::MAX).to_be_bytes();
    message[at..at + 2].copy_from_slice(&extensions);
    message.chunks(16_384).flat_map(|fragment| handshake(1, fragment)).collect()
}

/// Sends this in place of a hello. Returns all that the server sends until it closes the connection.
fn answer(address: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(octets).expect("room");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        result => drop(result.expect("closed")),
    }
    answer
}

/// Malformed, incompatible, broken off, timed out, failed.
fn failures(stats: &Stats) -> [u64; 5] {
    let tls = &stats.tls;
    [tls.malformed, tls.incompatible, tls.broken_off, tls.timed_out, tls.failed]
}

#[test]
fn what_is_no_hello_of_tls_gets_an_alert() {
    let server = start(encrypting());
    let neighbour = Neighbour::of(&server);
    let (address, real) = (server.local_addr(), hello(&server));
    let cut = |at: usize| handshake(1, &real[5..at]);
    let mut lying = real.clone();
    lying[43] = 200;
    let malformed: [&[u8]; 9] = [
        b"EHLO client.example\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0; 100],
        &[0xff; 100],
        // SSL 2.0 (RFC 6101 appendix E): a hello that offers 3.0.
        &[0x80, 0x1c, 1, 3, 0, 0, 3, 0, 0, 0, 16, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        // Data of a session, a record without an octet, one that is too long.
        &[23, 3, 3, 0, 1, 7],
        &[HANDSHAKE, 3, 3, 0, 0],
        &[HANDSHAKE, 3, 1, 0xff, 0xff, 1],
        // A hello whose parts are longer than it is.
        &lying,
    ];
    for octets in malformed {
        let answer = answer(address, octets);
        assert_eq!(answer.len(), 7, "{octets:?}: {answer:?}");
        assert_eq!((answer[0], answer[5]), (ALERT, 2), "{octets:?}: {answer:?}");
    }
    let count = malformed.len() as u64;
    let stats = once(&server, |stats| stats.tls.malformed + stats.tls.failed >= count);
    assert_eq!(failures(&stats), [count - 1, 0, 0, 0, 1]);
    // Versions before 1.2: handshake_failure or protocol_version (RFC 8446 section 6.2).
    for version in 0..3 {
        let answer = answer(address, &handshake(version, &old_hello(version)));
        assert!(matches!(answer[..], [ALERT, 3, 3, 0, 2, 2, 40 | 70]), "3.{version}: {answer:?}");
    }
    assert_eq!(once(&server, |stats| stats.tls.incompatible >= 3).tls.incompatible, 3);
    // It is left in the middle, by an end of the output and by one of the connection.
    for at in [6, 9, real.len() - 1] {
        let mut stream = connect(address);
        stream.write_all(&real[..at]).expect("room");
        stream.shutdown(Shutdown::Write).expect("open");
        assert_eq!(stream.read_to_end(&mut Vec::new()).expect("closed in order"), 0);
    }
    drop(connect(address));
    assert_eq!(once(&server, |stats| stats.tls.broken_off >= 4).tls.broken_off, 4);
    // A hello that lacks its end is none yet, whatever its record says.
    let mut waiting = connect(address);
    waiting.write_all(&cut(real.len() - 1)).expect("room");
    drop(waiting);
    assert_eq!(once(&server, |stats| stats.tls.broken_off >= 5).tls.broken_off, 5);
    neighbour.leave(&server);
    let stats = after_all_sessions(&server);
    assert_eq!(failures(&stats), [count - 1, 3, 5, 0, 1]);
}

#[test]
fn a_hello_may_be_large_and_is_bounded() {
    let server = start(encrypting());
    let real = hello(&server);
    for padding in [1000, 16_384, 60_000] {
        let mut stream = connect(server.local_addr());
        stream.write_all(&padded(&real, padding)).expect("room");
        let mut kind = [0];
        stream.read_exact(&mut kind).expect("an answer");
        assert_eq!(kind[0], HANDSHAKE, "{padding}");
    }
    // Beyond what its length can say; the rest of it is not waited for.
    let answer = answer(server.local_addr(), &padded(&real, 65_535));
    assert_eq!((answer[0], answer[5]), (ALERT, 2), "{answer:?}");
}

#[test]
fn a_client_that_stops_in_the_handshake_is_ended_by_the_timeout() {
    let timeout = Duration::from_millis(700);
    let server = start(encrypting().session_timeout(timeout));
    let real = hello(&server);
    // In the header of a record, in the hello, and behind the server's answer.
    let mut clients: Vec<_> = [0, 3, 100, real.len()]
        .map(|length| {
            let mut stream = connect(server.local_addr());
            stream.write_all(&real[..length]).expect("room");
            stream
        })
        .into();
    // It sends octets again and again, which do not move the deadline.
    let mut slow = connect(server.local_addr());
    let slowly = thread::spawn(move || {
        let long = padded(&real, 60_000);
        for octet in long {
            if slow.write_all(&[octet]).is_err() {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    });
    for client in &mut clients {
        client.read_to_end(&mut Vec::new()).expect("closed in order");
    }
    assert!(slowly.join().expect("a client"), "it was not ended");
    let stats = after_sessions(&server, 5);
    assert_eq!(failures(&stats), [0, 0, 0, 5, 0]);
}

#[test]
fn records_without_text_are_few() {
    let server = start(encrypting());
    let neighbour = Neighbour::of(&server);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut client = forger(&server, version);
        for _ in 0..3 {
            for _ in 0..30 {
                assert!(client.send(ContentType::ApplicationData, b""), "some are allowed");
            }
            client.assert_served();
        }
        let flood: Vec<u8> =
            (0..100_000).flat_map(|_| client.seal(ContentType::ApplicationData, b"")).collect();
        client.put(&flood);
        assert!(client.rest().len() <= 1, "at most an alert");
    }
    neighbour.leave(&server);
}

/// The alert that ends it, if any.
fn alert_of(records: &[forger::Record]) -> Option<u8> {
    records.iter().find(|(kind, _)| *kind == ContentType::Alert).map(|(_, alert)| alert[1])
}

#[test]
fn what_no_session_has_ends_it_with_an_alert() {
    use ContentType::{ApplicationData, ChangeCipherSpec, Handshake};
    let server = start(encrypting());
    let neighbour = Neighbour::of(&server);
    let (tls13, tls12) = (&rustls::version::TLS13, &rustls::version::TLS12);
    let old = old_hello(3);
    let (unexpected, overflow, decode) = (10, 22, 50);
    for (version, kind, octets, alert) in [
        // Longer than a record may be.
        (tls13, ApplicationData, &[7; 16_385][..], overflow),
        (tls12, ApplicationData, &[7; 16_385], overflow),
        // A second hello (RFC 8446 section 4.1.2).
        (tls13, Handshake, &old, unexpected),
        // Messages of a handshake behind it, of no type and of one that only a server sends.
        (tls13, Handshake, &[99, 0, 0, 0], unexpected),
        (tls13, Handshake, &[4, 0, 0, 0], decode),
        (tls12, Handshake, &[20, 0, 0, 0], unexpected),
        // No other records within TLS 1.3.
        (tls13, ChangeCipherSpec, &[1], unexpected),
        (tls13, ContentType::Unknown(99), &[1], decode),
    ] {
        let mut client = forger(&server, version);
        client.assert_served();
        client.send(kind, octets);
        let found = alert_of(&client.rest());
        assert_eq!(found, Some(alert), "{kind:?} of {} octets in {version:?}", octets.len());
    }
    // Records that were changed on their way. The alert is read behind much that the server does not use.
    for version in [tls13, tls12] {
        let mut client = forger(&server, version);
        let mut record = client.seal(ApplicationData, b"MAIL FROM:<evil@example.com>\r\n");
        *record.last_mut().expect("octets") ^= 1;
        record.resize(1 << 20, 7);
        client.put(&record);
        client.half_close();
        assert_eq!(alert_of(&client.rest()), Some(20), "bad_record_mac");
    }
    neighbour.leave(&server);
    let stats = after_all_sessions(&server);
    assert_eq!(failures(&stats), [0; 5], "their handshakes had not failed");
    assert_eq!((stats.sessions.dismissed, stats.sessions.left), (10, 0), "the server ended them");
}

#[test]
fn alerts_and_hellos_within_a_session_are_few() {
    let server = start(encrypting());
    let neighbour = Neighbour::of(&server);
    let old = old_hello(3);
    // Warnings that mean nothing: user_canceled, no_renegotiation.
    for (version, kind, octets) in [
        (&rustls::version::TLS13, ContentType::Alert, &[1, 90][..]),
        (&rustls::version::TLS12, ContentType::Alert, &[1, 100]),
        (&rustls::version::TLS12, ContentType::Handshake, &old),
    ] {
        let mut client = forger(&server, version);
        client.assert_served();
        assert!(client.send(kind, octets));
        if kind == ContentType::Handshake {
            // A new handshake is refused, and the session goes on (RFC 5246 section 7.2.2).
            assert_eq!(client.record(), Some((ContentType::Alert, vec![1, 100])));
        }
        client.assert_served();
        let flood: Vec<u8> = (0..1000).flat_map(|_| client.seal(kind, octets)).collect();
        client.put(&flood);
        assert!(client.rest().len() < 10, "{kind:?} in {version:?}");
    }
    neighbour.leave(&server);
}

#[test]
fn new_keys_are_taken_and_not_without_end() {
    let server = start(encrypting());
    let mut client = Encrypted::over(connect(server.local_addr()), &trusting_server(&server), "localhost");
    assert_eq!(client.reply(), "220 Welcome");
    for _ in 0..50 {
        client.0.get_mut().conn.refresh_traffic_keys().expect("TLS 1.3");
        client.expect("NOOP", "250 Ok");
    }
    let stream = client.0.get_mut();
    for _ in 0..1000 {
        stream.conn.refresh_traffic_keys().expect("TLS 1.3");
    }
    let error = stream.flush().and_then(|()| stream.read(&mut [0]));
    assert!(error.is_err(), "an alert, or a connection that is closed");
}

/// Data in front of the end of a handshake is no input, and a client that has a reason to send some is served by a full
/// handshake: its ticket is of another server with this name, which allows it.
#[test]
fn early_data_is_not_taken() {
    let server = start(encrypting());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = format!("{}{}", server.ca_pem().expect("a CA"), other.cert.pem());
    let mut config = ClientConfig::clone(&trusting(&pem, &[&rustls::version::TLS13]));
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut first = Encrypted::over(early_data_server(&other), &config, "localhost");
    assert_eq!(first.reply(), "220 early");
    drop(first);
    for is_first in [true, false] {
        let mut client = Encrypted::over(connect(server.local_addr()), &config, "localhost");
        let early = client.0.get_mut().conn.early_data();
        assert_eq!(early.is_some(), is_first, "this server's tickets do not offer it");
        if let Some(mut early) = early {
            early.write_all(b"EHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\n").expect("room");
        }
        assert_eq!(client.reply(), "220 Welcome");
        assert!(!client.connection().is_early_data_accepted());
        assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("503 "), "nobody has sent EHLO");
        client.quit();
    }
    let stats = after_sessions(&server, 2);
    assert_eq!((stats.tls.handshakes, stats.tls.resumed), (2, 1));
}

/// A connection to a server that greets once, with tickets that allow early data.
fn early_data_server(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TcpStream {
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).expect("a version");
    let config = config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key);
    let mut config = config.expect("a certificate");
    config.max_early_data_size = 1000;
    let connection = rustls::ServerConnection::new(Arc::new(config)).expect("a connection");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        stream.write_all(b"220 early\r\n").expect("room");
        // Until the client leaves.
        let _ = stream.read(&mut [0]);
    });
    connect(address)
}

#[test]
fn what_comes_behind_starttls_in_clear_counts_nowhere() {
    let injected =
        "EHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n";
    let config = || Config::default().tls(Tls::self_signed()).session_timeout(PATIENCE);
    let delayed = ["starttls delay=1s", "noop delay=100ms"];
    for (rules, pieces) in [
        // In one segment, also with commands in front of it.
        (&[][..], vec![format!("STARTTLS\r\n{injected}")]),
        (&[], vec![format!("RSET\r\nSTARTTLS\r\n{injected}")]),
        (&[], vec![format!("STARTTLS\r\n{}", injected.repeat(1000))]),
        // The front of a line.
        (&[], vec!["STARTTLS\r\nMAIL".to_owned()]),
        // While the reply is held back, in the same segment or in further ones.
        (&delayed, vec![format!("STARTTLS\r\n{injected}")]),
        (&delayed, vec![format!("NOOP\r\nSTARTTLS\r\n{injected}")]),
        (&delayed, vec!["STARTTLS\r\n".into(), injected.into()]),
        (&delayed, vec!["NOOP\r\nSTART".into(), "TLS\r\nMA".into(), "IL FROM:<>\r\n".into()]),
    ] {
        let server = start(ruled(config(), rules));
        let (mut stream, _) = clear(server.local_addr(), &["EHLO client.example"]);
        for piece in &pieces {
            stream.write_all(piece.as_bytes()).expect("room");
            // Not the same segment; the reply is later.
            thread::sleep(Duration::from_millis(20));
        }
        let first = pieces.concat();
        if !first.starts_with("STARTTLS") {
            assert!(clear_reply(&mut stream)[0].starts_with("250 "), "{first}");
        }
        assert_eq!(clear_reply(&mut stream), ["220 2.0.0 Ready to start TLS"], "{first}");
        let mut client = Encrypted::over(stream, &trusting_server(&server), "localhost");
        // No reply to what was injected is in front of its own, and no EHLO was taken.
        assert!(client.command("DATA").starts_with("503 "), "{first}");
        client.command("EHLO client.example");
        client.mail();
        client.quit();
        let stats = after_sessions(&server, 1);
        assert_eq!((stats.tls.injected, stats.tls.handshakes, stats.messages.accepted), (1, 1, 1), "{first}");
        let messages = server.messages();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].reverse_path().as_deref(), Some("ann@example.com"));
    }
}

/// What follows the 220 is a handshake or nothing.
#[test]
fn commands_in_place_of_the_handshake_are_not_answered() {
    let server = start(Config::default().tls(Tls::self_signed()));
    let (mut stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    stream.write_all(b"MAIL FROM:<evil@example.com>\r\nQUIT\r\n").expect("room");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("closed in order");
    assert_eq!((answer.len(), answer[0]), (7, ALERT), "{answer:?}");
    let stats = after_sessions(&server, 1);
    assert_eq!((stats.tls.injected, failures(&stats)), (0, [1, 0, 0, 0, 0]));
}
