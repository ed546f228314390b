//! The mechanisms, with the examples of their RFCs.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::client::sasl::scram::Scram;

fn login(text: &str) -> Arc<Login> {
    Arc::new(Login::read(text, 7).unwrap())
}

fn offered(names: &str) -> Mechanisms {
    let mut offered = Mechanisms::default();
    names.split(' ').for_each(|name| offered.add(name.as_bytes()));
    offered
}

/// The lines that a client sends, without line ends and decoded, for these challenges.
fn lines(login: &Arc<Login>, mechanism: Mechanism, challenges: &[&str]) -> Vec<String> {
    let (mut exchange, command) = Exchange::begin(Arc::clone(login), mechanism);
    let mut all = vec![String::from_utf8(command).unwrap()];
    for challenge in challenges {
        let line = exchange.respond(STANDARD.encode(challenge).as_bytes()).unwrap();
        let line = line.strip_suffix(b"\r\n").expect("a line end");
        all.push(String::from_utf8(STANDARD.decode(line).unwrap()).unwrap());
    }
    assert_eq!(exchange.respond(b""), Err(exchange::BadChallenge), "no response is left");
    all
}

#[test]
fn only_a_known_name_behind_the_last_at_is_a_mechanism() {
    for (text, user, secret, mechanism) in [
        ("ann:secret", "ann", "secret", None),
        ("ann:s@cret", "ann", "s@cret", None),
        ("ann@example.com:a:b@plain", "ann@example.com", "a:b", Some(Mechanism::Plain)),
        ("ann:plain@SCRAM-SHA-256", "ann", "plain", Some(Mechanism::ScramSha256)),
        ("ann:a@LOGIN@b", "ann", "a@LOGIN@b", None),
        ("ann:a@PLAIN@xoauth2", "ann", "a@PLAIN", Some(Mechanism::XOAuth2)),
        ("ann:GSSAPI@GSSAPI", "ann", "GSSAPI@GSSAPI", None),
    ] {
        let login = login(text);
        assert_eq!((&*login.user, &*login.secret, login.mechanism), (user, secret, mechanism), "{text}");
    }
    for (text, error) in [
        ("secret", LoginError::Colon),
        (":secret", LoginError::User),
        ("ann:", LoginError::Password),
        ("ann:@PLAIN", LoginError::Password),
    ] {
        assert_eq!(Login::read(text, 1).unwrap_err(), error, "{text}");
        assert!(!error.to_string().contains("secret"));
    }
    let shown = format!("{:?}", login("ann:secret@PLAIN"));
    assert!(shown.contains("ann") && !shown.contains("secret"), "{shown}");
}

#[test]
fn the_strongest_mechanism_that_takes_a_password_is_chosen() {
    let ann = login("ann:secret");
    for (names, chosen) in [
        ("LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 XOAUTH2", Some(Mechanism::ScramSha256)),
        ("LOGIN scram-sha-1 PLAIN", Some(Mechanism::ScramSha1)),
        ("LOGIN CRAM-MD5 PLAIN", Some(Mechanism::CramMd5)),
        ("LOGIN PLAIN GSSAPI", Some(Mechanism::Plain)),
        ("LOGIN", Some(Mechanism::Login)),
        ("XOAUTH2 OAUTHBEARER GSSAPI SCRAM-SHA-256-PLUS", None),
    ] {
        assert_eq!(ann.choose(offered(names)), chosen, "{names}");
    }
    let named = login("ann:token@XOAUTH2");
    assert_eq!(named.choose(offered("PLAIN XOAUTH2")), Some(Mechanism::XOAuth2));
    assert_eq!(named.choose(offered("PLAIN OAUTHBEARER")), None);
}

