//! TLS over one end of a socket pair; at the other end a rustls client sends octets in pieces of any size.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use socket2::{Domain, Socket, Type};

use super::super::unix::Unix;
use super::super::{Handshake, HandshakeFault, Input, Stream, Transport};
use super::hello::may_be_complete;
use super::{RECORD, shared};
use crate::tls::{ServerTls, Tls, TlsSession};

/// More than the smallest pieces need.
const MOST_STEPS: usize = 1_000_000;

/// A server's stream with a connected client.
struct Pair {
    stream: Stream,
    client: ClientConnection,
    wire: UnixStream,
    /// Encrypted output of the client that the wire has not taken.
    outgoing: Vec<u8>,
    /// Plain text read by the server.
    received: Vec<u8>,
    /// Plain text read by the client.
    replies: Vec<u8>,
    /// Successful reads of the client.
    reads: usize,
}

fn prepared() -> ServerTls {
    Tls::self_signed().prepare().expect("a certificate")
}

fn client(tls: &ServerTls) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    let pem = tls.ca_pem.as_deref().expect("made at the start");
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

impl Pair {
    fn new() -> Self {
        Self::over(UnixStream::pair().expect("a pair"))
    }

    /// Each read of the client gives what was written at once.
    fn in_packets() -> Self {
        let (server, wire) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).expect("a pair");
        Self::over((OwnedFd::from(server).into(), OwnedFd::from(wire).into()))
    }

    fn over((server, wire): (UnixStream, UnixStream)) -> Self {
        let tls = prepared();
        server.set_nonblocking(true).expect("an open socket");
        wire.set_nonblocking(true).expect("an open socket");
        let mut stream = Stream::Unix(Unix::over(mio::net::UnixStream::from_std(server)));
        stream.encrypt(&tls, &[], false).expect("possible");
        let (outgoing, received, replies) = (Vec::new(), Vec::new(), Vec::new());
        Self { stream, client: client(&tls), wire, outgoing, received, replies, reads: 0 }
    }

    /// Moves octets both ways: at most `piece` of the client's, and the server reads into `buffer` octets.
    fn step(&mut self, piece: usize, buffer: usize) -> io::Result<()> {
        self.drive(piece)?;
        if self.stream.handshake() == Handshake::Done {
            self.read(buffer)?;
        }
        self.take_replies();
        Ok(())
    }

    /// Moves at most `piece` octets of the client's, and the server continues the handshake.
    fn drive(&mut self, piece: usize) -> io::Result<()> {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.outgoing).expect("a vector");
        }
        let piece = piece.min(self.outgoing.len());
        let sent = self.wire.write(&self.outgoing[..piece]).unwrap_or(0);
        self.outgoing.drain(..sent);
        if self.stream.handshake() == Handshake::Running {
            self.stream.drive()?;
        }
        Ok(())
    }

    /// Steps until the handshake is done for the server, and no further.
    fn finished(mut self) -> Self {
        while self.stream.handshake() == Handshake::Running {
            self.take_replies();
            self.drive(usize::MAX).expect("a handshake");
        }
        self.take_replies();
        self
    }

    /// The server reads all input.
    fn read(&mut self, buffer: usize) -> io::Result<bool> {
        let mut octets = vec![0; buffer];
        loop {
            match self.stream.read(&mut octets)? {
                Input::Octets { count, may_have_more } => {
                    self.received.extend(&octets[..count]);
                    if !may_have_more {
                        return Ok(false);
                    }
                }
                Input::Nothing => return Ok(false),
                Input::End => return Ok(true),
            }
        }
    }

    /// The client reads all input.
    fn take_replies(&mut self) {
        let mut octets = [0; 4096];
        while let Ok(count @ 1..) = self.wire.read(&mut octets) {
            self.reads += 1;
            let mut rest = &octets[..count];
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).expect("a slice");
                self.client.process_new_packets().expect("what the server sends is valid");
                let mut plain = Vec::new();
                match self.client.reader().read_to_end(&mut plain) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => drop(result.expect("an open stream")),
                }
                self.replies.extend(plain);
            }
        }
    }

    /// Steps until the handshake is done.
    fn shake_hands(mut self) -> Self {
        while self.stream.handshake() == Handshake::Running || self.client.is_handshaking() {
            self.step(usize::MAX, 4096).expect("a handshake");
        }
        self
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_of_the_ciphertext_give_the_same_octets(
        pieces in prop::collection::vec(prop_oneof![1..20usize, 100..3000usize, Just(100_000)], 1..20),
        buffers in prop::collection::vec(prop_oneof![1..50usize, 1000..40_000usize], 1..10),
        sent in prop::collection::vec(prop_oneof![0..100usize, 10_000..50_000usize], 1..5),
    ) {
        let mut pair = Pair::new();
        let texts: Vec<Vec<u8>> = sent.iter().zip(1..).map(|(length, octet)| vec![octet; *length]).collect();
        let input = texts.concat();
        let replies: Vec<u8> = texts.into_iter().rev().flatten().collect();
        let mut unwritten = &input[..];
        let mut unanswered = &replies[..];
        for (piece, buffer) in pieces.iter().cycle().zip(buffers.iter().cycle()).take(MOST_STEPS) {
            unwritten = &unwritten[pair.client.writer().write(unwritten).expect("room")..];
            pair.step(*piece, *buffer).expect("an open stream");
            if pair.stream.handshake() == Handshake::Done && !unanswered.is_empty() {
                let taken = pair.stream.write(unanswered).expect("an open stream");
                unanswered = &unanswered[taken..];
            }
            pair.stream.drive().expect("an open stream");
            prop_assert!(pair.stream.unsent() <= RECORD);
            // One read of the wire, an incomplete record, and a record of replies.
            let bound = 4096 + 2 * buffer + 4 * (RECORD + 300);
            let is_open = pair.stream.handshake() == Handshake::Done;
            prop_assert!(!is_open || pair.stream.memory() <= bound, "{}", pair.stream.memory());
            if pair.received.len() == input.len() && pair.replies.len() == replies.len() {
                break;
            }
        }
        prop_assert!(pair.received == input && pair.replies == replies);
        prop_assert_eq!(pair.stream.unsent(), 0);
    }
}

