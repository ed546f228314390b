//! LMTP (RFC 2033) over real sockets: a reply for each recipient, and what rules, records and figures make of them.

use std::time::Duration;

use smtpmock::smtp::{Protocol, RecordMode, ReplyKind, Stage};
use smtpmock::{Config, Message, Server};

use crate::support::client::{Client, End};
use crate::support::figures::once;
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

const LINES: [&str; 9] = [
    "250-smtpmock greets you",
    "250-PIPELINING",
    "250-SIZE 10485760",
    "250-8BITMIME",
    "250-SMTPUTF8",
    "250-DSN",
    "250-ENHANCEDSTATUSCODES",
    "250-CHUNKING",
    "250 BINARYMIME",
];
const OK: &str = "250 2.0.0 Received";

fn lmtp() -> Config {
    Config::default().listen("lmtp://127.0.0.1").reply(ReplyKind::MessageReceived, OK)
}

/// A session that was greeted and has sent LHLO.
fn session(server: &Server) -> Client {
    let mut client = Client::greeted(server.local_addr());
    client.last_line("LHLO client.example");
    client
}

/// The envelope with these recipients, and the message.
fn mail(recipients: &[&str]) -> String {
    let recipients: String = recipients.iter().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
    format!("MAIL FROM:<ann@example.com>\r\n{recipients}DATA\r\nSubject: hi\r\n\r\nHello\r\n.\r\n")
}

/// Sends it at once, and returns what the message is answered.
fn deliver(client: &mut Client, recipients: &[&str], replies: usize) -> Vec<String> {
    client.send(mail(recipients));
    (0..recipients.len() + 2).for_each(|_| drop(client.reply()));
    (0..replies).map(|_| client.reply()).collect()
}

fn only(server: &Server) -> Message {
    let mut messages = server.wait_for_messages(1, PATIENCE).expect("a message");
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

fn responses(message: &Message) -> Vec<(String, String)> {
    let pairs = message.recipient_responses().into_iter();
    pairs.map(|(recipient, response)| (recipient.into_owned(), response.into_owned())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(recipient, response)| ((*recipient).to_owned(), (*response).to_owned())).collect()
}

#[test]
fn lhlo_is_offered_extensions_without_esmtp_and_smtp_is_not() {
    let server = start(lmtp().listen("smtp://127.0.0.1"));
    let protocols: Vec<Protocol> = server.listeners().iter().map(|listening| listening.protocol).collect();
    assert_eq!(protocols, [Protocol::Lmtp, Protocol::Smtp]);
    let mut client = Client::greeted(server.local_addrs()[0]);
    for line in ["HELO client.example", "EHLO client.example", "helo"] {
        client.expect(line, ReplyKind::HeloInLmtp.default_text());
    }
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("503 "), "LHLO comes first");
    client.send("LHLO client.example\r\n");
    assert_eq!(LINES.map(|_| client.reply()), LINES);
    client.expect("VRFY ann", &format!("252 2.5.0 {}", &ReplyKind::VrfyReceived.default_text()[4..]));
    client.expect("MAIL FROM:<ann@example.com> SIZE=5 RET=NONE", "501 5.5.4 Syntax error in parameters");
    client.expect("MAIL FROM:<ann@example.com> SIZE=5 ENVID=a", "250 2.1.0 Received");
    assert!(client.command("DATA").starts_with("503 5.5.1 "), "no recipient was accepted");
    client.expect("RCPT TO:<bob@example.com> NOTIFY=NEVER", "250 2.1.5 Received");
    client.expect("QUIT", "221 2.0.0 Closing connection");
    let mut plain = Client::greeted(server.local_addrs()[1]);
    plain.expect("LHLO client.example", ReplyKind::InvalidCommand.default_text());
    plain.expect("EHLO client.example", "250 Received");
}

