//! TLS: STARTTLS and implicit, with clients that verify the certificate.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ClientConfig;
use smtpmock::smtp::{RecordMode, Stage};
use smtpmock::stats::Stats;
use smtpmock::{Config, Protocol, Server, Tls, TlsVersion};

use crate::support::client::Client;
use crate::support::encrypted::{Encrypted, Thin, clear, clear_reply, connect, trusting, trusting_server};
use crate::support::figures::after_sessions;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

/// A name in the server's certificate.
const NAME: &str = "mx.example.com";

fn encrypting() -> Config {
    Config::default().tls(Tls::self_signed().names([NAME]))
}

/// A client behind STARTTLS.
fn started(server: &Server, config: &Arc<ClientConfig>) -> Encrypted {
    let (stream, replies) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    assert_eq!(replies, ["250 STARTTLS", "220 2.0.0 Ready to start TLS"]);
    Encrypted::over(stream, config, NAME)
}

#[test]
fn a_client_that_verifies_the_certificate_sends_mail_behind_starttls() {
    let server = start(encrypting());
    let mut client = started(&server, &trusting_server(&server));
    client.send("EHLO client.example\r\n");
    let offers = client.lines();
    assert!(offers.contains(&"250-PIPELINING".to_owned()), "{offers:?}");
    assert!(!offers.iter().any(|line| line.contains("STARTTLS")), "{offers:?}");
    client.mail();
    assert!(client.command("STARTTLS").starts_with("503 5.5.1 "), "it is encrypted already");
    client.mail();
    client.quit();
    let messages = server.wait_for_messages(2, PATIENCE).expect("two");
    let tls = messages[0].tls().expect("encrypted");
    assert_eq!(tls.version(), TlsVersion::V1_3);
    assert_eq!(tls.cipher_suite(), "TLS_AES_128_GCM_SHA256", "whatever the client has in front");
    assert_eq!((tls.server_name(), tls.is_resumed()), (Some(NAME), false));
    let stats = after_sessions(&server, 1);
    assert_eq!((stats.tls.handshakes, stats.tls.v1_2, stats.tls.duration.count()), (1, 0, 1));
    assert_eq!((stats.tls.injected, stats.tls.truncated), (0, 0));
    assert_eq!((stats.stages[Stage::Starttls].count, stats.sessions.quit), (2, 1));
    assert_eq!(stats.messages.accepted, 2);
}

#[test]
fn listeners_encrypt_from_the_first_octet() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock");
    let server = start(
        encrypting()
            .listen("smtps://127.0.0.1")
            .listen("lmtps://127.0.0.1")
            .listen(format!("smtps+unix://{}", path.display())),
    );
    let kinds: Vec<_> =
        server.listeners().iter().map(|listening| (listening.protocol, listening.is_encrypted)).collect();
    assert_eq!(kinds, [(Protocol::Smtp, true), (Protocol::Lmtp, true), (Protocol::Smtp, true)]);
    let config = trusting_server(&server);
    for (listening, hello) in server.listeners().iter().zip(["EHLO", "LHLO", "EHLO"]) {
        let stream = match listening.endpoint.inet() {
            Some(address) => connect(address),
            None => OwnedFd::from(UnixStream::connect(&path).expect("a listener")).into(),
        };
        let mut client = Encrypted::over(stream, &config, NAME);
        assert_eq!(client.reply(), "220 Welcome");
        let last = client.command(&format!("{hello} client.example"));
        assert!(last.starts_with("250 ") && last != "250 STARTTLS", "{last}");
        client.mail();
        client.quit();
    }
    assert!(server.messages().iter().all(|message| message.tls().is_some()));
    let stats = after_sessions(&server, 3);
    assert_eq!((stats.tls.handshakes, stats.messages.accepted), (3, 3));
}

#[test]
fn what_was_sent_behind_starttls_in_clear_is_no_command_of_the_encrypted_session() {
    let server = start(encrypting());
    let (mut stream, _) = clear(server.local_addr(), &["EHLO client.example"]);
    let injected =
        b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA";
    stream.write_all(injected).expect("room");
    assert_eq!(clear_reply(&mut stream), ["220 2.0.0 Ready to start TLS"]);
    let mut client = Encrypted::over(stream, &trusting_server(&server), NAME);
    assert!(client.command("RSET").starts_with("503 "), "nobody has sent EHLO");
    client.send("EHLO client.example\r\n");
    client.lines();
    client.mail();
    client.quit();
    let messages = server.wait_for_messages(1, PATIENCE).expect("one");
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].reverse_path().as_deref(), Some("ann@example.com"));
    let stats = after_sessions(&server, 1);
    assert_eq!((stats.tls.injected, stats.tls.handshakes), (1, 1));
    assert_eq!(stats.stages[Stage::Mail].count, 1);
}

