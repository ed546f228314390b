//! Parameters of MAIL and RCPT under Extended SMTP: what they are answered with, and where they are seen.

use serde_json::{Value, json};
use smtpmock::Config;
use smtpmock::smtp::rules::{Extension, Offer};
use smtpmock::smtp::{AddressRules, Body, Notify, ReplyKind, Ret};
use tempfile::NamedTempFile;

use crate::support::client::Client;
use crate::support::server::{ruled, start};

/// Extended SMTP with the plain default texts.
fn plain() -> Config {
    Config::default().extensions(Offer::without([Extension::EnhancedStatusCodes, Extension::BinaryMime]))
}

fn text(kind: ReplyKind) -> &'static str {
    kind.default_text()
}

#[test]
fn what_is_not_offered_malformed_repeated_or_too_large_has_a_reply_of_its_own() {
    let server = start(plain().message_size_limit(1000).ehlo_line("AUTH PLAIN"));
    let mut client = Client::extended(server.local_addr());
    let (unknown, malformed) = (text(ReplyKind::ParameterNotOffered), text(ReplyKind::InvalidParameter));
    let too_big = "552 Message exceeded max size of 1000 bytes";
    for (parameters, reply) in [
        ("SIZE=1000", "250 Received"),
        ("SIZE=1001", too_big),
        ("SIZE=99999999999999999999", too_big),
        ("SIZE=1 SIZE=1", malformed),
        ("SIZE=", malformed),
        ("SIZE", malformed),
        ("size=1k", malformed),
        ("BODY=8BITMIME BODY=7BIT", malformed),
        ("BODY=BINARYMIME", malformed),
        ("ENVID=a+2Bb RET=HDRS AUTH=<>", "250 Received"),
        ("ENVID=a+2b", malformed),
        ("AUTH=a=b", malformed),
        ("FOO", unknown),
        ("BY=120;R", unknown),
        ("NOTIFY=NEVER", unknown),
        ("FOO SIZE=x", unknown),
        ("SIZE=x FOO", malformed),
        ("SIZE=1001 FOO", unknown),
        ("=1", malformed),
    ] {
        client.expect(&format!("MAIL FROM:<ann@example.com> {parameters}"), reply);
    }
    client.expect("MAIL FROM:<ann@> SIZE=1", text(ReplyKind::InvalidMailArgument));
    client.expect("MAIL FROM:<ann@example.com> SIZE=9", "250 Received");
    for (parameters, reply) in [
        ("NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+2B@example.com", "250 Received"),
        ("NOTIFY=NEVER", "250 Received"),
        ("NOTIFY=NEVER,SUCCESS", malformed),
        ("NOTIFY=", malformed),
        ("ORCPT=bob@example.com", malformed),
        ("SIZE=1", unknown),
    ] {
        client.expect(&format!("RCPT TO:<bob@example.com> {parameters}"), reply);
    }
    // HELO is offered nothing.
    client.expect("HELO client.example", "250 Received");
    client.expect("MAIL FROM:<ann@example.com> SIZE=1", unknown);
}

#[test]
fn the_replies_can_be_configured() {
    let config = plain().reply(ReplyKind::ParameterNotOffered, "555 5.5.4 what?");
    let config = config.reply(ReplyKind::InvalidParameter, "501 how?").addresses(AddressRules::Rfc5321);
    let server = start(config.reply(ReplyKind::Utf8NotAllowed, "553 who?"));
    let mut client = Client::extended(server.local_addr());
    client.expect("MAIL FROM:<ann@example.com> FOO", "555 5.5.4 what?");
    client.expect("MAIL FROM:<ann@example.com> SIZE=x", "501 how?");
    client.expect("MAIL FROM:<jürgen@example.com>", "553 who?");
}

/// RFC 6531 section 3.5; only strict rules refuse what go-smtp-mock accepts.
#[test]
fn paths_in_utf_8_need_smtputf8_under_strict_rules() {
    let utf8 = text(ReplyKind::Utf8NotAllowed);
    let strict = plain().addresses(AddressRules::Rfc5321);
    let server = start(strict.clone());
    let mut client = Client::extended(server.local_addr());
    client.expect("MAIL FROM:<jürgen@example.com> BODY=8BITMIME", utf8);
    client.expect("MAIL FROM:<ann@example.com>", "250 Received");
    client.expect("RCPT TO:<用户@example.com>", utf8);
    client.expect("MAIL FROM:<ann@example.com> SMTPUTF8", "250 Received");
    client.expect("RCPT TO:<用户@example.com> NOTIFY=NEVER ORCPT=utf-8;用户@example.com", "250 Received");
    client.expect("RCPT TO:<bob@example.com>", "250 Received");
    client.message("x\r\n");
    client.expect("MAIL FROM:<ann@example.com>", "250 Received");
    client.expect("RCPT TO:<用户@example.com>", utf8);
    client.expect("RCPT TO:<用户@example.com> FOO", text(ReplyKind::ParameterNotOffered));
    client.send(b"MAIL FROM:<\xff@example.com> SMTPUTF8\r\n");
    assert_eq!(client.reply(), text(ReplyKind::InvalidMailArgument));
    let server =
        start(strict.extensions(Offer::without([Extension::SmtpUtf8, Extension::EnhancedStatusCodes])));
    let mut client = Client::extended(server.local_addr());
    client.expect("MAIL FROM:<jürgen@example.com>", utf8);
    client.expect("MAIL FROM:<jürgen@example.com> SMTPUTF8", utf8);
    let server = start(plain());
    let mut client = Client::extended(server.local_addr());
    client.expect("MAIL FROM:<jürgen@example.com>", "250 Received");
}

