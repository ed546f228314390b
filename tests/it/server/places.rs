//! Places in the texts of replies, and the ids of records.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use smtpmock::smtp::rules::{Extension, Offer};
use smtpmock::smtp::{AddressRules, RecordMode, ReplyKind};
use smtpmock::{CaptureFormat, Config, Message, Server};

use crate::support::client::{Client, MESSAGE};
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

fn messages(server: &Server, count: usize) -> Vec<Message> {
    server.wait_for_messages(count, PATIENCE).expect("records")
}

/// Each value is that of the command that is answered, or of the last one that had it.
#[test]
fn places_are_filled_in_configured_texts_and_in_those_of_rules() {
    let all = "{{from}}|{{to}}|{{helo}}|{{ip}}|{{session}}|{{size}}|{{limit}}";
    let config = Config::default().esmtp().extensions(Offer::only([])).ehlo_line("SIZE").max_rcpts(7);
    let config = config.message_size_limit(5000).reply(ReplyKind::Greeting, format!("220 {all}"));
    let config = config.reply(ReplyKind::MailReceived, format!("250 {all}"));
    let config = config.not_registered_emails(["gone@example.com"]);
    let config = config.reply(ReplyKind::RcptNotRegistered, "550 5.1.1 <{{to}}>: no such user");
    let rules = ["helo times=1", "rcpt to=b*", "message", "rset", "unknown"];
    let rules = rules.map(|stage| format!("{stage} reply=\"250 {all}\""));
    let server = start(ruled(config, &rules.each_ref().map(String::as_str)));
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.reply(), "220 |||127.0.0.1|1||5000");
    client.expect("HELO a.example", "250 ||a.example|127.0.0.1|1||5000");
    client.last_line("EHLO client.example");
    let last = "ann@x.example||client.example|127.0.0.1|1|";
    client.expect("MAIL FROM:<ann@x.example> SIZE=12", &format!("250 {last}12|5000"));
    client.expect("RCPT TO:<bob@x.example>", "250 ann@x.example|bob@x.example|client.example|127.0.0.1|1||7");
    client.expect("RCPT TO:<Gone@example.com>", "250 Received");
    client.expect("RCPT TO:<gone@EXAMPLE.com>", "550 5.1.1 <gone@EXAMPLE.com>: no such user");
    client.data();
    let last = "ann@x.example|gone@EXAMPLE.com|client.example|127.0.0.1|1|";
    client.expect("Hello\r\n.", &format!("250 {last}7|5000"));
    client.expect("RSET", &format!("250 {last}|5000"));
    client.expect("MAIL FROM:<>", "250 ||client.example|127.0.0.1|1||5000");
    client.expect("what", "250 ||client.example|127.0.0.1|1||5000");
}

#[test]
fn nothing_else_in_braces_is_a_place() {
    let text = "250 {{TO}} {{ to }} {to} {{{to}}} {{to}{{to}}}} {{user}} {{} {{";
    let config = Config::default().reply(ReplyKind::RcptReceived, text);
    let config =
        config.reply(ReplyKind::NoopReceived, "raw:250 {{to}}").reply(ReplyKind::RsetReceived, "{{to}}");
    let server = start(config);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("ann@example.com");
    client.expect("RCPT TO:<b@c>", "250 {{TO}} {{ to }} {to} {b@c} {{to}b@c}} {{user}} {{} {{");
    client.expect("NOOP", "250 {{to}}");
    client.expect("RSET", "{{to}}");
}

/// What a client sends can neither end a line of a reply nor fill it.
#[test]
fn values_are_cleaned_and_bounded() {
    let config =
        Config::default().addresses(AddressRules::Any).reply(ReplyKind::RcptReceived, "250 <{{to}}>");
    let server = start(config.reply(ReplyKind::HeloReceived, "250 {{helo}}"));
    let mut client = Client::greeted(server.local_addr());
    client.send(b"HELO a\x07\x1b[2Jb\xff\xc2\x9b\xc3\xbc\r\n");
    assert_eq!(client.reply(), "250 a??[2Jb??ü");
    client.mail("ann@example.com");
    let long = "ü".repeat(1000);
    client.expect(&format!("RCPT TO:<x{long}@example.com>"), &format!("250 <x{}>", &long[..318]));
}

#[test]
fn a_reply_to_ehlo_with_places_offers_what_its_lines_say() {
    let text = "250-hello {{helo}} [{{ip}}]\n250-SIZE {{limit}}\n250 X-SESSION {{session}}";
    let server = start(Config::default().reply(ReplyKind::EhloReceived, text).message_size_limit(99));
    let mut client = Client::greeted(server.local_addr());
    client.expect("EHLO c.example", "250-hello c.example [127.0.0.1]");
    assert_eq!([client.reply(), client.reply()], ["250-SIZE 99", "250 X-SESSION 1"]);
    client.expect("MAIL FROM:<ann@example.com> SIZE=5", "250 Received");
    let text = "helo reply=\"250-hello {{helo}}\n250 SIZE\"";
    let server = start(ruled(Config::default(), &[text]));
    Client::greeted(server.local_addr()).expect("HELO c.example", "250 hello c.example");
}

