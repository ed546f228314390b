//! XCLIENT: a trusted peer names the client that it speaks for.

use smtpmock::smtp::{ReplyKind, Stage};
use smtpmock::{Config, Endpoint};

use crate::support::client::{Client, MESSAGE};
use crate::support::figures::{after_sessions, once};
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

const OFFER: &str = "250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

/// Extended SMTP, where this machine is trusted.
fn trusting() -> Config {
    Config::default().esmtp().trust(std::net::IpAddr::from([127, 0, 0, 1]))
}

/// Sends EHLO. Returns the last line of the reply.
fn ehlo(client: &mut Client) -> String {
    client.last_line("EHLO client.example")
}

/// Sends a mail behind EHLO.
fn send(client: &mut Client) {
    client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
    client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
    client.data();
    let reply = client.command(&format!("{MESSAGE}."));
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
}

fn inet(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().expect("an address").into()
}

#[test]
fn the_client_is_the_one_that_a_trusted_peer_names() {
    let server = start(trusting());
    let mut client = Client::greeted(server.local_addr());
    let offer = ehlo(&mut client);
    assert_eq!(offer, OFFER);
    send(&mut client);
    client.expect(
        "XCLIENT NAME=mx.example ADDR=192.0.2.7 PORT=4711 HELO=there.example LOGIN=ann PROTO=ESMTP DESTADDR=198.51.100.1 DESTPORT=25",
        "220 Welcome",
    );
    // The session has begun anew.
    assert!(client.command("RSET").starts_with("503 "));
    assert_eq!(ehlo(&mut client), OFFER);
    send(&mut client);
    // What is not named again stays.
    client.expect("xclient ADDR=IPV6:2001:db8::7 LOGIN=[UNAVAILABLE]", "220 Welcome");
    ehlo(&mut client);
    send(&mut client);
    let own = Endpoint::from(client.local_addr());
    let messages = server.wait_for_messages(3, PATIENCE).expect("three");
    let [before, named, renamed] = &messages[..] else { panic!("three, not {messages:?}") };
    assert_eq!((before.peer_addr(), before.proxy_addr()), (&own, None));
    assert!(before.client().is_none());
    assert_eq!((named.peer_addr(), named.proxy_addr()), (&inet("192.0.2.7:4711"), Some(&own)));
    assert_eq!(named.local_addr(), &inet("198.51.100.1:25"));
    let attributes = named.client().expect("a named client");
    assert_eq!(
        (attributes.name(), attributes.helo()),
        (Some(&b"mx.example"[..]), Some(&b"there.example"[..]))
    );
    assert_eq!((attributes.login(), attributes.protocol()), (Some(&b"ann"[..]), Some(&b"ESMTP"[..])));
    assert_eq!((renamed.peer_addr(), renamed.proxy_addr()), (&inet("[2001:db8::7]:4711"), Some(&own)));
    let attributes = renamed.client().expect("a named client");
    assert_eq!((attributes.name(), attributes.login()), (Some(&b"mx.example"[..]), None));
    assert_eq!(messages.iter().map(smtpmock::Message::session_id).collect::<Vec<_>>(), [1, 1, 1]);
    client.expect("QUIT", "221 2.0.0 Closing connection");
    let stats = after_sessions(&server, 1);
    assert_eq!((stats.proxy.xclients, stats.stages[Stage::Xclient].count), (2, 2));
    assert_eq!(stats.messages.accepted, 3);
    assert_eq!(stats.findings(), []);
}

#[test]
fn what_is_no_valid_xclient_changes_nothing() {
    let server = start(trusting());
    let mut client = Client::extended(server.local_addr());
    for wrong in ["XCLIENT", "XCLIENT ADDR", "XCLIENT ADDR=mx.example", "XCLIENT ADDR=192.0.2.7 FROM=a"] {
        client.expect(wrong, "501 5.5.4 Bad XCLIENT attribute");
    }
    client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
    assert!(client.command("XCLIENT ADDR=192.0.2.7").starts_with("503 5.5.1 "));
    client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
    client.data();
    let reply = client.command(&format!("{MESSAGE}."));
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    let record = server.wait_for_messages(1, PATIENCE).expect("a message").remove(0);
    assert_eq!(record.peer_addr(), &Endpoint::from(client.local_addr()));
    assert_eq!(server.stats().proxy.xclients, 0);
}

