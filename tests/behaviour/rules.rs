//! Each condition and each action over real sockets.

use std::time::Duration;

use smtpmock::{Config, Server};

use crate::client::{Client, End};

/// A server with these rules.
pub(crate) fn server(rules: &[&str]) -> Server {
    start(rules, Config::default())
}

pub(crate) fn start(rules: &[&str], config: Config) -> Server {
    let rules = rules.iter().map(|rule| rule.parse().unwrap_or_else(|error| panic!("{error}")));
    Server::start(rules.fold(config, Config::rule)).expect("a server")
}

#[test]
fn a_reply_goes_to_the_recipients_it_is_meant_for() {
    let server = server(&[r#"rcpt to=*@busy.example reply="451 4.7.1 try later""#]);
    let mut client = Client::greeted(server.local_addr());
    client.begin("a@example.com");
    assert_eq!(client.ask("RCPT TO:<b@Busy.Example>"), "451 4.7.1 try later");
    assert_eq!(client.ask("RCPT TO:<b@idle.example>"), "250 Received");
    let stats = server.stats();
    assert_eq!((stats.rules[0].reached, stats.rules[0].fired), (1, 1), "{stats:?}");
}

#[test]
fn a_connection_is_reset_in_place_of_a_reply() {
    let server = server(&["data drop=rst"]);
    let mut client = Client::greeted(server.local_addr());
    client.begin("a@example.com");
    assert_eq!(client.ask("RCPT TO:<b@example.com>"), "250 Received");
    client.say("DATA\r\n");
    assert_eq!(client.end(), (String::new(), End::Reset));
}

#[test]
fn a_reply_is_held_back_as_long_as_told() {
    let server = server(&["noop delay=150ms"]);
    let mut client = Client::greeted(server.local_addr());
    let (reply, took) = client.timed("NOOP");
    assert_eq!(reply, "250 Ok");
    assert!(took >= Duration::from_millis(150), "{took:?}");
    assert_eq!(server.stats().delays.early, 0);
    assert_eq!(server.stats().delays.told.count(), 1);
}
