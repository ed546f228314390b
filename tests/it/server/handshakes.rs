//! What is measured of handshakes.

use std::time::Duration;

use smtpmock::{Config, Tls};

use crate::support::encrypted::{Encrypted, connect, trusting};
use crate::support::figures::after_sessions;
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