#[test]
fn the_size_limit_of_a_reply_is_that_of_now() {
    let server = start(Config::default().esmtp().message_size_limit(5));
    let mut client = Client::extended(server.local_addr());
    for limit in [5, 6] {
        server.reconfigure(|settings| settings.message_size_limit(limit)).expect("a valid limit");
        let refusal = format!("552 5.3.4 Message exceeded max size of {limit} bytes");
        client.expect("MAIL FROM:<ann@example.com> SIZE=10", &refusal);
    }
}

/// A reply that is no answer is filled too.
#[test]
fn the_goodbye_of_the_server_has_places() {
    let config = Config::default().session_timeout(Duration::from_secs(1));
    let server = start(config.reply(ReplyKind::ServiceClosing, "421 {{helo}} [{{ip}}]: session {{id}}"));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    let goodbye = client.reply();
    assert!(goodbye.starts_with("421 client.example [127.0.0.1]: session "), "{goodbye}");
    assert!(goodbye.ends_with("-1"), "{goodbye}");
}

/// Only the octets of the reply as it is sent count.
#[test]
fn a_cut_of_a_reply_with_places_is_one_of_what_is_sent() {
    let rule = "message cut=30 reply=\"250 {{from}} {{to}}\"";
    for (to, is_accepted) in [("b@c", true), ("somebody@example.com", false)] {
        let server = start(ruled(Config::default(), &[rule]));
        let mut client = Client::greeted(server.local_addr());
        client.ehlo();
        client.envelope("ann@example.com", to);
        client.data();
        client.send("x\r\n.\r\n");
        let sent = client.rest();
        let whole = format!("250 ann@example.com {to}\r\n");
        assert_eq!(sent, whole[..whole.len().min(30)]);
        let message = messages(&server, 1).remove(0);
        assert_eq!((message.msg(), message.msg_response().is_empty()), (is_accepted, !is_accepted));
    }
}

/// go-smtp-mock recognizes accepted recipients by the text that is configured, whatever its places are filled with.
#[test]
fn a_rule_with_the_text_of_an_accepted_rcpt_accepts_it() {
    let text = "250 2.1.5 <{{to}}> is welcome";
    let config = Config::default().records(RecordMode::Session).multiple_rcptto(true);
    let config = config.reply(ReplyKind::RcptReceived, text).not_registered_emails(["b@example.com"]);
    let config = config.reply(ReplyKind::RcptNotRegistered, text);
    let server = start(config);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("ann@example.com");
    client.expect("RCPT TO:<b@example.com>", "250 2.1.5 <b@example.com> is welcome");
    client.message(MESSAGE);
    client.quit();
    assert!(messages(&server, 1)[0].is_consistent());
}

/// In LMTP each reply is for one recipient, and all are about one record.
#[test]
fn each_recipient_is_named_in_its_own_reply_in_lmtp() {
    let config = Config::default().listen("lmtp://127.0.0.1");
    let server =
        start(ruled(config, &["message to=bob@* reply=\"452 4.2.2 <{{to}}>: full, {{size}} of {{id}}\""]));
    let mut client = Client::greeted(server.local_addr());
    client.last_line("LHLO client.example");
    client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
    for to in ["bob@example.com", "carol@example.com", "Bob@example.com"] {
        client.expect(&format!("RCPT TO:<{to}>"), "250 2.1.5 Received");
    }
    client.data();
    client.send("x\r\n.\r\n");
    let replies = [client.reply(), client.reply(), client.reply()];
    let message = &messages(&server, 1)[0];
    let id = message.id();
    let full = |to| format!("452 4.2.2 <{to}>: full, 3 of {id}");
    let queued = format!("250 2.0.0 Ok: queued as {id}");
    assert_eq!(replies, [full("bob@example.com"), queued, full("Bob@example.com")]);
    assert_eq!(
        message.recipient_responses().into_iter().map(|(_, response)| response).collect::<Vec<_>>(),
        replies
    );
}

