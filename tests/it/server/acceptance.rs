//! A message is accepted, and a reply is recorded, once all of the reply was sent; a caller that waits sees the message
//! before that.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use smtpmock::smtp::{DelayPoint, RecordMode, ReplyKind, Stage};
use smtpmock::{Config, Message, Milestone, Server, StopOutcome};

use crate::support::client::{Client, End, MESSAGE};
use crate::support::figures::{after_all_sessions, after_sessions, once};
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

/// A delay longer than any test.
const ENDLESS: Duration = Duration::from_secs(3600);
const GOODBYE: &str = "421 Service closing transmission channel";
const MODES: [RecordMode; 2] = [RecordMode::Session, RecordMode::Message];

/// A server whose reply to the final dot has a very long delay, and a client that waits for it.
fn waiting_for_acceptance(config: Config) -> (Server, Client) {
    let server = start(config.delay(DelayPoint::Message, ENDLESS));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send(format!("{MESSAGE}."));
    client.send("\r\n");
    let messages = server.wait_for_messages(1, PATIENCE).expect("it can be seen");
    assert!(messages[0].msg() && messages[0].accepted_at().is_some());
    assert_eq!((messages[0].body(), &*messages[0].msg_response()), (MESSAGE.as_bytes(), "250 Received"));
    let stats = server.stats();
    assert_eq!(
        (stats.messages.accepted, stats.messages.bytes, stats.stages[Stage::Message].count),
        (0, 0, 1)
    );
    (server, client)
}

/// Asserts that the only message was refused, with this reply or with none.
fn assert_refused(server: &Server, response: &str) {
    let messages = server.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let message = &messages[0];
    assert_eq!((message.msg(), &*message.msg_response(), message.is_consistent()), (false, response, false));
    assert_eq!(
        (message.body(), message.accepted_at(), message.record().msg_size),
        (&b""[..], None, MESSAGE.len())
    );
    assert!(message.content().is_empty());
    assert!(message.data() && message.rcptto(), "what was replied before stays");
    let stats = server.stats();
    assert_eq!((stats.messages.accepted, stats.messages.bytes, stats.sessions.messages.max()), (0, 0, 0));
    // Without a reply nothing was decided.
    let is_refused = u64::from(!response.is_empty());
    assert_eq!((stats.messages.refused, stats.messages.aborted), (is_refused, 1 - is_refused));
    assert!(stats.timeline.intervals().all(|(_, interval)| interval.messages == 0));
}

#[test]
fn a_forced_stop_refuses_the_message_whose_reply_was_delayed() {
    for mode in MODES {
        let (server, mut client) = waiting_for_acceptance(Config::default().records(mode));
        assert_eq!(server.stop_within(Duration::ZERO), StopOutcome::Forced);
        assert_eq!(client.end(), (format!("{GOODBYE}\r\n"), End::Fin));
        assert_refused(&server, GOODBYE);
        assert_eq!(server.stats().stages[Stage::Message].refused.get(&421), Some(&1));
    }
}

#[test]
fn a_client_that_resets_did_not_get_its_message_accepted() {
    for mode in MODES {
        let (server, client) = waiting_for_acceptance(Config::default().records(mode));
        client.reset();
        after_all_sessions(&server);
        assert_refused(&server, "");
    }
}

#[test]
fn a_record_that_was_purged_before_its_reply_was_sent_is_not_filed_again() {
    for mode in MODES {
        let (server, client) = waiting_for_acceptance(Config::default().records(mode));
        assert_eq!(server.messages_and_purge().len(), 1);
        client.reset();
        assert_eq!(after_all_sessions(&server).messages.aborted, 1);
        assert!(server.messages().is_empty());
    }
}

/// Of several messages in one turn those are accepted whose replies were sent.
#[test]
fn each_pipelined_message_waits_for_its_own_reply() {
    let rules = ["message nth=2 delay=1h"];
    let server = start(ruled(Config::default(), &rules));
    let mut client = Client::greeted(server.local_addr());
    let transaction = "MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\n";
    client.send(format!("EHLO a.example\r\n{}", transaction.repeat(3)));
    let replies: Vec<String> = (0..8).map(|_| client.reply()).collect();
    assert!(replies[7].starts_with("354 "), "{replies:?}");
    assert_eq!(server.wait_for_messages(2, PATIENCE).expect("two can be seen").len(), 2);
    assert_eq!(server.stats().messages.accepted, 1);
    server.stop_within(Duration::ZERO);
    assert_eq!(client.end().0, format!("{GOODBYE}\r\n"));
    let messages = server.messages();
    let responses: Vec<_> = messages.iter().map(|message| (message.msg(), message.msg_response())).collect();
    assert_eq!(responses, [(true, "250 Received".into()), (false, GOODBYE.into())]);
    let stats = server.stats();
    assert_eq!((stats.messages.accepted, stats.messages.refused, stats.messages.bytes), (1, 1, 3));
}