#[test]
fn each_accepted_recipient_gets_a_reply_of_its_own_and_the_record_has_them() {
    let rules = [
        "rcpt to=gone@* reply=\"550 5.1.1 No such user\"",
        "message to=full@* reply=\"452 4.2.2 Mailbox full\"",
    ];
    let server = start(ruled(lmtp(), &rules));
    let mut client = session(&server);
    let recipients = ["full@example.com", "gone@example.com", "bob@example.com", "bob@example.com"];
    let replies = deliver(&mut client, &recipients, 3);
    assert_eq!(replies, ["452 4.2.2 Mailbox full", OK, OK]);
    client.expect("NOOP", "250 2.0.0 Ok");
    let message = only(&server);
    assert_eq!(message.protocol(), Protocol::Lmtp);
    assert!(message.is_consistent());
    assert_eq!(message.msg_response(), OK, "the first that accepts it");
    assert_eq!(message.delivered_to(), ["bob@example.com"; 2]);
    assert_eq!(message.forward_paths(), ["full@example.com", "bob@example.com", "bob@example.com"]);
    let expected =
        [("full@example.com", "452 4.2.2 Mailbox full"), ("bob@example.com", OK), ("bob@example.com", OK)];
    assert_eq!(responses(&message), pairs(&expected));
    assert_eq!(message.body(), b"Subject: hi\r\n\r\nHello\r\n");
    let content = String::from_utf8(message.content()).expect("UTF-8");
    assert!(content.contains(&format!(" with LMTP id {};", message.id())), "two recipients: {content}");
    let stats = once(&server, |stats| stats.messages.accepted == 1);
    let stage = &stats.stages[Stage::Message];
    assert_eq!((stage.count, stage.service.count(), stage.think.count()), (3, 3, 0), "sent at once");
    assert_eq!((stage.refused.get(&452), stats.messages.refused, stats.messages.aborted), (Some(&1), 0, 0));
    assert_eq!(stats.messages.recipients.max(), 3);
}

#[test]
fn a_message_that_no_recipient_gets_is_not_accepted() {
    let server = start(ruled(lmtp(), &["message reply=\"451 4.3.0 Later\""]));
    let mut client = session(&server);
    assert_eq!(deliver(&mut client, &["a@x.example", "b@x.example"], 2), ["451 4.3.0 Later"; 2]);
    let message = only(&server);
    assert!(!message.msg() && message.body().is_empty() && message.delivered_to().is_empty());
    assert_eq!(
        responses(&message),
        pairs(&[("a@x.example", "451 4.3.0 Later"), ("b@x.example", "451 4.3.0 Later")])
    );
    let stats = once(&server, |stats| stats.messages.refused == 1);
    assert_eq!(stats.stages[Stage::Message].refused.get(&451), Some(&2));
    assert_eq!(stats.stages[Stage::Message].transactions_refused.get(&451), Some(&1));
}

#[test]
fn a_message_that_is_too_big_is_refused_for_each_recipient() {
    let server = start(lmtp().message_size_limit(5));
    let mut client = session(&server);
    let replies = deliver(&mut client, &["a@x.example", "b@x.example"], 2);
    assert_eq!(replies, ["552 5.3.4 Message exceeded max size of 5 bytes"; 2]);
    client.expect("NOOP", "250 2.0.0 Ok");
}

#[test]
fn a_last_chunk_is_answered_for_each_recipient() {
    let server = start(ruled(lmtp(), &["message to=full@* reply=\"452 4.2.2 Full\""]));
    let mut client = session(&server);
    let envelope = "MAIL FROM:<a@x.example>\r\nRCPT TO:<full@x.example>\r\nRCPT TO:<b@x.example>\r\n";
    for (chunks, answers) in [("BDAT 2\r\nhiBDAT 2 LAST\r\n\r\n", 1), ("BDAT 4 LAST\r\nhi\r\n", 0)] {
        client.send(format!("{envelope}{chunks}NOOP\r\n"));
        (0..3 + answers).for_each(|_| drop(client.reply()));
        let replies: Vec<String> = (0..3).map(|_| client.reply()).collect();
        assert_eq!(replies, ["452 4.2.2 Full", OK, "250 2.0.0 Ok"], "{chunks:?}");
        let message = server.wait_for_messages_and_purge(1, PATIENCE).expect("a message").remove(0);
        assert_eq!(message.body(), b"hi\r\n");
        assert_eq!(responses(&message), pairs(&[("full@x.example", "452 4.2.2 Full"), ("b@x.example", OK)]));
        assert!(!message.data_response().is_empty(), "{message:?}");
    }
}