/// A regression: commands came with the last octets of the handshake, and more before they were read. The latter were
/// never read.
#[test]
fn what_was_left_by_an_earlier_read_says_nothing_of_the_socket() {
    let mut pair = Pair::new();
    let send = |pair: &mut Pair, octets: &[u8]| {
        pair.client.writer().write_all(octets).expect("room");
        while pair.client.wants_write() {
            pair.client.write_tls(&mut pair.wire).expect("room");
        }
    };
    // The hello and the server's answer.
    send(&mut pair, b"");
    pair.stream.drive().expect("an open stream");
    pair.take_replies();
    send(&mut pair, b"EHLO a.example\r\n");
    assert!(pair.stream.drive().expect("an open stream"), "text has come with the handshake");
    assert_eq!(pair.stream.handshake(), Handshake::Done);
    send(&mut pair, b"NOOP\r\n");
    let mut octets = [0; 100];
    let left = Input::Octets { count: 16, may_have_more: true };
    assert_eq!(pair.stream.read(&mut octets).expect("open"), left);
    assert!(matches!(pair.stream.read(&mut octets).expect("open"), Input::Octets { count: 6, .. }));
}

#[test]
fn the_end_is_orderly_with_close_notify_and_truncated_without() {
    for is_orderly in [true, false] {
        let mut pair = Pair::new().shake_hands();
        pair.client.writer().write_all(b"QUIT\r\n").expect("room");
        if is_orderly {
            pair.client.send_close_notify();
        }
        pair.step(usize::MAX, 4096).expect("an open stream");
        pair.wire.shutdown(std::net::Shutdown::Write).expect("open");
        match pair.read(4096) {
            Ok(is_end) => assert!(is_end && is_orderly),
            Err(error) => assert!(error.kind() == ErrorKind::UnexpectedEof && !is_orderly, "{error}"),
        }
        assert_eq!(pair.received, b"QUIT\r\n");
        assert_eq!(pair.stream.is_end_orderly(), is_orderly);
        // Replies can still be written, and the server's end follows them.
        assert_eq!(pair.stream.write(b"221 bye\r\n").expect("open"), 9);
        assert!(pair.stream.finish().expect("open"));
        pair.take_replies();
        assert_eq!(pair.replies, b"221 bye\r\n");
    }
}

#[test]
fn a_reply_has_left_when_all_of_its_record_has() {
    let mut pair = Pair::new().shake_hands();
    let replies = vec![b'x'; 4 << 20];
    let mut taken = 0;
    while !pair.stream.wants_room() {
        taken += pair.stream.write(&replies[taken..]).expect("an open stream");
    }
    let unsent = pair.stream.unsent();
    assert!((1..=RECORD).contains(&unsent), "{unsent} of {taken}");
    assert_eq!(pair.stream.write(&replies[taken..]).expect("an open stream"), 0, "there is no room");
    assert!(!pair.stream.finish().expect("an open stream"), "its end is behind the replies");
    while !pair.stream.finish().expect("an open stream") {
        pair.take_replies();
    }
    pair.take_replies();
    assert_eq!((pair.replies.len(), pair.stream.unsent()), (taken, 0));
}

/// Octets of a failed write are the caller's again, and not counted as unsent too.
#[test]
fn a_write_that_fails_has_taken_nothing() {
    for size in [10, 3 * RECORD] {
        let mut pair = Pair::new().shake_hands();
        drop(pair.wire);
        let error = pair.stream.write(&vec![b'x'; size]).expect_err("nobody is there");
        assert_eq!((error.kind(), pair.stream.unsent()), (ErrorKind::BrokenPipe, 0));
    }
}