#[test]
fn only_trusted_peers_may_use_it_and_only_under_extended_smtp() {
    let server = start(Config::default().esmtp().trust(std::net::IpAddr::from([192, 0, 2, 1])));
    let mut client = Client::greeted(server.local_addr());
    let offer = ehlo(&mut client);
    assert!(!offer.contains("XCLIENT"), "{offer}");
    client.expect("XCLIENT ADDR=192.0.2.7", "550 5.7.0 Insufficient authorization");
    let untrusting = start(Config::default().esmtp());
    let mut client = Client::greeted(untrusting.local_addr());
    let offer = ehlo(&mut client);
    assert!(!offer.contains("XCLIENT"), "{offer}");
    assert!(client.command("XCLIENT ADDR=192.0.2.7").starts_with("502 "));
    let plain = start(Config::default().trust(std::net::IpAddr::from([127, 0, 0, 1])));
    let mut client = Client::greeted(plain.local_addr());
    client.ehlo();
    assert!(client.command("XCLIENT ADDR=192.0.2.7").starts_with("502 "));
}

#[test]
fn a_client_behind_a_proxy_is_trusted_by_its_own_address() {
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let config = Config::default().esmtp().listen("smtp://127.0.0.1?proxy=require").trust(loopback);
    let server = start(config);
    for (from, expected) in
        [("192.0.2.7", "550 5.7.0 Insufficient authorization"), ("127.0.0.1", "220 Welcome")]
    {
        let mut client = Client::connect(server.local_addr());
        client.send(format!("PROXY TCP4 {from} 198.51.100.1 1 25\r\n"));
        assert_eq!(client.reply(), "220 Welcome");
        ehlo(&mut client);
        client.expect("XCLIENT ADDR=192.0.2.8", expected);
    }
}

#[test]
fn rules_and_limits_are_asked_with_the_address_that_it_names() {
    let rules = [
        r#"connect ip=192.0.2.0/24 reply="554 5.7.1 Not from there""#,
        r#"xclient ip=198.51.100.0/24 times=1 reply="450 4.7.0 Later""#,
        r#"mail ip=203.0.113.0/24 reply="550 5.7.1 Not from you""#,
        "any every=1000 delay=1ms",
    ];
    let config = ruled(trusting().max_sessions_per_ip(1), &rules);
    let server = start(config);
    let mut client = Client::extended(server.local_addr());
    client.expect("XCLIENT ADDR=192.0.2.7", "554 5.7.1 Not from there");
    client.expect("XCLIENT ADDR=198.51.100.7", "450 4.7.0 Later");
    // A refused one has changed nothing.
    client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
    client.expect("RSET", "250 2.0.0 Ok");
    client.expect("XCLIENT ADDR=198.51.100.7", "220 Welcome");
    // The place of the address before is free.
    let mut second = Client::extended(server.local_addr());
    second.expect("XCLIENT ADDR=203.0.113.1", "220 Welcome");
    ehlo(&mut second);
    second.expect("MAIL FROM:<ann@example.com>", "550 5.7.1 Not from you");
    second.expect("XCLIENT NAME=mx.example", "220 Welcome");
    let mut third = Client::extended(server.local_addr());
    third.expect("XCLIENT ADDR=203.0.113.1", "421 4.7.0 Too many sessions");
    assert_eq!(third.rest(), "");
    drop(second);
    once(&server, |stats| stats.sessions.closed == 2);
    let mut fourth = Client::extended(server.local_addr());
    fourth.expect("XCLIENT ADDR=203.0.113.1", "220 Welcome");
    // One reply has been asked for once.
    let stats = server.stats();
    assert_eq!(stats.rules[0].fired, 1);
    assert_eq!(stats.rules[1].reached, 2);
}

#[test]
fn a_configured_greeting_or_ehlo_is_sent_unchanged() {
    let config = trusting().reply(ReplyKind::Greeting, "220 mx.example ESMTP");
    let config = config.reply(ReplyKind::EhloReceived, "250-mx.example\n250 XCLIENT ADDR");
    let server = start(config);
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.reply(), "220 mx.example ESMTP");
    assert_eq!(ehlo(&mut client), "250 XCLIENT ADDR");
    client.expect("XCLIENT ADDR=192.0.2.7", "220 mx.example ESMTP");
}