/// Replies that are being sent when the server stops are sent at once, and count.
#[test]
fn replies_that_drip_when_the_server_stops_are_sent_whole_and_followed_by_421() {
    let long = format!("250 {}", "x".repeat(5000));
    let config = Config::default().drip("500B/s".parse().expect("a rate"));
    let server = start(ruled(config, &[&format!("message reply=\"{long}\"")]));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send(format!("{MESSAGE}.\r\n"));
    client.exactly(4).expect("the front of the last reply");
    assert_eq!(server.stats().messages.accepted, 0, "the rest takes ten seconds");
    assert_eq!(server.stop_within(Duration::ZERO), StopOutcome::Forced);
    assert_eq!(client.end().0, format!("{}\r\n{GOODBYE}\r\n", &long[4..]));
    let messages = server.messages();
    assert_eq!((messages.len(), messages[0].msg(), &*messages[0].msg_response()), (1, true, &*long));
    assert_eq!(server.stats().messages.accepted, 1);
}

/// The peer reads only a part of a reply.
#[test]
fn a_reply_that_is_not_written_whole_accepts_nothing() {
    // More than the socket buffers hold.
    let long = format!("250 {}", "x".repeat(32 << 20));
    let server = start(Config::default().reply(ReplyKind::MessageReceived, long));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send(format!("{MESSAGE}.\r\n"));
    client.exactly(4).expect("the front of the last reply");
    assert!(server.messages()[0].msg(), "until it is known");
    assert_eq!(server.stats().messages.accepted, 0);
    client.reset();
    after_all_sessions(&server);
    assert_refused(&server, "");
}

/// The record of a session that ended in this way.
fn record(rule: &str, input: &str) -> Message {
    let config = Config::default().records(RecordMode::Session).multiple_rcptto(true);
    let server = start(ruled(config, &[rule]));
    let mut client = Client::greeted(server.local_addr());
    client.send(input);
    if rule.contains("delay") {
        once(&server, |stats| stats.rules[0].fired == 1);
        client.reset();
    } else {
        client.end();
    }
    after_all_sessions(&server);
    server.messages().remove(0)
}

/// A command and the reset after it may reach the server as one event. Named after the fault.
#[test]
fn a_reset_that_arrived_with_its_command_was_ignored_while_the_reply_was_delayed() {
    for rule in ["noop delay=1h", "noop silent"] {
        let (enter, entered) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let left = Mutex::new(left);
        // The shard's thread waits in the hook while command and reset arrive.
        let config = Config::default().on_reaching(Milestone::Messages(1), move || {
            enter.send(()).expect("a test");
            left.lock().expect("once").recv_timeout(PATIENCE).expect("a test");
        });
        // No session ends by a timeout before the longest wait of a test.
        let server = start(ruled(config.session_timeout(PATIENCE * 2), &[rule]));
        let mut client = Client::greeted(server.local_addr());
        let mut other = Client::greeted(server.local_addr());
        other.deliver(MESSAGE);
        entered.recv_timeout(PATIENCE).expect("the hook");
        client.send("NOOP\r\n");
        client.reset();
        leave.send(()).expect("the hook");
        after_sessions(&server, 1);
    }
}

#[test]
fn replies_that_were_not_sent_whole_are_not_in_the_record() {
    for rule in ["helo delay=1h", "helo drop=rst", "helo cut=5", "helo cut=0"] {
        let message = record(rule, "EHLO a.example\r\n");
        assert_eq!((&*message.helo_request(), &*message.helo_response()), ("EHLO a.example", ""), "{rule}");
        assert!(!message.helo() && message.helo_name().is_none(), "{rule}");
    }
    let envelope =
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<c@b.example>\r\n";
    for rule in ["rcpt to=c@* delay=1h", "rcpt to=c@* drop=fin", "rcpt to=c@* cut=13"] {
        let message = record(rule, envelope);
        let pairs = message.rcptto_request_response();
        assert_eq!((pairs.len(), &*pairs[0].1, &*pairs[1].1), (2, "250 Received", ""), "{rule}");
        assert!(message.rcptto(), "one was accepted");
        assert_eq!(message.forward_paths(), ["b@b.example"], "{rule}");
    }
    for rule in ["rcpt to=b@* delay=1h", "rcpt to=b@* cut=13"] {
        let message = record(rule, envelope);
        assert!(!message.rcptto() && message.forward_paths().is_empty(), "{rule}");
    }
    for rule in ["message delay=1h", "message drop=fin", "message cut=3"] {
        let message = record(rule, &format!("{envelope}DATA\r\n{MESSAGE}.\r\n"));
        assert_eq!((message.msg(), &*message.msg_response(), message.data()), (false, "", true), "{rule}");
    }
    for (rule, is_data) in [("data delay=1h", false), ("data drop=rst-after", true)] {
        let message = record(rule, &format!("{envelope}DATA\r\n"));
        assert_eq!(message.data(), is_data, "{rule}");
        assert_eq!(message.data_response().is_empty(), !is_data, "{rule}");
    }
    let message = record("rset delay=1h", "EHLO a.example\r\nRSET\r\n");
    assert_eq!((message.rset(), &*message.rset_request(), &*message.rset_response()), (false, "RSET", ""));
}
