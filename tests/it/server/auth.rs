//! AUTH over sockets: who is let in, by which mechanisms, and what follows from it (RFC 4954).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use smtpmock::smtp::auth::{Credential, Mechanism, read_password_file};
use smtpmock::smtp::rules::{Extension, Offer};
use smtpmock::smtp::{RecordMode, ReplyKind};
use smtpmock::{Config, Server};

use crate::support::client::Client;
use crate::support::figures::after_sessions;
use crate::support::sasl::{base64, plain};
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

const ACCEPTED: &str = "235 2.7.0 Authentication successful";
const REFUSED: &str = "535 5.7.8 Authentication credentials invalid";
const UNDECODABLE: &str = "501 5.5.2 Authentication response can't be decoded";
const OUT_OF_SEQUENCE: &str =
    "503 5.5.1 Bad sequence of commands. AUTH should be used once, after EHLO and before MAIL FROM";

fn ann() -> Config {
    Config::default().auth(("ann", "secret"))
}

/// A client that was greeted, and was offered AUTH.
fn extended(server: &Server) -> Client {
    Client::extended(server.local_addr())
}

/// The line that offers AUTH.
fn offered(server: &Server) -> String {
    let mut client = Client::greeted(server.local_addr());
    client.send("EHLO client.example\r\n");
    let mut offered = String::new();
    loop {
        let line = client.reply();
        if let Some(mechanisms) = line.get(4..).and_then(|line| line.strip_prefix("AUTH ")) {
            offered = mechanisms.to_owned();
        }
        if !line.starts_with("250-") {
            return offered;
        }
    }
}

/// Sends a mail, whatever the codes in the replies.
fn deliver(client: &mut Client, text: &str) {
    for line in ["MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>", "DATA"] {
        let reply = client.command(line);
        assert!(reply.starts_with("250 ") || reply.starts_with("354 "), "{line}: {reply}");
    }
    assert!(client.command(&format!("{text}\r\n.")).starts_with("250 "));
}

#[test]
fn plain_takes_an_initial_response_or_a_challenge() {
    let server = start(ann());
    extended(&server).expect(&plain("ann", "secret"), ACCEPTED);
    let mut other = extended(&server);
    other.expect("auth plain", "334 ");
    other.expect(&base64("\0ann\0secret"), ACCEPTED);
    let mut wrong = extended(&server);
    for (user, password) in [("ann", "Secret"), ("bob", "secret"), ("ann", "secret "), ("Ann", "secret")] {
        wrong.expect(&plain(user, password), REFUSED);
    }
    wrong.expect(&plain("ann", "secret"), ACCEPTED);
    extended(&server).expect(&format!("AUTH PLAIN {}", base64("ann\0ann\0secret")), ACCEPTED);
    extended(&server).expect(&format!("AUTH PLAIN {}", base64("bob\0ann\0secret")), REFUSED);
}

#[test]
fn login_asks_for_the_user_and_the_password() {
    let server = start(ann());
    let mut client = extended(&server);
    client.expect("AUTH LOGIN", "334 VXNlcm5hbWU6");
    client.expect(&base64("ann"), "334 UGFzc3dvcmQ6");
    client.expect(&base64("secret"), ACCEPTED);
    let mut other = extended(&server);
    other.expect(&format!("AUTH LOGIN {}", base64("ann")), "334 UGFzc3dvcmQ6");
    other.expect(&base64("wrong"), REFUSED);
    other.expect("AUTH LOGIN =", UNDECODABLE);
}

#[test]
fn any_lets_everybody_in() {
    let server = start(Config::default().auth(Credential::any()));
    assert_eq!(offered(&server), "PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER");
    extended(&server).expect(&plain("who", "ever"), ACCEPTED);
    let mut digest = extended(&server);
    assert!(digest.command("AUTH CRAM-MD5").starts_with("334 "));
    digest.expect(&base64("who 00112233445566778899aabbccddeeff"), ACCEPTED);
    let mut token = extended(&server);
    token.expect(&format!("AUTH XOAUTH2 {}", base64("user=who\x01auth=Bearer x\x01\x01")), ACCEPTED);
}

