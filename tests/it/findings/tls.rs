//! Findings on TLS.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use smtpmock::{Config, Server, Tls, TlsVersion};

use super::found::{names, only};
use crate::support::encrypted::{
    Encrypted, careless, clear, clear_reply, connect, trusting, trusting_server,
};
use crate::support::figures::after_sessions;
use crate::support::server::start;

fn encrypting() -> Config {
    Config::default().tls(Tls::self_signed())
}

const MAIL: &[&str] =
    &["EHLO client.example", "MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>", "RSET", "QUIT"];

/// A mail behind STARTTLS.
fn send_encrypted(server: &Server) {
    let (stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    let mut client = Encrypted::over(stream, &trusting_server(server), "localhost");
    assert!(client.command("EHLO client.example").starts_with("250 "));
    client.mail();
    client.quit();
}

#[test]
fn mail_in_clear_is_found_where_starttls_was_offered() {
    let server = start(encrypting());
    clear(server.local_addr(), MAIL);
    send_encrypted(&server);
    let text = only(&server, 2, "mail-in-clear");
    assert_eq!(text, "sent mail in clear, though STARTTLS was offered, in 1 session");
}

#[test]
fn mail_is_not_found_where_starttls_was_not_offered_or_was_used() {
    let withheld = || encrypting().extensions("-STARTTLS".parse().expect("a list"));
    for config in [Config::default().esmtp(), withheld()] {
        let server = start(config);
        clear(server.local_addr(), MAIL);
        assert_eq!(names(&server, 1), [""; 0]);
    }
    let server = start(encrypting());
    send_encrypted(&server);
    assert_eq!(names(&server, 1), [""; 0]);
}

#[test]
fn a_client_that_waits_for_the_reply_to_starttls_does_not_pipeline() {
    let server = start(encrypting().extensions("-PIPELINING".parse().expect("a list")));
    (0..5).for_each(|_| send_encrypted(&server));
    let found = names(&server, 5);
    assert!(!found.iter().any(|name| name.starts_with("pipelining")), "{found:?}");
}

#[test]
fn secrets_in_clear_are_found_and_hashes_are_not() {
    let server = start(encrypting().auth(("ann", "secret")).auth_in_clear(true));
    let plain = |password: &str| format!("AUTH PLAIN {}", BASE64.encode(format!("\0ann\0{password}")));
    clear(server.local_addr(), &["EHLO client.example", &plain("wrong"), &plain("secret"), "QUIT"]);
    let text = only(&server, 1, "secret-in-clear");
    assert_eq!(text, "sent a password or a token in clear, though STARTTLS was offered, in 1 session");
    let server = start(encrypting().auth(("ann", "secret")).auth_in_clear(true));
    clear(server.local_addr(), &["EHLO client.example", "AUTH CRAM-MD5", "*", "QUIT"]);
    let (stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    let mut client = Encrypted::over(stream, &trusting_server(&server), "localhost");
    client.command("EHLO client.example");
    assert!(client.command(&plain("secret")).starts_with("235 "));
    client.quit();
    assert_eq!(names(&server, 2), [""; 0]);
}

/// It went over the wire all the same.
#[test]
fn a_secret_in_a_command_that_is_refused_was_in_clear_too() {
    let sent = |lines: &[&str]| {
        let server = start(encrypting().auth(("ann", "secret")));
        clear(server.local_addr(), &[&["EHLO client.example"], lines, &["QUIT"]].concat());
        names(&server, 1)
    };
    let plain = format!("AUTH PLAIN {}", BASE64.encode("\0ann\0secret"));
    assert_eq!(sent(&[&plain]), ["secret-in-clear"]);
    assert_eq!(sent(&["AUTH PLAIN c2Vjcm"]), ["secret-in-clear"]);
    for line in ["AUTH PLAIN", "AUTH PLAIN =", "AUTH LOGIN YW5u", "AUTH CRAM-MD5 YW5u", "AUTH X-OWN YW5u"] {
        assert_eq!(sent(&[line]), [""; 0], "{line}");
    }
}

#[test]
fn commands_behind_starttls_are_found() {
    let server = start(encrypting());
    let (mut stream, _) = clear(server.local_addr(), &["EHLO client.example"]);
    stream.write_all(b"STARTTLS\r\nNOOP\r\n").expect("room");
    clear_reply(&mut stream);
    let mut client = Encrypted::over(stream, &trusting_server(&server), "localhost");
    client.command("NOOP");
    client.quit();
    let text = only(&server, 1, "commands-behind-starttls");
    assert_eq!(text, "sent more behind STARTTLS before its reply, which was discarded, in 1 session");
}

#[test]
fn an_end_without_close_notify_is_found() {
    let server = start(encrypting());
    let (stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    let mut client = Encrypted::over(stream, &trusting_server(&server), "localhost");
    client.command("NOOP");
    drop(client);
    let found = names(&server, 1);
    assert!(found.contains(&"no-close-notify"), "{found:?}");
}

#[test]
fn an_end_with_close_notify_is_not_found() {
    let server = start(encrypting());
    let (stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    let mut client = Encrypted::over(stream, &trusting_server(&server), "localhost");
    client.command("NOOP");
    let stream = client.0.get_mut();
    stream.conn.send_close_notify();
    stream.flush().expect("room");
    drop(client);
    let found = names(&server, 1);
    assert!(!found.contains(&"no-close-notify"), "{found:?}");
}

#[test]
fn an_old_version_is_found_where_the_server_has_a_newer_one() {
    let old = [&rustls::version::TLS12];
    let only_old = Tls::self_signed().versions(TlsVersion::V1_2..=TlsVersion::V1_2);
    for (tls, is_found) in [(Tls::self_signed(), true), (only_old, false)] {
        let server = start(Config::default().tls(tls).listen("smtps://127.0.0.1"));
        let config = trusting(server.ca_pem().expect("a CA"), &old);
        let mut client = Encrypted::over(connect(server.local_addr()), &config, "localhost");
        client.reply();
        client.quit();
        let found = names(&server, 1);
        assert_eq!(found, if is_found { vec!["old-tls"] } else { vec![] });
    }
}

#[test]
fn sessions_that_are_never_resumed_are_found() {
    for is_resuming in [false, true] {
        let server = start(encrypting().listen("smtps://127.0.0.1"));
        let kept = trusting_server(&server);
        for _ in 0..20 {
            let config = if is_resuming { kept.clone() } else { trusting_server(&server) };
            let mut client = Encrypted::over(connect(server.local_addr()), &config, "localhost");
            client.reply();
            client.quit();
        }
        let found = names(&server, 20);
        assert_eq!(found.contains(&"tls-never-resumed"), !is_resuming, "{found:?}");
    }
}

/// A server whose certificate is wrong from the first octet of a connection on.
fn with_wrong_certificate() -> Server {
    let rule = "tls certificate=wrong-name".parse().expect("a rule");
    start(encrypting().rule(rule).auth(("ann", "secret")).listen("smtps://127.0.0.1"))
}

#[test]
fn a_client_that_takes_any_certificate_is_found() {
    let server = with_wrong_certificate();
    let mut client = Encrypted::shake_hands(connect(server.local_addr()), &careless(), "localhost")
        .expect("any certificate");
    assert_eq!(client.reply(), "220 Welcome");
    assert!(client.command("EHLO client.example").starts_with("250 "));
    client.mail();
    client.mail();
    client.quit();
    let text = only(&server, 1, "wrong-certificate-accepted");
    assert_eq!(
        text,
        "went on in spite of a certificate that is wrong, as a rule has it, in 1 session: \
                      wrong-name by tls certificate=wrong-name (1)"
    );

    let server = with_wrong_certificate();
    let mut client = Encrypted::shake_hands(connect(server.local_addr()), &careless(), "localhost")
        .expect("any certificate");
    assert_eq!(client.reply(), "220 Welcome");
    assert!(client.command("EHLO client.example").starts_with("250 "));
    let plain = format!("AUTH PLAIN {}", BASE64.encode("\0ann\0wrong"));
    assert!(client.command(&plain).starts_with("535 "));
    client.quit();
    assert!(names(&server, 1).contains(&"wrong-certificate-accepted"), "credentials are enough");
}

#[test]
fn a_client_that_refuses_a_wrong_certificate_is_not_found() {
    let server = with_wrong_certificate();
    // One refuses within the handshake, the other looks at the certificate behind it.
    let verified =
        Encrypted::shake_hands(connect(server.local_addr()), &trusting_server(&server), "localhost");
    assert!(verified.is_err());
    let late = Encrypted::shake_hands(connect(server.local_addr()), &careless(), "localhost");
    let mut late = late.expect("any certificate");
    assert_eq!(late.reply(), "220 Welcome");
    late.quit();
    assert_eq!(names(&server, 2), [""; 0]);
    let tls = after_sessions(&server, 2).tls;
    assert_eq!(tls.alerts.iter().collect::<Vec<_>>(), [("bad_certificate", 1)]);
    assert_eq!((tls.by_rule, tls.accepted_certificates.total()), (1, 0));
}

/// A handshake that fails by a rule, at the first session of this server.
fn after_failure(rule: &str) -> Server {
    let server = start(encrypting().rule(rule.parse().expect("a rule")));
    let (stream, replies) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    if replies[1].starts_with("220 ") {
        assert!(Encrypted::shake_hands(stream, &trusting_server(&server), "localhost").is_err());
    }
    after_sessions(&server, 1);
    server
}

#[test]
fn a_client_that_falls_back_to_clear_text_is_found() {
    for rule in ["tls times=1 alert=internal_error", "starttls times=1 reply=\"454 4.7.0 Later\""] {
        let server = after_failure(rule);
        clear(server.local_addr(), MAIL);
        // One session has fallen back, and the next ones are in clear anyway.
        clear(server.local_addr(), MAIL);
        let stats = after_sessions(&server, 3);
        assert_eq!((stats.tls.fell_back, stats.tls.mail_in_clear), (1, 1), "{rule}");
        let found = stats.findings().into_iter().find(|finding| finding.name == "fell-back-to-clear");
        let text = found.expect("a finding").text;
        let suspicion = "seem to have fallen back to clear text: mail came on a new connection within a minute after TLS had \
                         failed, from the same address and with the same name in EHLO, in 1 session";
        assert_eq!(text, suspicion);
    }
}

/// The mail of a client with this name in EHLO, in clear.
fn send_in_clear_as(server: &Server, name: &str) {
    let hello = format!("EHLO {name}");
    clear(server.local_addr(), &[&[hello.as_str()], &MAIL[1..]].concat());
}

#[test]
fn another_client_of_the_same_address_does_not_fall_back() {
    let server = after_failure("tls times=1 alert=internal_error");
    send_in_clear_as(&server, "plain.example");
    let stats = after_sessions(&server, 2);
    assert_eq!((stats.tls.fell_back, stats.tls.mail_in_clear), (0, 1));
    // The name in other letters is the same, and the failure is not forgotten for the other client's mail.
    send_in_clear_as(&server, "CLIENT.example");
    let stats = after_sessions(&server, 3);
    assert_eq!((stats.tls.fell_back, stats.tls.mail_in_clear), (1, 1));
}

/// Two programs on one host use one name: which of them sends in clear after the failure can't be known.
#[test]
fn a_client_that_sent_in_clear_before_is_not_suspected_of_falling_back() {
    let rule = "tls times=1 alert=internal_error".parse().expect("a rule");
    let server = start(encrypting().rule(rule));
    clear(server.local_addr(), MAIL);
    let (stream, _) = clear(server.local_addr(), &["EHLO client.example", "STARTTLS"]);
    assert!(Encrypted::shake_hands(stream, &trusting_server(&server), "localhost").is_err());
    after_sessions(&server, 2);
    clear(server.local_addr(), MAIL);
    let stats = after_sessions(&server, 3);
    assert_eq!((stats.tls.fell_back, stats.tls.mail_in_clear), (0, 2));
}

/// RFC 3207 section 4 leaves it to the client whether it goes on after a refusal.
#[test]
fn a_client_whose_starttls_is_refused_was_not_offered_tls_that_works() {
    let secret = format!("AUTH PLAIN {}", BASE64.encode("\0ann\0secret"));
    for code in ["454 4.7.0 Later", "501 5.5.4 No", "503 5.5.1 No", "550 5.7.1 No"] {
        let rule = format!("starttls reply=\"{code}\"").parse().expect("a rule");
        let server = start(encrypting().rule(rule).auth(("ann", "secret")).auth_in_clear(true));
        let lines: [&str; 3] = ["EHLO client.example", "STARTTLS", &secret];
        // EHLO again lists STARTTLS again.
        clear(server.local_addr(), &[&lines[..], MAIL].concat());
        assert_eq!(names(&server, 1), [""; 0], "{code}");
    }
    // The client's own mistake is no refusal.
    let server = start(encrypting());
    clear(server.local_addr(), &[&["EHLO client.example", "STARTTLS now"], &MAIL[1..]].concat());
    assert_eq!(names(&server, 1), ["mail-in-clear"]);
}

#[test]
fn a_client_that_tries_tls_again_does_not_fall_back() {
    let server = after_failure("tls times=1 certificate=expired");
    send_encrypted(&server);
    clear(server.local_addr(), MAIL);
    assert_eq!(after_sessions(&server, 3).tls.fell_back, 0, "TLS has worked since");
    // STARTTLS within a session that is in order, but at a wrong time, is no failure of TLS.
    let server = start(encrypting());
    clear(server.local_addr(), &["STARTTLS", "EHLO client.example", "STARTTLS now", "QUIT"]);
    clear(server.local_addr(), MAIL);
    assert_eq!(after_sessions(&server, 2).tls.fell_back, 0);
}