#[test]
fn a_message_and_its_capture_have_the_parameters_as_keyword_and_value() {
    let file = NamedTempFile::new().expect("a file");
    let server = start(plain().capture(file.path()));
    let mut client = Client::extended(server.local_addr());
    client.expect(
        "MAIL FROM:<ann@example.com> size=3 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb",
        "250 Received",
    );
    client.expect("RCPT TO:<bob@example.com> NOTIFY=DELAY ORCPT=rfc822;b+40c", "250 Received");
    client.expect("RCPT TO:<carol@example.com> NOTIFY=x", text(ReplyKind::InvalidParameter));
    client.expect("RCPT TO:<dave@example.com>", "250 Received");
    client.message("x\r\n");
    client.envelope("ann@example.com", "bob@example.com");
    client.message("x\r\n");
    let messages = server.messages();
    let mail = messages[0].mail_parameters();
    assert_eq!((mail.size(), mail.body(), mail.ret()), (Some(3), Some(Body::EightBitMime), Some(Ret::Full)));
    assert_eq!((mail.envid().as_deref(), mail.has_smtputf8()), (Some(&b"a+b"[..]), true));
    let [bob, dave] = messages[0].rcpt_parameters()[..] else { panic!("{messages:?}") };
    assert_eq!(bob.notify(), Some(Notify { delay: true, ..Notify::default() }));
    let original = bob.original_recipient().expect("ORCPT");
    assert_eq!((original.address_type, &*original.address()), ("rfc822", &b"b@c"[..]));
    assert_eq!(dave.iter().count(), 0);
    assert_eq!(messages[0].reverse_path().unwrap(), "ann@example.com");
    assert_eq!(messages[1].mail_parameters().iter().count(), 0);
    server.stop();
    let captured = std::fs::read_to_string(file.path()).expect("a capture");
    let lines: Vec<Value> = captured.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines[0]["mailfrom_parameters"],
        json!([["size", "3"], ["BODY", "8BITMIME"], ["SMTPUTF8", null], ["RET", "FULL"], ["ENVID", "a+2Bb"]])
    );
    assert_eq!(
        lines[0]["rcptto_parameters"],
        json!([[["NOTIFY", "DELAY"], ["ORCPT", "rfc822;b+40c"]], [["NOTIFY", "x"]], []])
    );
    assert!(!lines[1].as_object().expect("a record").keys().any(|name| name.ends_with("_parameters")));
}

#[test]
fn rules_ask_for_parameters() {
    let rules = [
        "rcpt param.notify=*never* reply=\"550 never\"",
        "mail param.smtputf8=* param.body=8bitmime reply=\"550 both\"",
        "mail param.FOO=b* reply=\"250 foo\"",
        "mail param.size=?? delay=1ms reply=\"250 two digits\"",
    ];
    let server = start(ruled(plain(), &rules));
    let mut client = Client::extended(server.local_addr());
    client.expect("MAIL FROM:<ann@example.com> SMTPUTF8", "250 Received");
    client.expect("MAIL FROM:<ann@example.com> BODY=8bitmime SMTPUTF8", "550 both");
    client.expect("MAIL FROM:<ann@example.com> FOO=bar", "250 foo");
    client.expect("MAIL FROM:<ann@example.com> SIZE=100", "250 Received");
    client.expect("MAIL FROM:<ann@example.com> SIZE=10", "250 two digits");
    client.expect("RCPT TO:<bob@example.com> NOTIFY=NEVER", "550 never");
    client.expect("RCPT TO:<never@example.com> NOTIFY=DELAY", "250 Received");
}

/// Without Extended SMTP all is as it was where a configured text offers anything.
#[test]
fn a_configured_text_alone_judges_no_more_than_before() {
    let offer = "250-mx\n250-SIZE 10\n250 DSN";
    let server = start(Config::default().reply(ReplyKind::EhloReceived, offer));
    let mut client = Client::extended(server.local_addr());
    client.expect("MAIL FROM:<ann@example.com> SIZE=1000 SIZE=1 ENVID=+", "250 Received");
    client.expect("RCPT TO:<bob@example.com> NOTIFY=whenever", "250 Received");
    client.expect("MAIL FROM:<ann@example.com> FOO", text(ReplyKind::InvalidMailArgument));
}
