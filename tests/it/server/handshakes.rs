//! What is measured of handshakes.

use std::time::Duration;

use smtpmock::{Config, Server, Tls};

use crate::support::encrypted::{Encrypted, careless, connect, trusting, trusting_server};
use crate::support::figures::after_sessions;
use crate::support::logger::{Recorder, To};
use crate::support::server::start;

/// A name in the server's certificate.
const NAME: &str = "mx.example.com";

/// A server that is encrypted from the first octet.
fn encrypting() -> Config {
    Config::default().tls(Tls::self_signed().names([NAME])).listen("smtps://127.0.0.1")
}

#[test]
fn the_time_that_a_client_takes_within_a_handshake_is_its_share() {
    const PAUSE: Duration = Duration::from_millis(40);
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let server = start(encrypting());
        let config = trusting(server.ca_pem().expect("a CA"), versions);
        let name = NAME.try_into().expect("a name");
        let mut tls = rustls::ClientConnection::new(config, name).expect("a connection");
        let mut stream = connect(server.local_addr());
        tls.write_tls(&mut stream).expect("room");
        stream.peek(&mut [0]).expect("the server's flight");
        std::thread::sleep(PAUSE);
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut stream).expect("a handshake");
        }
        drop((tls, stream));
        let tls = after_sessions(&server, 1).tls;
        assert_eq!((tls.duration.count(), tls.think.count(), tls.service.count()), (1, 1, 1));
        assert!(tls.think.min() >= PAUSE && tls.duration.min() >= tls.think.min(), "{tls:?}");
    }
}

#[test]
fn handshakes_are_counted_by_version_cipher_suite_and_name() {
    let server = start(encrypting());
    let ca = server.ca_pem().expect("a CA");
    let [old, new] = [&rustls::version::TLS12, &rustls::version::TLS13].map(|one| trusting(ca, &[one]));
    for (config, name) in [(&new, NAME), (&new, "LOCALHOST"), (&new, "localhost"), (&old, "127.0.0.1")] {
        let mut client = Encrypted::over(connect(server.local_addr()), config, name);
        client.reply();
        client.quit();
    }
    let stats = after_sessions(&server, 4);
    let tls = &stats.tls;
    assert_eq!((tls.handshakes, tls.v1_2, tls.v1_3), (4, 1, 3));
    let names: Vec<_> = tls.server_names.iter().collect();
    assert_eq!((&names[..], tls.server_names.others()), (&[("localhost", 2), (NAME, 1)][..], 0));
    let suites: Vec<_> = tls.cipher_suites.iter().collect();
    let [(new, 3), (old, 1)] = suites[..] else { panic!("{suites:?}") };
    assert!(new.starts_with("TLS_AES_") && old.starts_with("TLS_ECDHE_ECDSA_"), "{suites:?}");
}

/// The lines about handshakes that this server has logged by its end, without the addresses.
fn logged(server: &Server, log: &Recorder) -> Vec<String> {
    let address = server.local_addr().to_string();
    server.stop();
    let lines = log.lines().into_iter().filter(|line| line.contains("TLS handshake"));
    lines
        .map(|line| match line.split_once(&format!(" tcp {address}->")) {
            Some((front, rest)) => format!(
                "{front}{}",
                rest.split_once(':').map_or("", |(_, port)| {
                    port.trim_start_matches(|digit: char| digit.is_ascii_digit())
                })
            ),
            None => line,
        })
        .collect()
}

#[test]
fn a_handshake_is_logged_with_what_it_has_agreed_on() {
    let log = Recorder::default();
    let server = start(encrypting().logger(To(log.clone())));
    let ca = server.ca_pem().expect("a CA");
    let [old, new] = [&rustls::version::TLS12, &rustls::version::TLS13].map(|one| trusting(ca, &[one]));
    for (config, name) in [(&new, NAME), (&new, NAME), (&old, "127.0.0.1")] {
        let mut client = Encrypted::over(connect(server.local_addr()), config, name);
        client.reply();
        client.quit();
    }
    after_sessions(&server, 3);
    let lines = logged(&server, &log);
    let [full, resumed, old] = &lines[..] else { panic!("{lines:?}") };
    let new = |how: &str| format!(", server name {NAME}, {how}");
    assert!(full.starts_with("INFO: TLS handshake: version 1.3, suite TLS_AES_"), "{full}");
    assert!(full.ends_with(&new("full")) && resumed.ends_with(&new("resumed")), "{lines:?}");
    assert!(old.starts_with("INFO: TLS handshake: version 1.2, suite TLS_ECDHE_ECDSA_"), "{old}");
    assert!(old.ends_with(", full") && !old.contains("server name"), "{old}");
}

#[test]
fn a_handshake_that_fails_is_logged_with_its_alert_and_its_rule() {
    let log = Recorder::default();
    let rules = ["tls id=old nth=1 certificate=expired", "tls nth=1 alert=internal_error", "tls delay=0ms"];
    let config = rules.iter().fold(encrypting(), |config, rule| config.rule(rule.parse().expect("a rule")));
    let server = start(config.logger(To(log.clone())));
    let verifying = trusting_server(&server);
    // A CA of the same name, whose signature it is not.
    let unknowing = trusting(start(encrypting()).ca_pem().expect("another CA"), rustls::ALL_VERSIONS);
    for (sessions, config) in (1..).zip([&verifying, &verifying, &unknowing]) {
        assert!(Encrypted::shake_hands(connect(server.local_addr()), config, NAME).is_err());
        after_sessions(&server, sessions);
    }
    let stats = server.stats();
    let alerts: Vec<_> = stats.tls.alerts.iter().collect();
    assert_eq!(alerts, [("certificate_expired", 1), ("decrypt_error", 1)]);
    assert_eq!((stats.tls.by_rule, stats.tls.refused), (2, 1));
    let expected = [
        "ERROR: TLS handshake: the client sent the alert certificate_expired (rule: old)",
        "ERROR: TLS handshake: a rule ended it (rule: tls nth=1 alert=internal_error)",
        "ERROR: TLS handshake: the client sent the alert decrypt_error",
    ];
    assert_eq!(logged(&server, &log), expected);
}

#[test]
fn a_wrong_certificate_that_is_accepted_is_named_with_its_rule() {
    let rules = ["tls id=old nth=1 certificate=expired", "tls certificate=wrong-name"];
    let config = rules.iter().fold(encrypting(), |config, rule| config.rule(rule.parse().expect("a rule")));
    let server = start(config);
    for _ in 0..3 {
        let mut client =
            Encrypted::shake_hands(connect(server.local_addr()), &careless(), NAME).expect("any certificate");
        client.reply();
        assert!(client.command("EHLO client.example").starts_with("250"));
        client.mail();
        client.mail();
        client.quit();
    }
    let stats = after_sessions(&server, 3);
    let accepted: Vec<_> = stats.tls.accepted_certificates.iter().collect();
    assert_eq!(accepted, [("expired by old", 1), ("wrong-name by tls certificate=wrong-name", 2)]);
    let found = stats.findings().into_iter().find(|found| found.name == "wrong-certificate-accepted");
    let kinds = ": expired by old (1), wrong-name by tls certificate=wrong-name (2)";
    let text = found.expect("a finding").text;
    assert!(text.ends_with(&format!("in 3 sessions{kinds}")), "{text}");
}