#[test]
fn rules_count_and_delay_for_each_recipient_in_turn() {
    let delay = Duration::from_millis(30);
    let rules =
        ["message to=late@* delay=30ms", "message times=1 per=recipient reply=\"451 4.7.1 Greylisted\""];
    let server = start(ruled(lmtp(), &rules));
    let mut client = session(&server);
    let start = crate::support::waiting::now();
    // What is pipelined behind the message waits for its last reply.
    client.send(format!(
        "{}NOOP\r\n",
        mail(&["a@x.example", "late@x.example", "late@y.example", "a@x.example"])
    ));
    (0..6).for_each(|_| drop(client.reply()));
    let replies: Vec<String> = (0..5).map(|_| client.reply()).collect();
    assert!(start.elapsed() >= 2 * delay);
    assert_eq!(replies, ["451 4.7.1 Greylisted", OK, OK, OK, "250 2.0.0 Ok"]);
    assert_eq!(only(&server).delivered_to(), ["late@x.example", "late@y.example", "a@x.example"]);
    let stats = once(&server, |stats| stats.stages[Stage::Noop].count == 1);
    assert_eq!(stats.delays.told.count(), 2);
}

#[test]
fn a_session_that_ends_among_the_replies_leaves_what_was_sent() {
    for (rules, sent, end) in [
        (&["message to=b@* close"][..], &[OK, OK][..], End::Fin),
        (&["message to=b@* drop=rst"], &[OK], End::Reset),
        (&["message to=b@* reply=\"452 4.2.2 Full\" close"], &[OK, "452 4.2.2 Full"], End::Fin),
        (&["message to=b@* cut=7"], &[OK], End::Fin),
    ] {
        let server = start(ruled(lmtp(), rules));
        let mut client = session(&server);
        assert_eq!(deliver(&mut client, &["a@x.example", "b@x.example", "c@x.example"], sent.len()), sent);
        assert_eq!(client.end().1, end, "{rules:?}");
        let message = only(&server);
        assert!(message.msg(), "{rules:?}");
        let expected: Vec<_> =
            ["a@x.example", "b@x.example"].into_iter().zip(sent.iter().copied().chain([""])).collect();
        assert_eq!(responses(&message), pairs(&expected), "{rules:?}");
        assert_eq!(once(&server, |stats| stats.messages.accepted == 1).messages.aborted, 0, "{rules:?}");
    }
}

#[test]
fn a_client_that_leaves_among_the_replies_has_what_it_was_sent() {
    let server = start(ruled(lmtp(), &["message to=b@* delay=1h"]));
    let mut client = session(&server);
    assert_eq!(deliver(&mut client, &["a@x.example", "b@x.example"], 1), [OK]);
    client.reset();
    let stats = once(&server, |stats| stats.sessions.gave_up == 1);
    let message = only(&server);
    assert_eq!(responses(&message), pairs(&[("a@x.example", OK), ("b@x.example", "")]));
    assert_eq!(message.delivered_to(), ["a@x.example"]);
    assert_eq!((stats.messages.accepted, stats.messages.refused, stats.messages.aborted), (1, 0, 0));
    assert_eq!(stats.stages[Stage::Message].gave_up.count(), 1);
}

#[test]
fn fail_fast_ends_the_session_with_the_first_recipient_that_is_refused() {
    let server = start(ruled(lmtp().fail_fast(true), &["message to=b@* reply=\"452 4.2.2 Full\""]));
    let mut client = session(&server);
    let recipients = ["a@x.example", "b@x.example", "c@x.example"];
    assert_eq!(deliver(&mut client, &recipients, 2), [OK, "452 4.2.2 Full"]);
    assert_eq!(client.rest(), "");
    assert_eq!(only(&server).delivered_to(), ["a@x.example"]);
}

#[test]
fn a_record_of_a_session_has_all_recipients_too() {
    let config = lmtp().records(RecordMode::Session);
    let server = start(ruled(config, &["message to=full@* reply=\"452 4.2.2 Full\""]));
    let mut client = session(&server);
    let recipients = ["full@x.example", "b@x.example"];
    assert_eq!(deliver(&mut client, &recipients, 2), ["452 4.2.2 Full", OK]);
    let message = only(&server);
    assert!(message.is_consistent());
    assert_eq!(responses(&message), pairs(&[("full@x.example", "452 4.2.2 Full"), ("b@x.example", OK)]));
    client.expect(
        "RCPT TO:<c@x.example>",
        "503 5.5.1 Bad sequence of commands. RCPT TO should be used after MAIL FROM",
    );
    assert_eq!(deliver(&mut client, &["full@x.example"], 1), ["452 4.2.2 Full"]);
    client.expect("QUIT", "221 2.0.0 Closing connection");
    assert_eq!(client.rest(), "");
    let message = only(&server);
    assert!(!message.msg());
    assert_eq!(responses(&message), pairs(&[("full@x.example", "452 4.2.2 Full")]));
}