#[test]
fn tokens_are_refused_with_the_reason_as_a_challenge() {
    let server = start(Config::default().auth(Credential::token("t0ken")));
    assert_eq!(offered(&server), "XOAUTH2 OAUTHBEARER");
    let xoauth2 = |token: &str| base64(format!("user=ann@example.com\x01auth=Bearer {token}\x01\x01"));
    extended(&server).expect(&format!("AUTH XOAUTH2 {}", xoauth2("t0ken")), ACCEPTED);
    let bearer = |token: &str| base64(format!("n,a=ann@example.com,\x01auth=Bearer {token}\x01\x01"));
    let mut other = extended(&server);
    other.expect("AUTH OAUTHBEARER", "334 ");
    other.expect(&bearer("t0ken"), ACCEPTED);
    for (command, dummy) in [
        (format!("AUTH XOAUTH2 {}", xoauth2("t")), ""),
        (format!("AUTH OAUTHBEARER {}", bearer("t")), "AQ=="),
    ] {
        let mut client = extended(&server);
        let challenge = client.command(&command);
        let error = BASE64.decode(challenge.strip_prefix("334 ").expect("a challenge")).expect("base64");
        let error: serde_json::Value = serde_json::from_slice(&error).expect("JSON");
        assert!(error["status"].is_string(), "{error}");
        client.expect(dummy, REFUSED);
        client.expect("NOOP", "250 2.0.0 Ok");
    }
}

#[test]
fn anonymous_is_offered_only_where_it_is_listed() {
    let server = start(ann().auth_mechanisms([Mechanism::Anonymous, Mechanism::Plain]));
    assert_eq!(offered(&server), "PLAIN ANONYMOUS");
    extended(&server).expect(&format!("AUTH ANONYMOUS {}", base64("sirhc")), ACCEPTED);
    extended(&server).expect("AUTH ANONYMOUS =", ACCEPTED);
    extended(&start(ann())).expect("AUTH ANONYMOUS =", "504 5.5.4 Authentication mechanism not offered");
}

#[test]
fn hashed_users_authenticate_and_what_follows_waits() {
    // "secret", by crypt(3) and by sha1sum.
    const USERS: &str = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n\
        sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
    let users = read_password_file(USERS).expect("valid");
    let server = start(Config::default().auth_users(users));
    assert_eq!(offered(&server), "PLAIN LOGIN");
    extended(&server).expect(&plain("sha", "secret"), ACCEPTED);
    extended(&server).expect(&plain("sha", "Secret"), REFUSED);
    // What is sent behind it waits for the result.
    let mut client = extended(&server);
    client.send(format!("{}\r\nNOOP\r\n", plain("ann", "wrong")));
    assert_eq!(client.reply(), REFUSED);
    assert_eq!(client.reply(), "250 2.0.0 Ok");
    client.send(format!("{}\r\nNOOP\r\n", plain("ann", "secret")));
    assert_eq!(client.reply(), ACCEPTED);
    assert_eq!(client.reply(), "250 2.0.0 Ok");
}

#[test]
fn auth_is_known_only_where_it_is_offered_and_once_before_mail() {
    let server = start(Config::default().esmtp());
    let unknown = extended(&server).command(&plain("ann", "secret"));
    assert!(unknown.starts_with("502 5.5.1 Command unrecognized. "), "{unknown}");
    let server = start(ann());
    Client::greeted(server.local_addr())
        .expect(&plain("ann", "secret"), &OUT_OF_SEQUENCE.replace("5.5.1 ", ""));
    let mut helo = Client::greeted(server.local_addr());
    helo.expect("HELO client.example", "250 Received");
    helo.expect("AUTH PLAIN", &OUT_OF_SEQUENCE.replace("5.5.1 ", ""));
    let mut mail = extended(&server);
    mail.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
    mail.expect(&plain("ann", "secret"), OUT_OF_SEQUENCE);
    mail.expect("RSET", "250 2.0.0 Ok");
    mail.expect(&plain("ann", "secret"), ACCEPTED);
    mail.expect(&plain("ann", "secret"), OUT_OF_SEQUENCE);
    mail.expect("RSET", "250 2.0.0 Ok");
    mail.expect("AUTH LOGIN", OUT_OF_SEQUENCE);
}

