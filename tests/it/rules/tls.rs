//! Handshakes that rules decide, with a client that verifies certificates and says what is wrong.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, HandshakeKind};
use smtpmock::smtp::Stage;
use smtpmock::{Config, Server, Tls};

use crate::support::encrypted::{Encrypted, careless, clear, connect, trusting, trusting_server};
use crate::support::figures::after_sessions;
use crate::support::server::start;
use crate::support::waiting::{eventually, now};

const NAME: &str = "mx.example.com";

/// A server with these rules, and TLS from the first octet.
fn implicit(rules: &[&str]) -> Server {
    start(with_rules(rules).listen("smtps://127.0.0.1"))
}

fn with_rules(rules: &[&str]) -> Config {
    let config = Config::default().tls(Tls::self_signed().names([NAME]));
    rules.iter().fold(config, |config, rule| config.rule(rule.parse().expect(rule)))
}

/// What comes of a handshake at a new connection.
fn shake_hands(server: &Server, config: &Arc<ClientConfig>, name: &str) -> Result<Encrypted, Error> {
    Encrypted::shake_hands(connect(server.local_addr()), config, name)
}

fn certificate_error(result: Result<Encrypted, Error>) -> CertificateError {
    match result {
        Err(Error::InvalidCertificate(error)) => error,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("the certificate was accepted"),
    }
}

#[test]
fn a_certificate_is_wrong_in_the_way_that_the_rule_names() {
    type IsIt = fn(&CertificateError) -> bool;
    let cases: [(&str, IsIt); 6] = [
        ("expired", |error| matches!(error, CertificateError::ExpiredContext { .. })),
        ("not-yet-valid", |error| matches!(error, CertificateError::NotValidYetContext { .. })),
        ("wrong-name", |error| matches!(error, CertificateError::NotValidForNameContext { .. })),
        ("self-signed", |error| matches!(error, CertificateError::UnknownIssuer)),
        ("untrusted", |error| matches!(error, CertificateError::UnknownIssuer)),
        ("no-san", |error| matches!(error, CertificateError::NotValidForNameContext { .. })),
    ];
    for (certificate, is_it) in cases {
        let server = implicit(&[&format!("tls certificate={certificate}")]);
        for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
            let config = trusting(server.ca_pem().expect("a CA"), versions);
            let error = certificate_error(shake_hands(&server, &config, NAME));
            assert!(is_it(&error), "{certificate}: {error}");
        }
        let stats = after_sessions(&server, 2);
        assert_eq!((stats.tls.wrong_certificates, stats.tls.by_rule, stats.tls.handshakes), (2, 2, 0));
        assert_eq!((stats.tls.refused, stats.tls.broken_off), (0, 0), "the client does what is right");
        assert_eq!(stats.sessions.resets, 0);
        assert_eq!((stats.rules[0].reached, stats.rules[0].fired), (2, 2));
    }
}

#[test]
fn behind_starttls_rules_decide_handshakes_too() {
    let server = start(with_rules(&["tls nth=2 certificate=expired"]));
    let config = trusting_server(&server);
    let starting = || clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]).0;
    let mut first = Encrypted::shake_hands(starting(), &config, NAME).expect("the right certificate");
    assert!(first.command("EHLO client.example").starts_with("250 "));
    first.mail();
    let error = certificate_error(Encrypted::shake_hands(starting(), &config, NAME));
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error}");
    first.quit();
    let stats = after_sessions(&server, 2);
    assert_eq!((stats.tls.handshakes, stats.tls.by_rule, stats.stages[Stage::Tls].count), (1, 1, 0));
}

