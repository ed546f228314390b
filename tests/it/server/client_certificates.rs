//! Certificates of clients: verified, recorded, and refused.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
use rustls::{ClientConfig, SupportedProtocolVersion};
use smtpmock::{Config, Server, Tls};

use super::client_ca::{Ca, Own, having};
use super::old_form;
use crate::support::encrypted::{Encrypted, Thin, connect};
use crate::support::figures::after_sessions;
use crate::support::server::start;

/// A server that is encrypted from the first octet, and asks for certificates of this CA.
fn asking(ca: &Ca, is_required: bool) -> Server {
    let tls = Tls::self_signed().client_ca(&ca.pem).client_required(is_required);
    start(Config::default().tls(tls).listen("smtps://127.0.0.1").shards(2))
}

const BOTH: [&[&SupportedProtocolVersion]; 2] = [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];

/// A mail, by a client that resumes its session if it can.
fn send(server: &Server, config: &Arc<ClientConfig>) {
    let mut client = Encrypted::over(connect(server.local_addr()), config, "localhost");
    assert_eq!(client.reply(), "220 Welcome");
    client.command("EHLO client.example");
    client.mail();
    client.quit();
}

#[test]
fn a_client_is_known_by_its_certificate_in_resumed_sessions_too() {
    for versions in BOTH {
        let ca = Ca::new();
        let server = asking(&ca, true);
        let config = having(&server, Some(ca.ann()), versions);
        (0..6).for_each(|_| send(&server, &config));
        let messages = server.messages();
        assert_eq!(messages.len(), 6);
        for (number, message) in messages.iter().enumerate() {
            let tls = message.tls().expect("encrypted");
            assert_eq!(tls.is_resumed(), number > 0, "{number}");
            let client = tls.client_certificate().expect("a certificate");
            assert_eq!(client.subject(), "CN=ann,O=Example\\, Inc.");
            assert_eq!(client.common_name(), Some("ann"));
            assert_eq!(client.alternative_name(), Some("ann@example.com"));
        }
        let stats = after_sessions(&server, 6);
        assert_eq!((stats.tls.handshakes, stats.tls.resumed, stats.tls.client_certificates), (6, 5, 6));
    }
}

#[test]
fn a_certificate_may_come_octet_by_octet() {
    for versions in BOTH {
        let ca = Ca::new();
        let server = asking(&ca, true);
        let config = having(&server, Some(ca.ann()), versions);
        let mut client = Encrypted::over(Thin(connect(server.local_addr())), &config, "localhost");
        assert_eq!(client.reply(), "220 Welcome");
        client.command("EHLO client.example");
        client.mail();
        client.quit();
        let messages = server.messages();
        let client = messages[0].tls().and_then(|tls| tls.client_certificate()).expect("a certificate");
        assert_eq!(client.name(), Some("ann"));
    }
}

/// A client may send any certificates behind its own, and its ticket has all of them.
#[test]
fn a_long_chain_is_part_of_tickets_and_the_longest_harms_nobody_else() {
    for versions in BOTH {
        let ca = Ca::new();
        let server = asking(&ca, true);
        let chain = |more: usize| {
            let (certificate, key) = ca.ann();
            having(&server, Some((certificate + &ca.ann().0.repeat(more), key)), versions)
        };
        let ten = chain(10);
        (0..3).for_each(|_| send(&server, &ten));
        // Of 60 KiB: its own tickets are more than rustls's client takes at once.
        let mut client = Encrypted::over(connect(server.local_addr()), &chain(100), "localhost");
        let _ = client.0.get_mut().read(&mut [0]);
        drop(client);
        send(&server, &ten);
        let stats = after_sessions(&server, 5);
        assert_eq!((stats.messages.accepted, stats.tls.resumed, stats.tls.handshakes), (4, 3, 5));
        assert!(server.failure().is_none(), "{:?}", server.failure());
    }
}