/// The sender's log has the reply, the records the id.
#[test]
fn the_acceptance_of_extended_smtp_names_the_id_of_the_record() {
    let server = start(Config::default().esmtp().not_registered_emails(["gone@example.com"]));
    let mut client = Client::extended(server.local_addr());
    let mut replies = Vec::new();
    for to in ["bob@example.com", "gone@example.com", "carol@example.com"] {
        client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
        if client.command(&format!("RCPT TO:<{to}>")).starts_with("250 ") {
            client.data();
            replies.push(client.command("x\r\n."));
        }
    }
    let mut plain = Client::greeted(server.local_addr());
    plain.expect("HELO client.example", "250 Received");
    assert_eq!(plain.transaction("ann@example.com", "bob@example.com", MESSAGE), "250 Received");
    let messages = messages(&server, 4);
    let ids: Vec<String> = messages.iter().map(|message| message.id().to_string()).collect();
    assert_eq!(replies, [&ids[0], &ids[2]].map(|id| format!("250 2.0.0 Ok: queued as {id}")));
    assert_eq!([0, 2].map(|at| messages[at].msg_response().into_owned())[..], replies, "as they were sent");
    assert_eq!(
        ids.iter().map(|id| id.split_once('-').expect("a tag").1).collect::<Vec<_>>(),
        ["1-1", "1-2", "1-3", "2-1"]
    );
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4);
}

/// Without enhanced status codes too; a configured text is sent unchanged.
#[test]
fn a_session_without_enhanced_status_codes_gets_the_id_too() {
    let offer = Offer::without([Extension::EnhancedStatusCodes]);
    let server = start(Config::default().esmtp().extensions(offer));
    let mut client = Client::extended(server.local_addr());
    let reply = client.transaction("ann@example.com", "bob@example.com", MESSAGE);
    assert_eq!(reply, format!("250 Ok: queued as {}", messages(&server, 1)[0].id()));
    let server =
        start(Config::default().esmtp().extensions(offer).reply(ReplyKind::MessageReceived, "250 Fine"));
    let mut client = Client::extended(server.local_addr());
    assert_eq!(client.transaction("ann@example.com", "bob@example.com", MESSAGE), "250 Fine");
    // A text for EHLO that is configured without Extended SMTP leaves the rest as go-smtp-mock has it.
    let server = start(Config::default().reply(ReplyKind::EhloReceived, "250-mx.example\n250 DSN"));
    let mut client = Client::extended(server.local_addr());
    assert_eq!(client.transaction("ann@example.com", "bob@example.com", MESSAGE), "250 Received");
}

/// A sender may have talked to several servers, one after the other or at once, with the same seed.
#[test]
fn no_two_servers_give_the_same_id() {
    let ids = (0..20).map(|_| {
        let server = start(Config::default().seed(1));
        Client::greeted(server.local_addr()).deliver(MESSAGE);
        messages(&server, 1)[0].id()
    });
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), 20);
}

/// One record for a session has the id of its last mail, and that of the session without one.
#[test]
fn records_of_sessions_have_an_id_too() {
    let server = start(Config::default().records(RecordMode::Session));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    assert_eq!(client.transaction("ann@example.com", "bob@example.com", MESSAGE), "250 Received");
    let id = |server| messages(server, 1)[0].id();
    assert_eq!((id(&server).session, id(&server).transaction), (1, 1));
    client.deliver(MESSAGE);
    client.quit();
    assert_eq!(id(&server).transaction, 2);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.quit();
    let last = messages(&server, 2)[1].id();
    assert_eq!((last.session, last.transaction), (2, 0));
    assert_eq!(last.to_string(), format!("{}-2", last.server));
}

#[test]
fn captures_have_the_id() {
    let folder = tempfile::tempdir().expect("a folder");
    for format in [CaptureFormat::JsonLines, CaptureFormat::Mbox] {
        let capture = folder.path().join("capture");
        let config = Config::default().esmtp().capture(&capture).capture_format(format);
        let server = start(config.not_registered_emails(["gone@example.com"]));
        let mut client = Client::extended(server.local_addr());
        client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
        client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
        client.data();
        let reply = client.command("x\r\n.");
        let id = reply.strip_prefix("250 2.0.0 Ok: queued as ").expect("an id");
        client.expect("MAIL FROM:<ann@example.com>", "250 2.1.0 Received");
        client.expect("RCPT TO:<gone@example.com>", "550 5.1.1 User not found");
        client.expect("QUIT", "221 2.0.0 Closing connection");
        drop(client);
        messages(&server, 2);
        server.stop();
        let text = fs::read_to_string(&capture).expect("a capture");
        if format == CaptureFormat::Mbox {
            assert!(text.contains(&format!("\tby smtpmock ([127.0.0.1]) with ESMTP id {id}\n")), "{text}");
            continue;
        }
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let refused = id.strip_suffix("1").expect("a number").to_owned() + "2";
        assert_eq!(lines.iter().map(|line| &line["id"]).collect::<Vec<_>>(), [id, &refused]);
        assert_eq!(lines[0]["msg_response"], reply);
    }
}