#[test]
fn malformed_commands_and_responses_are_refused_each_with_its_reply() {
    let server = start(ann());
    let mut client = extended(&server);
    let argument = "501 5.5.4 AUTH requires a mechanism, and at most an initial response behind it";
    for (line, reply) in [
        ("AUTH", argument),
        ("AUTH PLAIN a b", argument),
        ("AUTH GSSAPI", "504 5.5.4 Authentication mechanism not offered"),
        ("AUTH XOAUTH2 =", "504 5.5.4 Authentication mechanism not offered"),
        ("AUTH PLAIN !", UNDECODABLE),
        ("AUTH PLAIN AGFubgBzZWNyZXQ", UNDECODABLE),
        ("AUTH PLAIN =", UNDECODABLE),
        ("AUTH CRAM-MD5 AGFu", UNDECODABLE),
        ("AUTH PLAIN", "334 "),
        ("*", "501 5.0.0 Authentication cancelled"),
        ("AUTH PLAIN", "334 "),
        ("NOOP", UNDECODABLE),
        ("NOOP", "250 2.0.0 Ok"),
    ] {
        client.expect(line, reply);
    }
    assert!(client.command("AUTH CRAM-MD5").starts_with("334 "));
    client.expect(&base64("ann"), UNDECODABLE);
}

/// RFC 4954 section 4: 12,288 octets, the line end included.
#[test]
fn lines_of_an_exchange_may_be_longer_than_others() {
    let server = start(Config::default().auth(Credential::any()));
    let line = |front: &str, length: usize| {
        let octets = (length - 2 - front.len()) / 4 * 3;
        let text = format!("{front}{}", base64([b"\0ann\0", &*vec![b'x'; octets - 5]].concat()));
        assert!(text.len() + 2 <= length && text.len() + 6 > length);
        text
    };
    let too_long = "500 5.5.6 Authentication exchange line is too long";
    extended(&server).expect(&line("AUTH PLAIN ", 12_288), ACCEPTED);
    let mut client = extended(&server);
    client.expect(&line("AUTH PLAIN ", 12_293), too_long);
    client.expect("AUTH PLAIN", "334 ");
    client.expect(&line("", 12_293), too_long);
    client.expect("AUTH PLAIN", "334 ");
    client.expect(&line("", 12_288), ACCEPTED);
    client.expect(&format!("NOOP {}", "x".repeat(5000)), "500 5.5.2 Line too long");
}

#[test]
fn mail_may_require_an_authentication() {
    let server = start(ann().auth_required(true));
    let mut client = extended(&server);
    let required = "530 5.7.0 Authentication required";
    client.expect("MAIL FROM:<ann@example.com>", required);
    client.expect("MAIL FROM:<ann@", required);
    client.expect("NOOP", "250 2.0.0 Ok");
    client.expect("RSET", "250 2.0.0 Ok");
    client.expect(&plain("ann", "secret"), ACCEPTED);
    client.expect("MAIL FROM:<ann@example.com> AUTH=ann+40example.com", "250 2.1.0 Received");
    let mut helo = Client::greeted(server.local_addr());
    helo.expect("HELO client.example", "250 Received");
    helo.expect("MAIL FROM:<ann@example.com>", &required.replace("5.7.0 ", ""));
}