#[test]
fn a_session_forgets_at_starttls_what_it_knew() {
    let plain = format!("AUTH PLAIN {}", BASE64.encode("\0ann\0secret"));
    let server = start(encrypting().auth(("ann", "secret")).auth_in_clear(true));
    let mail = "MAIL FROM:<ann@example.com>";
    let commands = ["EHLO client.example", &plain, mail, "RCPT TO:<bob@example.com>", "STARTTLS"];
    let (stream, replies) = clear(server.local_addr(), &commands);
    assert!(replies[1].starts_with("235 ") && replies[4].starts_with("220 "), "{replies:?}");
    let mut client = Encrypted::over(stream, &trusting_server(&server), NAME);
    assert!(client.command("RSET").starts_with("503 "), "EHLO is forgotten");
    assert!(client.command("EHLO client.example").starts_with("250 "));
    assert!(client.command("DATA").starts_with("503 "), "the transaction is forgotten");
    assert!(client.command(&plain).starts_with("235 "), "the authentication is forgotten");
    client.mail();
    client.quit();
    let messages = server.wait_for_messages(2, PATIENCE).expect("two");
    assert_eq!((messages[0].msg(), messages[0].tls()), (false, None), "the mail in clear was abandoned");
    assert!(messages[1].msg() && messages[1].tls().is_some());
    assert_eq!(after_sessions(&server, 1).messages.aborted, 1);
}

#[test]
fn the_record_of_a_session_begins_within_tls() {
    let server = start(encrypting().records(RecordMode::Session));
    let mut client = started(&server, &trusting_server(&server));
    assert!(client.command("EHLO within.example").starts_with("250 "));
    client.mail();
    client.quit();
    after_sessions(&server, 1);
    let messages = server.messages();
    let [message] = &messages[..] else { panic!("one record, not {messages:?}") };
    assert_eq!(message.helo_name().as_deref(), Some("within.example"));
    assert!(message.tls().is_some() && message.quit_sent());
}

#[test]
fn starttls_that_is_not_possible_is_refused() {
    let server = start(encrypting());
    let commands =
        ["STARTTLS", "EHLO client.example", "STARTTLS now", "HELO client.example", "STARTTLS", "NOOP"];
    let (_, replies) = clear(server.local_addr(), &commands);
    assert_eq!(&replies[0][..4], "503 ", "before EHLO");
    assert_eq!(&replies[2][..10], "501 5.5.4 ", "with an argument");
    assert_eq!(&replies[4][..4], "503 ", "HELO offers nothing");
    assert_eq!(&replies[5][..4], "250 ");
    for config in [Config::default(), Config::default().esmtp()] {
        let server = start(config);
        let (_, replies) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
        assert!(replies[0] != "250 STARTTLS" && replies[1].starts_with("502 "), "{replies:?}");
    }
    let withheld = start(encrypting().extensions("-STARTTLS".parse().expect("a list")));
    let (_, replies) = clear(withheld.local_addr(), &["EHLO client.example", "STARTTLS"]);
    assert!(replies[0] != "250 STARTTLS" && replies[1].starts_with("503 "), "{replies:?}");
}

#[test]
fn nothing_is_possible_before_tls_where_it_is_required() {
    let server = start(encrypting().tls_required(true).auth(("ann", "secret")));
    let plain = format!("AUTH PLAIN {}", BASE64.encode("\0ann\0secret"));
    let refused = ["HELO a.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA", "RSET"];
    let refused = refused.into_iter().chain(["VRFY ann", "HELP", "FOO", "BDAT 0 LAST", &plain]);
    for line in refused {
        let (_, replies) = clear(server.local_addr(), &["EHLO client.example", line, "NOOP"]);
        assert_eq!(replies[1], "530 5.7.0 Must issue a STARTTLS command first", "{line}");
        assert_eq!(&replies[2][..4], "250 ");
    }
    let mut client = started(&server, &trusting_server(&server));
    assert!(client.command("EHLO client.example").starts_with("250 "));
    assert!(client.command(&plain).starts_with("235 "));
    client.mail();
    client.quit();
}