#[test]
fn what_a_rule_offers_to_ehlo_comes_with_xclient_too() {
    let server = start(ruled(trusting(), &["helo ehlo=SIZE"]));
    let mut client = Client::greeted(server.local_addr());
    client.expect("EHLO a.example", "250-smtpmock greets you");
    assert!(client.reply().starts_with("250-SIZE "));
    assert_eq!(client.reply(), OFFER);
    client.expect("HELO a.example", "250 Received");
}

#[test]
fn in_lmtp_a_proxy_names_the_client_too() {
    let config = Config::default().listen("lmtp://127.0.0.1?proxy=require");
    let server = start(
        config.trust(std::net::IpAddr::from([127, 0, 0, 1])).trust(smtpmock::smtp::rules::Trusted::Unix),
    );
    let mut client = Client::connect(server.local_addr());
    client.send("PROXY TCP4 127.0.0.1 198.51.100.1 4711 24\r\n");
    assert_eq!(client.reply(), "220 Welcome");
    assert_eq!(client.last_line("LHLO client.example"), OFFER);
    client.expect("XCLIENT ADDR=192.0.2.7 PORT=25", "220 Welcome");
    assert_eq!(client.last_line("LHLO client.example"), OFFER);
    send(&mut client);
    let record = server.wait_for_messages(1, PATIENCE).expect("a message").remove(0);
    assert_eq!((record.peer_addr(), record.local_addr()), (&inet("192.0.2.7:25"), &inet("198.51.100.1:24")));
    assert_eq!(record.proxy_addr(), Some(&Endpoint::from(client.local_addr())));
}

#[test]
fn records_of_sessions_are_those_of_their_clients() {
    let server = start(trusting().records(smtpmock::smtp::RecordMode::Session));
    let mut client = Client::extended(server.local_addr());
    send(&mut client);
    client.expect("XCLIENT ADDR=192.0.2.7 PORT=1", "220 Welcome");
    client.expect("HELO other.example", "250 Received");
    client.expect("QUIT", "221 Closing connection");
    let stats = after_sessions(&server, 1);
    assert_eq!(stats.proxy.xclients, 1);
    let records = server.messages();
    let [first, second] = &records[..] else { panic!("two, not {records:?}") };
    assert!(first.is_consistent() && !first.quit_sent());
    assert_eq!(first.peer_addr(), &Endpoint::from(client.local_addr()));
    assert_eq!(
        (second.peer_addr(), second.helo_request().as_ref()),
        (&inet("192.0.2.7:1"), "HELO other.example")
    );
    assert!(second.quit_sent() && !second.mailfrom());
}

/// Postfix takes it for an authentication too.
#[test]
fn a_login_that_is_named_counts_as_an_authentication() {
    let rules = [r#"rcpt user=ann reply="550 5.7.1 Not for Ann""#];
    let server = start(ruled(trusting().auth(("bob", "secret")).auth_required(true), &rules));
    let mut client = Client::extended(server.local_addr());
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("530 "));
    client.expect("XCLIENT LOGIN=ann", "220 Welcome");
    ehlo(&mut client);
    client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
    client.expect("RCPT TO:<bob@example.com>", "550 5.7.1 Not for Ann");
    client.expect("RSET", "250 2.0.0 Ok");
    // It stays until another is named.
    client.expect("XCLIENT ADDR=192.0.2.7", "220 Welcome");
    ehlo(&mut client);
    assert!(client.command("AUTH PLAIN AGJvYgBzZWNyZXQ=").starts_with("503 "));
    client.expect("XCLIENT LOGIN=carol", "220 Welcome");
    ehlo(&mut client);
    send(&mut client);
    let record = server.messages().pop().expect("a message");
    assert!(record.msg());
    assert_eq!((record.auth_user().as_deref(), record.auth_mechanism()), (Some("carol"), None));
    // One that has authenticated is forgotten.
    client.expect("XCLIENT LOGIN=[UNAVAILABLE]", "220 Welcome");
    ehlo(&mut client);
    assert!(client.command("AUTH PLAIN AGJvYgBzZWNyZXQ=").starts_with("235 "));
    client.expect("XCLIENT NAME=mx.example", "220 Welcome");
    ehlo(&mut client);
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("530 "));
}
