//! Each action over real sockets, alone and in the middle of a pipeline.

use std::time::Duration;

use smtpmock::Config;

use crate::support::client::{Client, End};
use crate::support::figures::after_sessions;
use crate::support::server::{ruled, start, with_rules};
use crate::support::waiting::now;

/// How long a test waits to see that nothing arrives.
const A_WHILE: Duration = Duration::from_millis(150);

/// The replies to this pipeline, and how the connection ends.
fn pipelined(rule: &str, lines: &str) -> (String, End) {
    let server = with_rules(&[rule]);
    let mut client = Client::greeted(server.local_addr());
    client.send(lines);
    client.end()
}

#[test]
fn drops_come_before_or_after_the_reply_and_keep_the_replies_before() {
    let lines = "HELO client.example\r\nNOOP\r\nRSET\r\n";
    let before = "250 Received\r\n".to_owned();
    let after = "250 Received\r\n250 Ok\r\n".to_owned();
    assert_eq!(pipelined("noop drop=fin", lines), (before.clone(), End::Fin));
    assert_eq!(pipelined("noop drop=rst", lines), (before.clone(), End::Reset));
    assert_eq!(pipelined("noop drop=fin-after", lines), (after.clone(), End::Fin));
    assert_eq!(pipelined("noop drop=rst-after", lines), (after.clone(), End::Reset));
    assert_eq!(pipelined("noop close", lines), (after, End::Fin));
    let told = "250 Received\r\n421 bye\r\n".to_owned();
    assert_eq!(pipelined(r#"noop reply="421 bye" drop=rst"#, lines), (told.clone(), End::Reset));
    assert_eq!(pipelined(r#"noop reply="421 bye" close"#, lines), (told, End::Fin));
    assert_eq!(pipelined("noop cut=4", lines), ("250 Received\r\n250 ".to_owned(), End::Fin));
    assert_eq!(pipelined("noop cut=0", lines), (before, End::Fin));
}

#[test]
fn a_connection_is_dropped_before_its_greeting() {
    for (rule, end) in [("connect drop=fin", End::Fin), ("connect drop=rst", End::Reset)] {
        let server = with_rules(&[rule]);
        assert_eq!(Client::connect(server.local_addr()).end(), (String::new(), end), "{rule}");
    }
}

#[test]
fn silence_holds_the_connection() {
    let server = with_rules(&["noop silent"]);
    let mut client = Client::greeted(server.local_addr());
    client.send("HELO client.example\r\nNOOP\r\nRSET\r\n");
    assert_eq!(client.reply(), "250 Received");
    assert_eq!(client.silence(A_WHILE), Ok(()));
}

#[test]
fn silence_outlasts_the_session_timeout() {
    let config = Config::default().session_timeout(Duration::from_millis(100));
    let server = start(ruled(config, &["noop silent"]));
    let mut client = Client::greeted(server.local_addr());
    client.send("NOOP\r\n");
    assert_eq!(client.silence(Duration::from_millis(400)), Ok(()));
    drop(client);
    after_sessions(&server, 1);
}

#[test]
fn a_stall_after_the_354_holds_the_connection() {
    let server = with_rules(&["data stall"]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.envelope("a@example.com", "b@example.com");
    client.data();
    client.send("hello\r\n.\r\n");
    assert_eq!(client.silence(A_WHILE), Ok(()));
    assert_eq!(server.stats().messages.accepted, 0);
}

#[test]
fn accept_skips_later_rules_and_lists() {
    let config = Config::default().not_registered_emails(["vip@example.com", "gone@example.com"]);
    let rules = ["rcpt to=vip@* accept", r#"rcpt to=*@slow.example reply="451 x""#];
    let server = start(ruled(config, &rules));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("a@example.com");
    client.rcpt("vip@example.com");
    client.rcpt("vip@slow.example");
    assert_eq!(client.command("RCPT TO:<gone@example.com>"), "550 User not found");
    assert_eq!(client.command("RCPT TO:<a@slow.example>"), "451 x");
}

#[test]
fn a_delay_alone_leaves_the_answer_to_the_lists() {
    let config = Config::default().not_registered_emails(["gone@example.com"]);
    let server = start(ruled(config, &["rcpt delay=50ms"]));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("a@example.com");
    let (reply, took) = client.timed("RCPT TO:<gone@example.com>");
    assert_eq!(reply, "550 User not found");
    assert!(took >= Duration::from_millis(50), "{took:?}");
    let stats = server.stats();
    let list = stats.rules.iter().find(|rule| rule.rule == "notRegisteredEmails").expect("the list");
    assert_eq!((list.reached, list.fired), (1, 1));
}

#[test]
fn a_command_that_a_rule_refuses_has_no_effect() {
    let server = with_rules(&[r#"mail reply="451 later""#]);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    assert_eq!(client.command("MAIL FROM:<a@example.com>"), "451 later");
    assert!(client.command("RCPT TO:<b@example.com>").starts_with("503"));
}

#[test]
fn fail_fast_closes_after_a_refusal_by_a_rule() {
    let server = start(ruled(Config::default().fail_fast(true), &[r#"mail reply="451 later""#]));
    let mut client = Client::greeted(server.local_addr());
    client.send("HELO client.example\r\nMAIL FROM:<a@example.com>\r\nNOOP\r\n");
    assert_eq!(client.end(), ("250 Received\r\n451 later\r\n".to_owned(), End::Fin));
    let stats = server.stats();
    assert_eq!(stats.rules.iter().find(|rule| rule.rule == "failFast").expect("failFast").fired, 1);
}

#[test]
fn a_message_that_is_not_acknowledged_is_not_accepted() {
    let whole = "250 Received\r\n".len();
    let (short, long) = (format!("message cut={}", whole - 1), format!("message cut={whole}"));
    for (rule, accepted) in [
        ("message drop=rst", 0),
        ("message cut=3", 0),
        (&*short, 0),
        (&*long, 1),
        ("message drop=rst-after", 1),
    ] {
        let server = with_rules(&[rule]);
        let mut client = Client::greeted(server.local_addr());
        client.ehlo();
        client.mail("a@example.com");
        client.command("RCPT TO:<b@example.com>");
        client.data();
        client.send("hello\r\n.\r\n");
        client.end();
        assert_eq!(server.stats().messages.accepted, accepted, "{rule}");
    }
}

#[test]
fn the_greeting_can_be_late() {
    let server =
        start(Config::default().delay(smtpmock::smtp::DelayPoint::Greeting, Duration::from_millis(100)));
    let start = now();
    let mut client = Client::connect(server.local_addr());
    client.send("HELO client.example\r\n");
    assert_eq!(client.reply(), "220 Welcome");
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(client.reply(), "250 Received");
}

#[test]
fn replies_drip() {
    let rate = "100B/s".parse().expect("a rate");
    let server =
        start(ruled(Config::default().drip(rate), &[r#"noop reply="250 0123456789012345678901234567""#]));
    let mut client = Client::greeted(server.local_addr());
    let (reply, took) = client.timed("NOOP");
    assert_eq!(reply.len(), 32);
    // 34 octets at 100 per second.
    assert!(took >= Duration::from_millis(340), "{took:?}");
    client.send("NOOP\r\nQUIT\r\n");
    let (heard, end) = client.end();
    assert!(heard.ends_with("221 Closing connection\r\n"), "{heard}");
    assert_eq!(end, End::Fin);
}

#[test]
fn reads_are_throttled() {
    let rate = "200KB/s".parse().expect("a rate");
    let server = start(Config::default().read_rate(rate));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.envelope("a@example.com", "b@example.com");
    client.data();
    let text = "x".repeat(998) + "\r\n";
    let (reply, took) = client.timed(&(text.repeat(100) + "."));
    assert_eq!(reply, "250 Received");
    // 100 KB at 200 KB per second, without the first piece, which is read at once.
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert_eq!(server.stats().messages.bytes, 100_000);
}