#[test]
fn passwords_and_tokens_are_sent_as_their_mechanisms_prescribe() {
    let coded = |text: &str| STANDARD.encode(text);
    let tim = login("tim:tanstaaftanstaaf");
    let plain = format!("AUTH PLAIN {}\r\n", coded("\0tim\0tanstaaftanstaaf"));
    assert_eq!(lines(&tim, Mechanism::Plain, &[]), [plain]);
    let challenges = ["Username:", "Password:"];
    assert_eq!(lines(&tim, Mechanism::Login, &challenges), ["AUTH LOGIN\r\n", "tim", "tanstaaftanstaaf"]);
    let challenges = ["<1896.697170952@postoffice.reston.mci.net>"];
    assert_eq!(
        lines(&tim, Mechanism::CramMd5, &challenges),
        ["AUTH CRAM-MD5\r\n", "tim b913a602c7eda7a495b4e6e7334d3890"]
    );
    let ann = login("a=n,n:token");
    let bearer = coded("n,a=a=3Dn=2Cn,\x01auth=Bearer token\x01\x01");
    let error = [r#"{"status":"invalid_token"}"#];
    assert_eq!(
        lines(&ann, Mechanism::OAuthBearer, &error),
        [format!("AUTH OAUTHBEARER {bearer}\r\n"), "\x01".to_owned()]
    );
    let bearer = coded("user=a=n,n\x01auth=Bearer token\x01\x01");
    assert_eq!(
        lines(&ann, Mechanism::XOAuth2, &error),
        [format!("AUTH XOAUTH2 {bearer}\r\n"), String::new()]
    );
}

#[test]
fn a_response_that_is_too_long_for_the_command_follows_an_empty_challenge() {
    for (length, has_initial) in [(330, true), (360, false)] {
        let token = "t".repeat(length);
        let login = login(&format!("ann:{token}@XOAUTH2"));
        let initial = format!("user=ann\x01auth=Bearer {token}\x01\x01");
        let (_, command) = Exchange::begin(Arc::clone(&login), Mechanism::XOAuth2);
        assert!(command.len() <= 512);
        let sent = match has_initial {
            true => lines(&login, Mechanism::XOAuth2, &["an error"])[0].contains(&STANDARD.encode(initial)),
            false => {
                lines(&login, Mechanism::XOAuth2, &["", "an error"])[..2]
                    == ["AUTH XOAUTH2\r\n".to_owned(), initial]
            }
        };
        assert!(sent, "{length}");
    }
}

/// The example of RFC 5802 section 5, or of RFC 7677 section 3: nonce of the client, message of the server, proof of the
/// client, signature of the server.
const SHA1: [&str; 4] = [
    "fyko+d2lbbFgONRv9qkxdawL",
    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
];
const SHA256: [&str; 4] = [
    "rOprNGfwEbeRWgbNEkqO",
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
];

#[test]
fn scram_proves_the_password_and_wants_the_servers_proof() {
    let login = login("user:pencil");
    for (is_sha256, [nonce, first, last, proof]) in [(false, SHA1), (true, SHA256), (true, SHA256)] {
        let (mut scram, initial) = Scram::with_nonce(&login, is_sha256, nonce.to_owned());
        assert_eq!(String::from_utf8(initial).unwrap(), format!("n,,n=user,r={nonce}"));
        let response = scram.respond(&login, first.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(response).unwrap(), last);
        assert!(!scram.is_proven());
        assert_eq!(scram.respond(&login, proof.as_bytes()), Ok(Vec::new()));
        assert!(scram.is_proven());
        let (mut fooled, _) = Scram::with_nonce(&login, is_sha256, nonce.to_owned());
        fooled.respond(&login, first.as_bytes()).unwrap();
        assert!(fooled.respond(&login, SHA1[3].replace('r', "s").as_bytes()).is_err());
    }
    assert_eq!(login.derived.lock().unwrap().len(), 2, "keys are derived once for each salt");
    for first in [
        "r=other,s=QSXCR+Q6sek8bf92,i=4096",
        "r=abc1,s=QSXCR+Q6sek8bf92,i=0",
        "r=abc1,s=QSXCR+Q6sek8bf92,i=4000000000",
        "r=abc1,s=!,i=4096",
        "r=abc1,i=4096",
        "e=other-error",
        "",
    ] {
        let (mut scram, _) = Scram::with_nonce(&login, true, "abc".to_owned());
        assert!(scram.respond(&login, first.as_bytes()).is_err(), "{first}");
    }
}