#[test]
fn secrets_are_not_taken_in_clear_unless_that_is_allowed() {
    let plain = format!("AUTH PLAIN {}", BASE64.encode("\0ann\0secret"));
    let config = || encrypting().auth(("ann", "secret"));
    for (config, is_allowed) in [(config(), false), (config().auth_in_clear(true), true)] {
        let server = start(config);
        let mut stream = connect(server.local_addr());
        clear_reply(&mut stream);
        stream.write_all(b"EHLO client.example\r\n").expect("room");
        let offers = clear_reply(&mut stream);
        assert!(offers.iter().any(|line| line.starts_with("250-AUTH ")), "{offers:?}");
        assert_eq!(offers.iter().any(|line| line.contains("PLAIN LOGIN")), is_allowed, "{offers:?}");
        stream.write_all(format!("{plain}\r\n").as_bytes()).expect("room");
        let reply = clear_reply(&mut stream).remove(0);
        let refusal = "538 5.7.11 Encryption required for requested authentication mechanism";
        assert!(if is_allowed { reply.starts_with("235 ") } else { reply == refusal }, "{reply}");
        let mut client = started(&server, &trusting_server(&server));
        client.send("EHLO client.example\r\n");
        let offers = client.lines();
        assert!(offers.iter().any(|line| line.contains("AUTH PLAIN LOGIN")), "{offers:?}");
        assert!(client.command(&plain).starts_with("235 "));
    }
    // Where nothing else is left, AUTH is not offered.
    let server = start(encrypting().auth(("ann", "secret")).auth_mechanisms(["PLAIN".parse().expect("one")]));
    let (_, replies) = clear(server.local_addr(), &["EHLO client.example", &plain]);
    assert!(replies[1].starts_with("538 5.7.11 "), "{replies:?}");
}

#[test]
fn octets_may_come_one_by_one() {
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let server = start(encrypting().listen("smtps://127.0.0.1"));
        let config = trusting(server.ca_pem().expect("a CA"), versions);
        let mut client = Encrypted::over(Thin(connect(server.local_addr())), &config, "127.0.0.1");
        assert_eq!(client.reply(), "220 Welcome");
        assert!(client.command("EHLO client.example").starts_with("250 "));
        client.mail();
        client.quit();
        let is_old = versions[0].version == rustls::ProtocolVersion::TLSv1_2;
        let tls = server.messages()[0].tls().expect("encrypted").clone();
        assert_eq!(tls.version() == TlsVersion::V1_2, is_old);
        // An address is no name that a client may ask for (RFC 6066 section 3).
        assert_eq!(tls.server_name(), None);
        assert_eq!(after_sessions(&server, 1).tls.v1_2, u64::from(is_old));
    }
}

#[test]
fn large_mails_and_many_commands_at_once_pass() {
    let server = start(encrypting().listen("smtps://127.0.0.1"));
    let mut client = Encrypted::over(connect(server.local_addr()), &trusting_server(&server), "localhost");
    assert_eq!(client.reply(), "220 Welcome");
    client.command("EHLO client.example");
    let text = "x".repeat(76) + "\r\n";
    for size in [1, 200, 20_000] {
        let body = text.repeat(size);
        client.send(format!(
            "MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n{body}.\r\n{}",
            "NOOP\r\n".repeat(size)
        ));
        for expected in ["250 2.1.0 ", "250 2.1.5 ", "354 ", "250 2.0.0 Ok: queued"] {
            let reply = client.reply();
            assert!(reply.starts_with(expected), "{reply}");
        }
        for _ in 0..size {
            assert_eq!(client.reply(), "250 2.0.0 Ok");
        }
        assert_eq!(server.messages().last().expect("a mail").body(), body.as_bytes());
    }
    client.quit();
}