#[test]
fn parameters_are_conditions_at_the_message() {
    let rules = [
        "message param.envid=drop* reply=\"554 5.7.0 By envelope\"",
        "message param.notify=*never* reply=\"550 5.7.0 No silence\"",
    ];
    let server = start(ruled(lmtp().listen("smtp://127.0.0.1").esmtp(), &rules));
    let transaction = |parameter: &str| {
        format!(
            "MAIL FROM:<ann@example.com>{parameter}\r\nRCPT TO:<a@x.example> NOTIFY=NEVER\r\nRCPT TO:<b@x.example>\r\n\
             DATA\r\nhi\r\n.\r\n"
        )
    };
    let replies = |client: &mut Client, parameter: &str, count: usize| -> Vec<String> {
        client.send(transaction(parameter));
        (0..4).for_each(|_| drop(client.reply()));
        (0..count).map(|_| client.reply()).collect()
    };
    let mut client = session(&server);
    assert_eq!(replies(&mut client, "", 2), ["550 5.7.0 No silence", OK], "the recipient's own");
    assert_eq!(replies(&mut client, " ENVID=drop1", 2), ["554 5.7.0 By envelope"; 2]);
    let mut client = Client::extended(server.local_addrs()[1]);
    assert_eq!(replies(&mut client, "", 1), ["550 5.7.0 No silence"], "of one of them");
    assert_eq!(replies(&mut client, " ENVID=drop1", 1), ["554 5.7.0 By envelope"]);
}

/// More replies than a turn has room for, by octets and by number.
#[test]
fn ten_thousand_recipients_are_answered_in_order() {
    let server = start(ruled(lmtp(), &["message to=r77?@x.example reply=\"452 4.2.2 Full\""]));
    let mut client = session(&server);
    let recipients: Vec<String> = (0..10_000).map(|number| format!("r{number}@x.example")).collect();
    let mut writer = client.writer();
    let mail = mail(&recipients.iter().map(String::as_str).collect::<Vec<_>>());
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut writer, mail.as_bytes()));
    (0..10_002).for_each(|_| drop(client.reply()));
    for number in 0..10_000 {
        let expected = if (770..780).contains(&number) { "452 4.2.2 Full" } else { OK };
        assert_eq!(client.reply(), expected, "{number}");
    }
    sender.join().expect("no panic").expect("all was taken");
    client.expect("NOOP", "250 2.0.0 Ok");
    let message = only(&server);
    assert_eq!(message.recipient_responses().len(), 10_000);
    assert_eq!(message.delivered_to().len(), 9990);
}

/// The default text of SMTP names HELO and EHLO, which LMTP does not have.
#[test]
fn a_client_that_has_not_sent_lhlo_learns_of_it() {
    const KNOWN: &str = "LHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT, VRFY, EXPN, HELP";
    let server = start(lmtp());
    let mut client = Client::greeted(server.local_addr());
    client.expect("FOO", &format!("502 Command unrecognized. Available commands: {KNOWN}"));
    client.last_line("LHLO client.example");
    let known = KNOWN.replace("DATA,", "DATA, BDAT,");
    client.expect("FOO", &format!("502 5.5.1 Command unrecognized. Available commands: {known}"));
    client.expect("RSET x", &format!("502 5.5.4 Command unrecognized. Available commands: {known}"));
    let own = start(lmtp().reply(ReplyKind::InvalidCommand, "500 no"));
    Client::greeted(own.local_addr()).expect("FOO", "500 no");
}

/// A client that could pipeline and never does is found in LMTP too.
#[test]
fn the_reply_to_lhlo_offers_pipelining() {
    let server = start(lmtp());
    let mut client = Client::greeted(server.local_addr());
    assert!(!server.stats().pipelining.offered, "nothing is configured that offers it");
    client.last_line("LHLO client.example");
    once(&server, |stats| stats.pipelining.offered);
}