#[test]
fn messages_say_who_has_sent_them() {
    let server = start(ann());
    let mut client = extended(&server);
    deliver(&mut client, "one");
    client.expect(&plain("ann", "secret"), ACCEPTED);
    deliver(&mut client, "two");
    client.last_line("EHLO other.example");
    client.expect("RSET", "250 2.0.0 Ok");
    deliver(&mut client, "three");
    let messages = server.wait_for_messages(3, PATIENCE).expect("three mails");
    let users: Vec<_> = messages.iter().map(smtpmock::Message::auth_user).collect();
    assert_eq!(users, [None, Some("ann".into()), Some("ann".into())]);
    assert_eq!(messages[0].auth_mechanism(), None);
    assert_eq!(messages[2].auth_mechanism(), Some(Mechanism::Plain));
    assert!(String::from_utf8(messages[1].content()).expect("text").contains(" with ESMTPA id "));
    let shown = format!("{:?}", messages[1]);
    assert!(shown.contains("AUTH PLAIN <redacted>") && shown.contains("as \"ann\""), "{shown}");
    assert!(!shown.contains(&base64("\0ann\0secret")), "{shown}");
}

#[test]
fn a_record_of_a_session_says_who_has_authenticated() {
    let server = start(ann().records(RecordMode::Session));
    let mut client = extended(&server);
    client.expect(&plain("ann", "secret"), ACCEPTED);
    deliver(&mut client, "one");
    client.expect("QUIT", "221 2.0.0 Closing connection");
    after_sessions(&server, 1);
    assert_eq!(server.messages()[0].auth_user().as_deref(), Some("ann"));
}

#[test]
fn rules_decide_the_last_reply_of_an_exchange() {
    let rules = [
        "auth user=ann nth=1 reply=\"454 4.7.0 Temporary authentication failure\"",
        "auth mechanism=LOGIN reply=\"534 5.7.9 Too weak\"",
        "mail user=bob reply=\"550 5.7.1 Not you\"",
        "rcpt mechanism=plain nth=2 per=user reply=\"452 4.5.3 Enough\"",
    ];
    let server = start(ruled(ann().auth(("bob", "hunter2")), &rules));
    let mut client = extended(&server);
    client.expect("AUTH PLAIN", "334 ");
    client.expect(&base64("\0ann\0secret"), "454 4.7.0 Temporary authentication failure");
    client.expect(&plain("ann", "secret"), ACCEPTED);
    client.expect("MAIL FROM:<x@example.com>", "250 2.1.0 Received");
    client.expect("RCPT TO:<x@example.com>", "250 2.1.5 Received");
    client.expect("RCPT TO:<x@example.com>", "452 4.5.3 Enough");
    let mut bob = extended(&server);
    bob.expect("AUTH LOGIN", "334 VXNlcm5hbWU6");
    bob.expect(&base64("bob"), "334 UGFzc3dvcmQ6");
    bob.expect(&base64("hunter2"), "534 5.7.9 Too weak");
    bob.expect(&plain("bob", "hunter2"), ACCEPTED);
    bob.expect("MAIL FROM:<x@example.com>", "550 5.7.1 Not you");
    extended(&server).expect("MAIL FROM:<x@example.com>", "250 2.1.0 Received");
}

/// A reply that refuses does not let the client in, whatever it sent.
#[test]
fn only_a_positive_reply_authenticates() {
    let server = start(ruled(ann(), &["auth reply=\"235 2.7.0 Come in\""]).auth_required(true));
    let mut wrong = extended(&server);
    wrong.expect(&plain("ann", "wrong"), "235 2.7.0 Come in");
    wrong.expect("MAIL FROM:<x@example.com>", "530 5.7.0 Authentication required");
    let server = start(ann().auth_required(true).reply(ReplyKind::AuthSucceeded, "432 Password transition"));
    let mut right = extended(&server);
    right.expect(&plain("ann", "secret"), "432 Password transition");
    right.expect("MAIL FROM:<x@example.com>", "530 5.7.0 Authentication required");
}