#[test]
fn what_is_no_handshake_gets_an_alert_and_leaves_no_record() {
    let config = encrypting().records(RecordMode::Session);
    let server = start(config.listen("smtps://127.0.0.1").listen("smtp://127.0.0.1"));
    let [implicit, explicit] = server.local_addrs() else { panic!("two listeners") };
    for address in [implicit, explicit] {
        let mut stream = match address == implicit {
            true => connect(*address),
            false => clear(*address, &["EHLO client.example", "STARTTLS"]).0,
        };
        stream.write_all(b"MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n").expect("room");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("closed in order");
        // An alert (RFC 8446 section 6) that is fatal.
        assert_eq!((answer.first(), answer.get(5)), (Some(&21), Some(&2)), "{answer:?}");
    }
    let stats = after_sessions(&server, 2);
    assert_eq!((stats.tls.malformed, stats.tls.handshakes, stats.sessions.dismissed), (2, 0, 2));
    assert_eq!(server.messages().len(), 0);
}

#[test]
fn messages_behind_one_that_is_at_fault_are_dropped() {
    let server = start(encrypting().listen("smtps://127.0.0.1"));
    let old = trusting(server.ca_pem().expect("a CA"), &[&rustls::version::TLS12]);
    let mut client =
        rustls::ClientConnection::new(old, NAME.try_into().expect("a name")).expect("a connection");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("room");
    let mut stream = connect(server.local_addr());
    stream.write_all(&hello).expect("room");
    stream.read_exact(&mut [0; 5]).expect("the front of the server's flight");
    // A key exchange without a key, and the end of the handshake, both in one record.
    stream.write_all(&[22, 3, 3, 0, 8, 16, 0, 0, 0, 20, 0, 0, 0]).expect("room");
    stream.read_to_end(&mut Vec::new()).expect("closed in order");
    assert_eq!(failures(&after_sessions(&server, 1)), [0, 1, 0, 0, 0, 0]);
    assert!(server.failure().is_none(), "{:?}", server.failure());
}

/// What the figures of failed handshakes are.
fn failures(stats: &Stats) -> [u64; 6] {
    let tls = &stats.tls;
    [tls.refused, tls.malformed, tls.incompatible, tls.broken_off, tls.timed_out, tls.failed]
}

#[test]
fn handshakes_that_fail_are_counted_by_their_reason() {
    let only_new = Tls::self_signed().versions(TlsVersion::V1_3..=TlsVersion::V1_3);
    let config = Config::default().tls(only_new).listen("smtps://127.0.0.1");
    let server = start(config.session_timeout(Duration::from_millis(600)));
    let address = server.local_addr();
    // It does not trust the CA.
    let strange = start(encrypting());
    let mut client = Encrypted::over(connect(address), &trusting_server(&strange), "localhost");
    client.0.get_mut().flush().expect_err("a certificate of an unknown CA");
    drop(client);
    assert_eq!(failures(&after_sessions(&server, 1)), [1, 0, 0, 0, 0, 0]);
    // It has no version in common.
    let old = trusting(server.ca_pem().expect("a CA"), &[&rustls::version::TLS12]);
    let mut client = Encrypted::over(connect(address), &old, "localhost");
    client.0.get_mut().flush().expect_err("an alert");
    drop(client);
    assert_eq!(failures(&after_sessions(&server, 2)), [1, 0, 1, 0, 0, 0]);
    // It leaves within its hello.
    let hello_of_200_octets = [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    let mut stream = connect(address);
    stream.write_all(&hello_of_200_octets).expect("room");
    drop(stream);
    assert_eq!(failures(&after_sessions(&server, 3)), [1, 0, 1, 1, 0, 0]);
    // It stops within its hello.
    let mut stream = connect(address);
    stream.write_all(&hello_of_200_octets).expect("room");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("closed in order");
    drop(stream);
    assert_eq!(answer, b"", "nobody can read a reply");
    let stats = after_sessions(&server, 4);
    assert_eq!(failures(&stats), [1, 0, 1, 1, 1, 0]);
    assert_eq!((stats.tls.ended_by_client(), stats.tls.ended_by_server()), (2, 2));
    assert_eq!((stats.sessions.silent, stats.sessions.dismissed), (3, 1));
    assert_eq!(server.messages().len(), 0);
}

#[test]
fn a_record_that_is_none_ends_the_session_with_an_alert() {
    let server = start(encrypting());
    let config = trusting_server(&server);
    // Longer than a record may be; one that was not encrypted; a hello within the session.
    let records: [&[u8]; 3] = [&[23, 3, 3, 0xff, 0xff], &[23, 3, 3, 0, 32], &[22, 3, 3, 0, 4, 1, 0, 0, 0]];
    for (number, record) in (1..).zip(records) {
        let mut client = started(&server, &config);
        assert!(client.command("EHLO client.example").starts_with("250 "));
        assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("250 "));
        let mut record = record.to_vec();
        record.resize(5 + usize::from(record[4] % 255), 7);
        client.0.get_mut().sock.write_all(&record).expect("room");
        let error = client.0.get_mut().read(&mut [0]).expect_err("an alert");
        assert!(error.to_string().contains("alert"), "{error}");
        let stats = after_sessions(&server, number);
        assert_eq!((stats.messages.aborted, stats.messages.accepted), (number, 0));
    }
    assert!(server.messages().iter().all(|message| !message.msg()));
}

