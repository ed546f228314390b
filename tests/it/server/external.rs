//! AUTH EXTERNAL (RFC 4422 appendix A): a client authenticates by its certificate.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ClientConfig;
use smtpmock::smtp::auth::{Credential, Mechanism};
use smtpmock::{Config, Server, Tls};

use super::client_ca::{Ca, having};
use crate::support::encrypted::{Encrypted, clear, connect};
use crate::support::figures::after_sessions;
use crate::support::server::start;

const ACCEPTED: &str = "235 2.7.0 Authentication successful";
const FAILED: &str = "535 5.7.8 Authentication credentials invalid";
const NOT_OFFERED: &str = "504 5.5.4 Authentication mechanism not offered";

/// A server that asks for certificates of this CA.
fn asking(ca: &Ca) -> Config {
    Config::default().tls(Tls::self_signed().client_ca(&ca.pem)).listen("smtps://127.0.0.1")
}

/// A client behind EHLO, and the mechanisms that it is offered.
fn greeted(server: &Server, config: &Arc<ClientConfig>) -> (Encrypted, Option<String>) {
    let mut client = Encrypted::over(connect(server.local_addr()), config, "localhost");
    assert_eq!(client.reply(), "220 Welcome");
    client.send("EHLO client.example\r\n");
    let lines = client.lines();
    let offered = lines.iter().find_map(|line| Some(line.get(4..)?.strip_prefix("AUTH ")?.to_owned()));
    (client, offered)
}

#[test]
fn external_is_offered_to_clients_with_a_certificate_alone() {
    let ca = Ca::new();
    for (config, with, without) in [
        (asking(&ca), None, None),
        (asking(&ca).auth_mechanisms([Mechanism::External]), Some("EXTERNAL"), None),
        (
            asking(&ca).auth(Credential::token("t")),
            Some("XOAUTH2 OAUTHBEARER EXTERNAL"),
            Some("XOAUTH2 OAUTHBEARER"),
        ),
        (
            asking(&ca).auth(("bob", "secret")).auth_mechanisms([Mechanism::Plain, Mechanism::External]),
            Some("PLAIN EXTERNAL"),
            Some("PLAIN"),
        ),
    ] {
        let server = start(config);
        for (own, offered) in [(Some(ca.ann()), with), (None, without)] {
            let is_known = own.is_some();
            let (mut client, found) = greeted(&server, &having(&server, own, rustls::ALL_VERSIONS));
            assert_eq!(found.as_deref(), offered);
            if with.is_some() {
                client.expect("AUTH EXTERNAL =", if is_known { ACCEPTED } else { NOT_OFFERED });
            }
            client.quit();
        }
    }
    // In clear nobody has a certificate.
    let tls = Tls::self_signed().client_ca(&ca.pem);
    let server = start(Config::default().tls(tls).auth_mechanisms([Mechanism::External]));
    let (_, replies) = clear(server.local_addr(), &["EHLO client.example", "AUTH EXTERNAL =", "NOOP"]);
    assert_eq!(replies[1..], [NOT_OFFERED, "250 2.0.0 Ok"]);
}

#[test]
fn a_client_acts_as_what_its_certificate_calls_it_and_as_nobody_else() {
    let ca = Ca::new();
    for config in [asking(&ca).auth_mechanisms([Mechanism::External]), asking(&ca).auth(Credential::any())] {
        let server = start(config);
        // Sessions that are resumed, too.
        let config = having(&server, Some(ca.ann()), rustls::ALL_VERSIONS);
        let names = ["ann", "ann@example.com", "CN=ann,O=Example\\, Inc."];
        for name in names {
            let (mut client, _) = greeted(&server, &config);
            for other in ["bob", "Ann", "ann "] {
                client.expect(&format!("AUTH EXTERNAL {}", BASE64.encode(other)), FAILED);
            }
            for wrong in ["a\0n", "\0"] {
                let reply = client.command(&format!("AUTH EXTERNAL {}", BASE64.encode(wrong)));
                assert!(reply.starts_with("501 5.5.2 "), "{reply}");
            }
            client.expect(&format!("AUTH EXTERNAL {}", BASE64.encode(name)), ACCEPTED);
            client.mail();
            client.quit();
        }
        // Without a name, at once and behind a challenge; a cancelled exchange; one with a name behind the challenge.
        for lines in
            [&["AUTH EXTERNAL ="][..], &["AUTH EXTERNAL", ""], &["AUTH external", &BASE64.encode("ann")]]
        {
            let (mut client, _) = greeted(&server, &config);
            client.expect("AUTH EXTERNAL", "334");
            assert!(client.command("*").starts_with("501 "));
            for (index, line) in lines.iter().enumerate() {
                client.expect(line, if index + 1 < lines.len() { "334" } else { ACCEPTED });
            }
            client.mail();
            client.quit();
        }
        let messages = server.messages();
        let users: Vec<_> = messages.iter().map(|message| message.auth_user().expect("a user")).collect();
        assert_eq!(users, [names[0], names[1], names[2], "ann", "ann", "ann"]);
        assert!(messages.iter().all(|message| message.auth_mechanism() == Some(Mechanism::External)));
        assert!(messages[5].tls().expect("encrypted").is_resumed());
        let auth = after_sessions(&server, 6).auth;
        assert_eq!((auth.external, auth.succeeded, auth.failed, auth.cancelled), (6, 6, 9, 3));
    }
}

#[test]
fn a_certificate_is_a_credential_where_one_is_required() {
    let ca = Ca::new();
    let config = asking(&ca).auth_mechanisms([Mechanism::External]).auth_required(true);
    let server =
        start(config.rule("auth user=ann times=1 reply=\"454 4.7.0 later\"".parse().expect("a rule")));
    let (mut client, _) = greeted(&server, &having(&server, None, rustls::ALL_VERSIONS));
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("530 5.7.0 "));
    let (mut client, _) = greeted(&server, &having(&server, Some(ca.ann()), rustls::ALL_VERSIONS));
    client.expect("AUTH EXTERNAL =", "454 4.7.0 later");
    client.expect("AUTH EXTERNAL =", ACCEPTED);
    client.mail();
    client.quit();
}

#[test]
fn external_without_a_ca_of_clients_is_refused_at_the_start() {
    let config = Config::default().tls(Tls::self_signed());
    let error = config.auth_mechanisms([Mechanism::External]).validate().expect_err("no CA");
    assert_eq!((error.setting, &*error.value), ("auth_mechanisms", "EXTERNAL"));
    assert!(error.expected.contains("--tls-client-ca"), "{error}");
}

#[test]
fn a_client_that_xclient_names_has_not_the_certificate_of_its_peer() {
    let ca = Ca::new();
    let trusted = std::net::IpAddr::from([127, 0, 0, 1]);
    let server = start(asking(&ca).auth_mechanisms([Mechanism::External]).trust(trusted));
    let (mut client, offered) = greeted(&server, &having(&server, Some(ca.ann()), rustls::ALL_VERSIONS));
    assert_eq!(offered.as_deref(), Some("EXTERNAL"));
    assert!(client.command("XCLIENT ADDR=192.0.2.7").starts_with("220 "));
    client.send("EHLO client.example\r\n");
    let lines = client.lines();
    assert!(!lines.iter().any(|line| line.contains("AUTH")), "{lines:?}");
    client.expect("AUTH EXTERNAL =", NOT_OFFERED);
    client.quit();
}