#[test]
fn a_certificate_is_optional_unless_it_is_required() {
    for versions in BOTH {
        let ca = Ca::new();
        let server = asking(&ca, false);
        send(&server, &having(&server, None, versions));
        send(&server, &having(&server, Some(ca.ann()), versions));
        let known = server.messages();
        let known =
            known.iter().map(|message| message.tls().expect("encrypted").client_certificate().is_some());
        assert_eq!(known.collect::<Vec<_>>(), [false, true]);
        assert_eq!(after_sessions(&server, 2).tls.client_certificates, 1);
    }
}

/// The alert that ends the session of such a client.
fn refusal(server: &Server, own: Option<Own>, versions: &[&'static SupportedProtocolVersion]) -> String {
    let config = having(server, own, versions);
    let mut client = Encrypted::over(connect(server.local_addr()), &config, "localhost");
    // In TLS 1.3 the client's handshake is done before the server has seen its certificate.
    let stream = client.0.get_mut();
    let error = stream.flush().and_then(|()| stream.read(&mut [0])).expect_err("an alert");
    error.to_string().rsplit(' ').next().expect("its name").to_owned()
}

fn as_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// A certificate that a client has signed itself.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Own {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

#[test]
fn a_certificate_that_is_missing_or_not_trusted_is_refused_by_an_alert_and_counted() {
    for (versions, missing) in BOTH.into_iter().zip(["HandshakeFailure", "CertificateRequired"]) {
        let ca = Ca::new();
        let server = asking(&ca, true);
        assert_eq!(refusal(&server, None, versions), missing);
        let old = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
        let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
        let of_server = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        };
        let wrong = [
            (Ca::named("another").ann(), "UnknownCA"),
            // Of a CA that is called as the one that is trusted.
            (Ca::new().ann(), "DecryptError"),
            (ca.issue(old), "CertificateExpired"),
            (ca.issue(future), "CertificateExpired"),
            (ca.issue(of_server), "UnsupportedCertificate"),
            (self_signed(|_| {}), "UnknownCA"),
            (self_signed(as_ca), "UnknownCA"),
            (ca.issue(as_ca), "UnsupportedCertificate"),
            ((old_form::SELF_SIGNED.to_owned(), old_form::KEY.to_owned()), "UnknownCA"),
            ((old_form::OF_A_CA.to_owned(), old_form::KEY.to_owned()), "UnsupportedCertificate"),
        ];
        let count = wrong.len() as u64;
        for (own, alert) in wrong {
            let name = refusal(&server, Some(own), versions);
            assert_eq!(name, alert);
        }
        // Where it is optional, a certificate that is not trusted is refused all the same.
        let optional = asking(&ca, false);
        assert_eq!(refusal(&optional, Some(Ca::named("another").ann()), versions), "UnknownCA");
        assert_eq!(after_sessions(&optional, 1).tls.bad_client_certificate, 1);
        let stats = after_sessions(&server, 1 + count);
        assert_eq!((stats.tls.no_client_certificate, stats.tls.bad_client_certificate), (1, count));
        assert_eq!((stats.tls.handshakes, stats.sessions.dismissed), (0, 1 + count));
        assert_eq!(server.messages().len(), 0);
    }
}

/// It vouches for that one client, and for no other.
#[test]
fn a_certificate_that_a_client_has_signed_itself_may_be_its_ca() {
    let (own, other) = (self_signed(|_| {}), self_signed(|_| {}));
    let tls = Tls::self_signed().client_ca(own.0.clone()).client_required(true);
    let server = start(Config::default().tls(tls).listen("smtps://127.0.0.1"));
    send(&server, &having(&server, Some(own), rustls::ALL_VERSIONS));
    assert_eq!(refusal(&server, Some(other), rustls::ALL_VERSIONS), "DecryptError");
}

#[test]
fn a_client_ca_that_is_none_is_refused_at_the_start() {
    for (tls, setting) in [
        (Tls::self_signed().client_ca("no PEM"), "Tls::client_ca"),
        (
            Tls::self_signed().client_ca("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "Tls::client_ca",
        ),
        (Tls::self_signed().client_ca(Ca::new().ann().0), "Tls::client_ca"),
        (Tls::self_signed().client_required(true), "Tls::client_required"),
    ] {
        let error = Config::default().tls(tls).validate().expect_err(setting);
        assert_eq!(error.setting, setting, "{error}");
    }
}