#[test]
fn the_name_that_the_client_asks_for_selects_the_rule() {
    let server = implicit(&["tls sni=MX.*.com certificate=expired", "tls sni=localhost version=1.2"]);
    let config = trusting_server(&server);
    let error = certificate_error(shake_hands(&server, &config, NAME));
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error}");
    let local = shake_hands(&server, &config, "localhost").expect("another rule");
    assert_eq!(local.connection().protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    // An address is no name that a client may ask for (RFC 6066 section 3).
    let other = shake_hands(&server, &config, "127.0.0.1").expect("no rule");
    assert_eq!(other.connection().protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let fired = || server.stats().rules.iter().map(|rule| (rule.reached, rule.fired)).collect::<Vec<_>>();
    assert_eq!(fired(), [(1, 1), (1, 1)]);
}

/// A client that resumes sees no certificate, and can't refuse it.
#[test]
fn a_session_with_a_wrong_certificate_is_neither_resumed_nor_to_be_resumed() {
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let server = implicit(&["tls nth=3.. certificate=expired"]);
        let config = trusting(server.ca_pem().expect("a CA"), versions);
        for is_resumed in [false, true] {
            let mut client = shake_hands(&server, &config, NAME).expect("the right certificate");
            assert_eq!(client.reply(), "220 Welcome");
            assert_eq!(client.connection().handshake_kind() == Some(HandshakeKind::Resumed), is_resumed);
            client.quit();
        }
        let error = certificate_error(shake_hands(&server, &config, NAME));
        assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error}");
    }
    // A client that takes any certificate gets no ticket with it.
    let server = implicit(&["tls times=2 certificate=self-signed"]);
    let config = careless();
    for _ in 0..3 {
        let mut client = shake_hands(&server, &config, NAME).expect("any certificate");
        assert_eq!(client.reply(), "220 Welcome");
        assert_ne!(client.connection().handshake_kind(), Some(HandshakeKind::Resumed));
        client.quit();
    }
    let stats = after_sessions(&server, 3);
    assert_eq!((stats.tls.handshakes, stats.tls.resumed, stats.tls.wrong_certificates), (3, 0, 2));
}

#[test]
fn only_the_version_of_the_rule_is_spoken() {
    for (rule, other, version) in [
        ("tls version=1.2", &rustls::version::TLS13, rustls::ProtocolVersion::TLSv1_2),
        ("tls version=1.3", &rustls::version::TLS12, rustls::ProtocolVersion::TLSv1_3),
    ] {
        let server = implicit(&[rule]);
        let mut client = shake_hands(&server, &trusting_server(&server), NAME).expect("it has both");
        assert_eq!(client.connection().protocol_version(), Some(version));
        assert_eq!(client.reply(), "220 Welcome");
        client.quit();
        let config = trusting(server.ca_pem().expect("a CA"), &[other]);
        let error = shake_hands(&server, &config, NAME).err().expect("no version in common");
        assert!(matches!(error, Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)), "{error}");
        let stats = after_sessions(&server, 2);
        assert_eq!((stats.tls.by_rule, stats.tls.incompatible, stats.tls.declined_1_3), (1, 0, 0));
    }
}

/// All that the server sends to a client's hello, and how the connection ends.
fn answer(server: &Server, config: &Arc<ClientConfig>) -> (Vec<u8>, std::io::Result<usize>) {
    let mut stream = connect(server.local_addr());
    let name = ServerName::try_from(NAME).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(config), name).expect("a client");
    client.write_tls(&mut stream).expect("a hello");
    let mut octets = Vec::new();
    let end = stream.read_to_end(&mut octets);
    (octets, end)
}

#[test]
fn a_hello_is_answered_by_an_alert_by_plain_text_or_by_the_end_of_the_connection() {
    for (rule, octets, end) in [
        ("tls alert=handshake_failure", &[21, 3, 3, 0, 2, 2, 40][..], Ok(7)),
        ("tls alert=unrecognized_name", &[21, 3, 3, 0, 2, 2, 112], Ok(7)),
        ("tls garbage", b"500 5.5.2 Syntax error\r\n", Ok(24)),
        ("tls drop=fin", b"", Ok(0)),
        ("tls drop=rst", b"", Err(ErrorKind::ConnectionReset)),
    ] {
        let server = implicit(&[rule]);
        let pem = server.ca_pem().expect("a CA");
        for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
            let (sent, ended) = answer(&server, &trusting(pem, versions));
            assert_eq!(sent, octets, "{rule}");
            assert_eq!(ended.map_err(|error| error.kind()), end, "{rule}");
        }
        let stats = after_sessions(&server, 2);
        assert_eq!((stats.tls.by_rule, stats.tls.handshakes, stats.sessions.dismissed), (2, 0, 2), "{rule}");
        assert_eq!(stats.rules[0].fired, 2);
        assert!(stats.findings().is_empty(), "{rule}: {:?}", stats.findings());
    }
}