#[test]
fn what_is_no_hello_gets_an_alert_and_the_rest_is_dropped() {
    let mut pair = Pair::new();
    pair.wire.write_all(b"MAIL FROM:<ann@example.com>\r\n").expect("room");
    pair.stream.drive().expect("an open stream");
    assert_eq!(pair.stream.handshake(), Handshake::Failed(HandshakeFault::Malformed));
    assert!(pair.stream.finish().expect("room"));
    let mut alert = [0; 7];
    pair.wire.read_exact(&mut alert).expect("an alert");
    assert_eq!((alert[0], alert[5]), (21, 2));
    pair.wire.write_all(b"more").expect("room");
    assert_eq!(pair.stream.read(&mut [0; 9]).expect("open"), Input::Octets { count: 4, may_have_more: true });
}

#[test]
fn a_hello_that_never_ends_is_bounded() {
    let mut pair = Pair::new();
    // A handshake record of 16 KiB whose message would have 65,000 octets.
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0, 0xfd, 0xe8];
    record.resize(5 + RECORD, 0);
    let mut most = 0;
    for _ in 0..20 {
        let mut rest = &record[..];
        while !rest.is_empty() && pair.stream.handshake() == Handshake::Running {
            rest = &rest[pair.wire.write(rest).unwrap_or(0)..];
            pair.stream.drive().expect("an open stream");
            most = most.max(pair.stream.memory());
        }
        record[5..9].fill(0);
    }
    assert!(matches!(pair.stream.handshake(), Handshake::Failed(_)));
    assert!(most < 150_000, "{most}");
}

#[test]
fn a_hello_is_looked_at_when_it_is_whole_or_can_not_become_one() {
    let tls = prepared();
    let mut hello = Vec::new();
    client(&tls).write_tls(&mut hello).expect("a vector");
    for length in 0..hello.len() {
        assert!(!may_be_complete(&hello[..length]), "{length} of {}", hello.len());
    }
    assert!(may_be_complete(&hello));
    // The same in several records.
    for size in [1, 3, 50] {
        let mut cut = Vec::new();
        for fragment in hello[5..].chunks(size) {
            cut.extend([22, 3, 1, 0, fragment.len() as u8]);
            cut.extend(fragment);
        }
        assert!((0..cut.len()).all(|length| !may_be_complete(&cut[..length])), "{size}");
        assert!(may_be_complete(&cut));
        let mut pair = Pair::new();
        pair.wire.write_all(&cut).expect("room");
        pair.stream.drive().expect("an open stream");
        assert_eq!(pair.stream.handshake(), Handshake::Running, "{size}");
        assert!(pair.wire.read(&mut [0; 9]).is_ok(), "a hello of the server");
    }
    for octets in [&b"M"[..], b"\x15", &[22, 2, 0, 0, 1], &[22, 3, 1, 0, 0], &[22, 3, 1, 0xff, 0xff]] {
        assert!(may_be_complete(octets), "{octets:?}");
    }
}

#[test]
fn the_end_of_the_handshake_leaves_with_the_first_reply_and_close_notify_with_the_last() {
    let mut pair = Pair::in_packets().finished();
    assert_eq!(pair.reads, 1, "the server's messages up to Finished");
    assert_eq!(pair.stream.write(b"220 first\r\n").expect("an open stream"), 11);
    pair.take_replies();
    assert_eq!((pair.reads, &pair.replies[..]), (2, &b"220 first\r\n"[..]), "behind tickets");
    assert_eq!(pair.stream.write_last(b"221 last\r\n").expect("an open stream"), 10);
    assert!(pair.stream.finish().expect("an open stream"));
    pair.take_replies();
    assert_eq!((pair.reads, &pair.replies[11..]), (3, &b"221 last\r\n"[..]));
    assert!(pair.client.process_new_packets().expect("valid").peer_has_closed());
}

#[test]
fn tickets_leave_without_a_reply_too() {
    let mut pair = Pair::in_packets().finished();
    let received = pair.client.tls13_tickets_received();
    pair.stream.drive().expect("an open stream");
    pair.take_replies();
    assert_eq!((received, pair.client.tls13_tickets_received()), (0, 2));
}

#[test]
fn sessions_that_agree_on_the_same_share_it() {
    let [first, second] = [Pair::new().finished(), Pair::new().finished()];
    let agreed = |pair: &Pair| Arc::clone(pair.stream.tls_session().expect("a handshake that is done"));
    assert!(Arc::ptr_eq(&agreed(&first), &agreed(&second)));
    let other = TlsSession { server_name: None, ..(*agreed(&first)).clone() };
    assert_eq!(*shared(other.clone()), other);
    assert_eq!(agreed(&first).server_name(), Some("localhost"));
}
