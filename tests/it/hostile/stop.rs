//! Stops in every situation.

use std::thread;
use std::time::Duration;

use smtpmock::StopOutcome;
use smtpmock::smtp::DelayPoint;

use super::bystander::config;
use crate::support::client::Client;
use crate::support::server::{start, until_refused};
use crate::support::waiting::{PATIENCE, now};

/// A delay longer than any test.
const ENDLESS: Duration = Duration::from_secs(3600);
const GOODBYE: &str = "421 Service closing transmission channel\r\n";

#[test]
fn a_stop_in_each_phase_of_a_session() {
    let phases: [(&str, &str); 8] = [
        ("idle: greeted", ""),
        ("a half line", "EHL"),
        ("idle: after HELO", "EHLO a.example\r\n"),
        ("after MAIL", "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\n"),
        ("after RCPT", "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"),
        ("in data", "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n"),
        ("delayed", "NOOP\r\n"),
        ("delayed, more waiting", "EHLO a.example\r\nNOOP\r\nNOOP\r\nMAIL FROM:<a@a.example>\r\n"),
    ];
    for (phase, input) in phases {
        let server = start(config().delay(DelayPoint::Noop, ENDLESS));
        let mut client = Client::greeted(server.local_addr());
        client.send(input);
        // Commands without a delay have been answered before the stop.
        let answered = input.split("NOOP").next().unwrap_or_default();
        let lines = answered.lines().filter(|line| line.ends_with(|c: char| c != 'L') && *line != "x");
        lines.for_each(|_| drop(client.reply()));
        let began = now();
        let is_idle = phase.starts_with("idle");
        let outcome = if is_idle { StopOutcome::Graceful } else { StopOutcome::Forced };
        assert_eq!(server.stop_within(Duration::from_millis(20)), outcome, "{phase}");
        assert!(began.elapsed() < PATIENCE, "{phase}");
        assert_eq!(client.end().0, GOODBYE, "{phase}");
        until_refused(server.local_addr());
        assert!(server.messages().iter().all(|message| !message.msg()), "{phase}");
    }
}

#[test]
fn a_stop_under_load_retains_all_accepted_messages() {
    const CLIENTS: usize = 8;
    let server = start(config().shards(2));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| Client::connect(server.local_addr()))
        .map(|client| thread::spawn(move || deliver_until_gone(client)))
        .collect();
    assert!(server.wait_for_messages(200, PATIENCE).is_ok());
    server.stop_within(Duration::ZERO);
    let accepted: usize = clients.into_iter().map(|client| client.join().expect("a client")).sum();
    let kept = server.messages().iter().filter(|message| message.msg()).count();
    assert!(kept >= accepted, "{accepted} messages were accepted, {kept} are there");
    assert_eq!(server.stats().sessions.closed, server.stats().sessions.opened);
}

/// Counts the accepting replies that it could read.
fn deliver_until_gone(mut client: Client) -> usize {
    let transaction =
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\n";
    let replies = "250 Received\r\n".len() * 4
        + "354 Ready for receive message. End data with <CR><LF>.<CR><LF>\r\n".len();
    let mut accepted = 0;
    let mut heard = client.exactly("220 Welcome\r\n".len());
    while heard.is_ok() && client.try_send(transaction).is_ok() {
        heard = client.exactly(replies);
        accepted += usize::from(heard.is_ok());
    }
    accepted
}

/// The server must greet connections that the kernel had completed before the stop. Named after the fault.
#[test]
fn a_stop_reset_connections_that_waited_to_be_accepted() {
    for _ in 0..20 {
        let server = start(config());
        let mut clients: Vec<Client> = (0..300).map(|_| Client::connect(server.local_addr())).collect();
        server.stop_within(Duration::ZERO);
        for client in &mut clients {
            assert_eq!(client.rest(), format!("220 Welcome\r\n{GOODBYE}"));
        }
    }
}
