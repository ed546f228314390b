//! Limits: sessions, messages, recipients, rates.

use std::thread;
use std::time::Duration;

use smtpmock::smtp::Stage;
use smtpmock::{Config, OverLimit};

use crate::support::client::{Client, End};
use crate::support::figures::{after_sessions, once};
use crate::support::server::{ruled, start};

#[test]
fn one_session_too_many_is_refused_until_one_has_ended() {
    for config in [Config::default().max_sessions(2), Config::default().max_sessions_per_ip(2)] {
        let server = start(config);
        let first = Client::greeted(server.local_addr());
        let _second = Client::greeted(server.local_addr());
        let third = Client::connect(server.local_addr()).end();
        assert_eq!(third, ("421 4.7.0 Too many sessions\r\n".to_owned(), End::Fin));
        drop(first);
        after_sessions(&server, 2);
        Client::greeted(server.local_addr());
        assert!(server.stats().rules[0].fired == 1, "{:?}", server.stats().rules);
    }
}

#[test]
fn one_session_too_many_waits_in_the_backlog() {
    let server = start(Config::default().max_sessions(1).over_limit(OverLimit::Backlog));
    let first = Client::greeted(server.local_addr());
    let mut second = Client::connect(server.local_addr());
    assert_eq!(second.silence(Duration::from_millis(150)), Ok(()));
    drop(first);
    assert_eq!(second.reply(), "220 Welcome");
    assert_eq!(server.stats().sessions.opened, 2);
}

#[test]
fn a_client_that_leaves_the_backlog_before_there_is_a_place_does_not_count_as_silent() {
    let server = start(Config::default().max_sessions(1).over_limit(OverLimit::Backlog));
    let first = Client::greeted(server.local_addr());
    drop(Client::connect(server.local_addr()));
    first.quit();
    let sessions = after_sessions(&server, 2).sessions;
    assert_eq!((sessions.quit, sessions.left_before_greeting, sessions.silent), (1, 1, 0), "{sessions:?}");
}

#[test]
fn a_client_that_sends_and_leaves_the_backlog_before_there_is_a_place_gave_up() {
    let server = start(Config::default().max_sessions(1).over_limit(OverLimit::Backlog));
    let first = Client::greeted(server.local_addr());
    let mut second = Client::connect(server.local_addr());
    second.send("EHLO client.example\r\n");
    second.leave();
    first.quit();
    let stats = after_sessions(&server, 2);
    let sessions = &stats.sessions;
    assert_eq!((sessions.quit, sessions.gave_up, sessions.left), (1, 1, 0), "{sessions:?}");
    assert_eq!(stats.stages[Stage::Greeting].gave_up.count(), 1);
}

/// Even if several shards look for a free place at the same time.
#[test]
fn all_shards_together_leave_connections_beyond_the_limit_in_the_backlog() {
    const CLIENTS: u64 = 16;
    const SESSIONS: u64 = 40;
    const LIMIT: u64 = 3;
    let config = Config::default().shards(4).max_sessions(LIMIT).over_limit(OverLimit::Backlog);
    let server = start(config);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| (0..SESSIONS).for_each(|_| Client::greeted(server.local_addr()).quit()));
        }
    });
    let sessions = after_sessions(&server, CLIENTS * SESSIONS).sessions;
    assert_eq!((sessions.quit, sessions.refused), (CLIENTS * SESSIONS, 0));
    assert!(sessions.peak.get() <= LIMIT, "{} at a time", sessions.peak.get());
}

#[test]
fn a_refused_session_takes_no_place() {
    // Its 421 is delayed, so that it stays open.
    let rules = ["connect session=2 delay=1h"];
    let server = start(ruled(Config::default().max_sessions(1), &rules));
    let first = Client::greeted(server.local_addr());
    let _refused = Client::connect(server.local_addr());
    once(&server, |stats| stats.stages[Stage::Greeting].refused.get(&421) == Some(&1));
    first.quit();
    after_sessions(&server, 1);
    let _third = Client::greeted(server.local_addr());
    let sessions = server.stats().sessions;
    assert_eq!((sessions.opened, sessions.closed, sessions.peak.get()), (3, 1, 1));
}

#[test]
fn messages_of_a_session_are_limited() {
    let server = start(Config::default().max_messages_per_session(2));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.transaction("a@example.com", "b@example.com", "one\r\n");
    client.transaction("a@example.com", "b@example.com", "two\r\n");
    client.send("MAIL FROM:<a@example.com>\r\n");
    assert_eq!(client.end(), ("421 4.7.0 Too many messages in this session\r\n".to_owned(), End::Fin));
}

#[test]
fn recipients_of_a_mail_are_limited() {
    let server = start(Config::default().max_rcpts(2));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.mail("a@example.com");
    let replies: Vec<_> = (0..3).map(|n| client.command(&format!("RCPT TO:<b{n}@example.com>"))).collect();
    assert_eq!(replies, ["250 Received", "250 Received", "452 4.5.3 Too many recipients"]);
}

#[test]
fn rates_are_limited_at_mail_and_by_domain() {
    let server = start(Config::default().rate_limit("2/h per=domain".parse().expect("a limit")));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    let mut ask = |from: &str| client.command(&format!("MAIL FROM:<{from}>"))[..3].to_owned();
    let senders = ["x@a.example", "y@A.example", "z@a.example", "x@b.example"];
    assert_eq!(senders.map(&mut ask), ["250", "250", "451", "250"]);
}

#[test]
fn rates_are_limited_at_connect() {
    for per in ["total", "ip"] {
        let limit = format!("2/h per={per} at=connect").parse().expect("a limit");
        let server = start(Config::default().rate_limit(limit));
        let greetings: Vec<_> =
            (0..3).map(|_| Client::connect(server.local_addr()).reply()[..3].to_owned()).collect();
        assert_eq!(greetings, ["220", "220", "421"], "{per}");
    }
}

#[test]
fn limits_hold_over_all_shards() {
    let server =
        start(ruled(Config::default().shards(4).max_sessions(8), &[r#"noop times=5 reply="451 x""#]));
    let mut clients: Vec<_> = (0..8).map(|_| Client::greeted(server.local_addr())).collect();
    let fired =
        clients.iter_mut().map(|client| client.command("NOOP")).filter(|reply| reply == "451 x").count();
    assert_eq!(fired, 5, "there is one count for the server, not one for each shard");
    assert!(Client::connect(server.local_addr()).reply().starts_with("421"));
}