#[test]
fn an_end_without_close_notify_is_told_from_one_with_it() {
    let server = start(encrypting());
    let config = trusting_server(&server);
    for (number, is_truncated) in [(1, true), (2, false)] {
        let mut client = started(&server, &config);
        assert!(client.command("EHLO client.example").starts_with("250 "));
        if !is_truncated {
            let stream = client.0.get_mut();
            stream.conn.send_close_notify();
            stream.flush().expect("room");
        }
        drop(client);
        let stats = after_sessions(&server, number);
        assert_eq!((stats.tls.truncated, stats.sessions.left), (1, number), "{is_truncated}");
    }
}

/// As clients do that verify the certificate behind the handshake.
#[test]
fn a_client_that_leaves_without_a_command_behind_the_handshake_is_counted() {
    let server = start(encrypting().listen("smtp://127.0.0.1").listen("smtps://127.0.0.1"));
    let config = trusting_server(&server);
    for (number, is_implicit) in [(1, false), (2, true)] {
        let connected = || match is_implicit {
            true => {
                let mut client = Encrypted::over(connect(server.local_addrs()[1]), &config, NAME);
                assert_eq!(client.reply(), "220 Welcome");
                client
            }
            false => {
                let mut client = started(&server, &config);
                client.0.get_mut().flush().expect("a handshake");
                client
            }
        };
        connected().quit();
        // Without close_notify: nothing was on its way.
        drop(connected());
        let mut client = connected();
        assert!(client.command("EHLO client.example").starts_with("250 "));
        client.quit();
        let stats = after_sessions(&server, 3 * number);
        assert_eq!((stats.tls.handshakes, stats.tls.unused), (3 * number, 2 * number));
        assert_eq!(stats.tls.truncated, 0);
        assert_eq!(stats.findings(), []);
    }
}

#[test]
fn a_session_is_resumed_at_any_shard() {
    let server = start(encrypting().listen("smtps://127.0.0.1").shards(3));
    let config = trusting_server(&server);
    for number in 0..20 {
        let mut client = Encrypted::over(connect(server.local_addr()), &config, NAME);
        assert_eq!(client.reply(), "220 Welcome");
        let is_resumed = client.connection().handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        assert_eq!(is_resumed, number > 0, "{number}");
        client.quit();
    }
    let stats = after_sessions(&server, 20);
    assert_eq!((stats.tls.handshakes, stats.tls.resumed), (20, 19));
}