#[test]
fn what_is_offered_can_be_taken_away_from_some() {
    let server = start(ruled(ann(), &["helo session=1 ehlo=-AUTH"]));
    assert_eq!(offered(&server), "");
    assert_eq!(offered(&server), "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256");
    let listed = ann().extensions(Offer::only([Extension::Auth])).auth_mechanisms([Mechanism::ScramSha256]);
    assert_eq!(offered(&start(listed)), "SCRAM-SHA-256");
    assert_eq!(offered(&start(ann().without_auth())), "");
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_the_reason() {
    let text = |config: Config| config.validate().expect_err("a contradiction").to_string();
    for (config, reason) in [
        (ann().extensions(Offer::only([Extension::Size])), "for extensions: expected AUTH among"),
        (ann().extensions(Offer::without([Extension::Auth])), "for extensions: expected AUTH among"),
        (Config::default().extensions(Offer::only([Extension::Auth])), "expected no AUTH among"),
        (ruled(Config::default().esmtp(), &["helo ehlo=AUTH"]), "expected no AUTH among"),
        (ann().reply(ReplyKind::EhloReceived, "250-a\n250 SIZE"), "a text for EHLO that offers AUTH"),
        (Config::default().auth_required(true), "for auth_required: expected somebody"),
        (ann().auth(("ann", "other")), "for auth: expected one password"),
        (ann().auth_mechanisms([]), "at least one mechanism"),
        (
            Config::default().auth(Credential::any()).auth_mechanisms([Mechanism::ScramSha1]),
            "invalid value \"SCRAM-SHA-1\" for auth_mechanisms: expected a user whose password is not hashed",
        ),
    ] {
        let error = text(config);
        assert!(error.contains(reason) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn a_reconfiguration_changes_who_may_authenticate() {
    let server = start(ann());
    let mut client = extended(&server);
    client.expect("AUTH PLAIN", "334 ");
    server.reconfigure(|settings| settings.without_auth().auth(("bob", "hunter2"))).expect("valid");
    client.expect(&base64("\0ann\0secret"), REFUSED);
    client.expect(&plain("bob", "hunter2"), ACCEPTED);
    let mut other = extended(&server);
    other.expect("AUTH PLAIN", "334 ");
    server.reconfigure(smtpmock::Settings::without_auth).expect("valid");
    other.expect(&base64("\0bob\0hunter2"), REFUSED);
}

#[test]
fn exchanges_are_measured() {
    let server = start(ann());
    let mut client = extended(&server);
    client.expect("AUTH LOGIN", "334 VXNlcm5hbWU6");
    client.expect(&base64("ann"), "334 UGFzc3dvcmQ6");
    client.expect(&base64("wrong"), REFUSED);
    client.expect("AUTH PLAIN", "334 ");
    client.expect("*", "501 5.0.0 Authentication cancelled");
    client.expect(&plain("ann", "secret"), ACCEPTED);
    client.expect("QUIT", "221 2.0.0 Closing connection");
    let stats = after_sessions(&server, 1);
    let auth = &stats.auth;
    assert_eq!((auth.succeeded, auth.failed, auth.cancelled, auth.plain, auth.login), (1, 1, 1, 1, 0));
    assert_eq!((auth.round_trips.count(), auth.round_trips.max()), (2, 3));
    let stage = &stats.stages[smtpmock::smtp::Stage::Auth];
    assert_eq!(stage.count, 3, "responses are no commands");
    assert_eq!(stage.think.count(), 6);
    assert_eq!(
        stage.refused.iter().map(|(code, count)| (*code, *count)).collect::<Vec<_>>(),
        [(501, 1), (535, 1)]
    );
    assert_eq!(stats.sessions.commands.max(), 5, "responses are no commands");
    assert_eq!(stats.findings(), []);
}