#[test]
fn clients_understand_the_alert_of_a_rule() {
    let server = implicit(&["tls alert=internal_error"]);
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let config = trusting(server.ca_pem().expect("a CA"), versions);
        let error = shake_hands(&server, &config, NAME).err().expect("an alert");
        assert!(matches!(error, Error::AlertReceived(rustls::AlertDescription::InternalError)), "{error}");
    }
}

#[test]
fn a_hello_that_is_left_unanswered_ends_with_the_session_timeout() {
    let config = || with_rules(&["tls silent"]).session_timeout(Duration::from_millis(200));
    for config in [config(), config().listen("smtps://127.0.0.1")] {
        let server = start(config);
        let trusting = trusting_server(&server);
        let mut stream = match server.listeners()[0].is_encrypted {
            true => connect(server.local_addr()),
            false => clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]).0,
        };
        let name = ServerName::try_from(NAME).expect("a name");
        let mut client = ClientConnection::new(trusting, name).expect("a client");
        client.write_tls(&mut stream).expect("a hello");
        assert_eq!(stream.read_to_end(&mut Vec::new()).expect("an end of file"), 0);
        let stats = after_sessions(&server, 1);
        assert_eq!((stats.tls.by_rule, stats.tls.timed_out, stats.sessions.timed_out), (1, 0, 0));
        assert_eq!(stats.sessions.dismissed, 1);
    }
}

#[test]
fn a_client_that_gives_up_waiting_for_a_handshake_is_seen() {
    for rule in ["tls silent", "tls delay=1h"] {
        let server = implicit(&[rule]);
        let (mut stream, config) = (connect(server.local_addr()), trusting_server(&server));
        let name = ServerName::try_from(NAME).expect("a name");
        let mut client = ClientConnection::new(config, name).expect("a client");
        client.write_tls(&mut stream).expect("a hello");
        eventually("the hello has come", || server.stats().rules[0].fired == 1);
        drop(stream);
        let stats = after_sessions(&server, 1);
        assert_eq!((stats.sessions.gave_up, stats.stages[Stage::Tls].gave_up.count()), (1, 1), "{rule}");
        assert_eq!((stats.tls.by_rule, stats.tls.broken_off), (1, 0), "{rule}");
    }
}

#[test]
fn a_handshake_is_late_as_a_rule_says_and_goes_on() {
    let server = implicit(&["tls delay=50ms certificate=expired times=1", "tls delay=50ms"]);
    let config = trusting_server(&server);
    let begin = now();
    let error = certificate_error(shake_hands(&server, &config, NAME));
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error}");
    assert!(begin.elapsed() >= Duration::from_millis(50));
    let mut client = shake_hands(&server, &config, NAME).expect("the right certificate");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert_eq!(client.reply(), "220 Welcome");
    client.quit();
    let stats = after_sessions(&server, 2);
    assert_eq!((stats.delays.lateness.count(), stats.delays.early), (2, 0));
}

/// More than the steps of handshakes that one turn has time for.
#[test]
fn many_delayed_handshakes_go_on_at_once() {
    const CLIENTS: usize = 100;
    let server = start(with_rules(&["tls delay=300ms"]).listen("smtps://127.0.0.1").shards(1));
    let config = trusting_server(&server);
    let mut waiting: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut stream = connect(server.local_addr());
            let name = ServerName::try_from(NAME).expect("a name");
            let mut client = ClientConnection::new(Arc::clone(&config), name).expect("a client");
            client.write_tls(&mut stream).expect("a hello");
            (client, stream)
        })
        .collect();
    for (client, stream) in &mut waiting {
        while client.is_handshaking() {
            client.complete_io(stream).expect("a handshake");
        }
    }
    drop(waiting);
    let stats = after_sessions(&server, CLIENTS as u64);
    assert_eq!((stats.tls.handshakes, stats.delays.lateness.count(), stats.delays.early), (100, 100, 0));
}