/// A certificate that signs itself, and its key, both in PEM.
fn own(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn certificates_of_ones_own_are_chosen_by_name() {
    let [(a, a_key), (b, b_key)] = [own("a.example"), own("*.b.example")];
    let server = start(Config::default().tls(Tls::from_pem(&a, a_key).and_pem(&b, b_key)));
    assert_eq!(server.ca_pem(), None);
    for (pem, name) in [(&a, "a.example"), (&b, "mx.b.example")] {
        let (stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
        let mut client = Encrypted::over(stream, &trusting(pem, rustls::ALL_VERSIONS), name);
        assert!(client.command("EHLO client.example").starts_with("250 "), "{name}");
        client.quit();
    }
    // The first is for all other names.
    let (stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    let mut client = Encrypted::over(stream, &trusting(&a, rustls::ALL_VERSIONS), "other.example");
    let error = client.0.get_mut().flush().expect_err("the wrong name");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn a_ca_that_stays_is_trusted_over_several_starts() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate").pem();
    let config = trusting(&ca, rustls::ALL_VERSIONS);
    for _ in 0..2 {
        let tls = Tls::self_signed().names([NAME]).signed_by(&ca, key.serialize_pem());
        let server = start(Config::default().tls(tls));
        assert_eq!(server.ca_pem(), Some(&*ca));
        let mut client = started(&server, &config);
        assert!(client.command("EHLO client.example").starts_with("250 "));
        client.quit();
    }
}

#[test]
fn what_tls_can_not_be_made_of_is_refused() {
    let [(a, a_key), (_, b_key)] = [own("a.example"), own("b.example")];
    let none = String::new;
    for (tls, setting) in [
        (Tls::self_signed().names(["not a name"]), "Tls::names"),
        (Tls::from_pem(&a, b_key.clone()), "Tls::from_pem(key)"),
        (Tls::from_pem(&a, none()), "Tls::from_pem(key)"),
        (Tls::from_pem("-----BEGIN NOTHING-----", a_key.clone()), "Tls::from_pem(certificate)"),
        (Tls::from_pem(&a, a_key.clone()).names(["a.example"]), "Tls::names"),
        (Tls::self_signed().signed_by(none(), a_key), "Tls::signed_by(certificate)"),
        (Tls::self_signed().signed_by(&a, b_key), "Tls::signed_by(key)"),
        (Tls::self_signed().versions(TlsVersion::V1_3..=TlsVersion::V1_2), "Tls::versions"),
    ] {
        let error = Config::default().tls(tls).validate().expect_err(setting);
        assert_eq!(error.setting, setting, "{error}");
    }
    for (config, setting) in [
        (Config::default().listen("smtps://127.0.0.1"), "listen"),
        (Config::default().tls_required(true), "tls_required"),
        (Config::default().auth_in_clear(false), "auth_in_clear"),
        (Config::default().extensions("STARTTLS".parse().expect("a list")), "extensions"),
    ] {
        let error = config.validate().expect_err(setting);
        assert_eq!(error.setting, setting, "{error}");
        assert!(error.expected.contains("--tls"), "{error}");
    }
}

#[test]
fn a_proxy_names_the_client_in_front_of_tls() {
    let config = encrypting().listen("smtps://127.0.0.1?proxy=require");
    let server = start(config.trust(std::net::IpAddr::from([127, 0, 0, 1])));
    let mut stream = connect(server.local_addr());
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 465\r\n").expect("room");
    let mut client = Encrypted::over(stream, &trusting_server(&server), NAME);
    assert_eq!(client.reply(), "220 Welcome");
    client.command("EHLO client.example");
    client.mail();
    client.quit();
    let message = &server.messages()[0];
    assert_eq!(message.peer_addr().to_string(), "192.0.2.7:4711");
    assert!(message.tls().is_some());
}

#[test]
fn a_stop_ends_handshakes_and_sends_421_within_tls() {
    let server = start(encrypting().listen("smtps://127.0.0.1"));
    let mut idle = Encrypted::over(connect(server.local_addr()), &trusting_server(&server), NAME);
    assert_eq!(idle.reply(), "220 Welcome");
    let mut silent = connect(server.local_addr());
    after_opened(&server, 2);
    server.stop();
    assert_eq!(idle.reply(), "421 Service closing transmission channel");
    let mut rest = Vec::new();
    idle.0.read_to_end(&mut rest).expect("close_notify");
    assert_eq!(silent.read(&mut [0]).expect("closed in order"), 0);
    let stats = server.stats();
    assert_eq!((stats.sessions.closed, failures(&stats)), (2, [0; 6]));
}

/// Waits until so many sessions have begun.
fn after_opened(server: &Server, sessions: u64) {
    crate::support::waiting::eventually("sessions", || server.stats().sessions.opened == sessions);
}

#[test]
fn replies_that_drip_and_replies_that_are_held_back_leave_within_tls() {
    let config = encrypting().drip("200B/s".parse().expect("a rate"));
    let config = crate::support::server::ruled(config, &["starttls delay=20ms", "noop delay=20ms"]);
    let server = start(config.extensions("STARTTLS".parse().expect("a list")));
    let (stream, replies) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    assert!(replies[1].starts_with("220 "), "{replies:?}");
    let mut client = Encrypted::over(stream, &trusting_server(&server), NAME);
    client.expect("NOOP", "250 Ok");
    client.quit();
    let refusing =
        start(crate::support::server::ruled(encrypting(), &["starttls reply=\"454 4.7.0 not now\""]));
    let mut client = Client::extended(refusing.local_addr());
    client.expect("STARTTLS", "454 4.7.0 not now");
    client.expect("NOOP", "250 2.0.0 Ok");
}