/// They can't be resumed, and that is not for want of a client's care.
#[test]
fn wrong_certificates_are_no_sessions_that_a_client_might_have_resumed() {
    let server = implicit(&["tls certificate=expired"]);
    for _ in 0..20 {
        let mut client = shake_hands(&server, &careless(), NAME).expect("any certificate");
        assert_eq!(client.reply(), "220 Welcome");
        client.quit();
    }
    let findings = after_sessions(&server, 20).findings();
    assert!(!findings.iter().any(|finding| finding.name == "tls-never-resumed"), "{findings:?}");
}

#[test]
fn rules_of_handshakes_are_replaced_while_the_server_runs() {
    let server = implicit(&[]);
    let config = trusting_server(&server);
    shake_hands(&server, &config, NAME).expect("the right certificate");
    let rule = || "tls certificate=untrusted".parse().expect("a rule");
    server.reconfigure(|settings| settings.rule(rule())).expect("possible");
    let error = certificate_error(shake_hands(&server, &config, NAME));
    assert!(matches!(error, CertificateError::UnknownIssuer), "{error}");
}

/// A CA, and a certificate for a name that is made by it.
fn authority() -> (String, String, String, String) {
    let (ca_key, key) =
        (rcgen::KeyPair::generate().expect("a key"), rcgen::KeyPair::generate().expect("a key"));
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "a team's CA");
    let ca = params.self_signed(&ca_key).expect("a CA").pem();
    let issuer = rcgen::Issuer::new(params, &ca_key);
    let own = rcgen::CertificateParams::new([NAME.to_owned()]).expect("a name");
    let own = own.signed_by(&key, &issuer).expect("a certificate").pem();
    (ca, ca_key.serialize_pem(), own, key.serialize_pem())
}

#[test]
fn beside_a_certificate_of_ones_own_the_ca_signs_the_wrong_one() {
    let (ca, ca_key, own, key) = authority();
    let config = trusting(&ca, rustls::ALL_VERSIONS);
    let rule = || "tls nth=2 certificate=expired".parse().expect("a rule");
    let listening = |tls| Config::default().tls(tls).listen("smtps://127.0.0.1");
    let error = Server::start(listening(Tls::from_pem(&*own, &*key)).rule(rule())).expect_err("no CA");
    assert!(error.to_string().contains("--tls-ca-cert and --tls-ca-key"), "{error}");
    let without = start(listening(Tls::from_pem(&*own, &*key)));
    let error = without.reconfigure(|settings| settings.rule(rule())).expect_err("no CA");
    assert!(error.to_string().contains("--tls-ca-cert and --tls-ca-key"), "{error}");

    let tls = Tls::from_pem(own, key).signed_by(ca, ca_key);
    let server = start(listening(tls).rule(rule()));
    shake_hands(&server, &config, NAME).expect("the own certificate");
    // For the same name, and by the same CA: nothing else is wrong.
    let error = certificate_error(shake_hands(&server, &config, NAME));
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error}");
    assert_eq!(server.ca_pem(), None, "it has not made the server's certificate");
}

#[test]
fn starttls_is_stripped_for_a_session() {
    let server = start(with_rules(&["helo session=1 extensions=-starttls"]));
    let commands = ["EHLO client.example", "STARTTLS", "EHLO client.example", "STARTTLS"];
    let (_, replies) = clear(server.local_addr(), &commands);
    assert!(replies[0] != "250 STARTTLS" && replies[1].starts_with("503 "), "{replies:?}");
    assert!(replies[2] != "250 STARTTLS" && replies[3].starts_with("503 "), "{replies:?}");
    let (_, replies) = clear(server.local_addr(), &commands[..2]);
    assert!(replies[0] == "250 STARTTLS" && replies[1].starts_with("220 "), "{replies:?}");
}
