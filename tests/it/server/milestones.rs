//! Milestones: a server reports each once, after the last reply, whatever the number of shards.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use smtpmock::smtp::DelayPoint;
use smtpmock::{Config, Milestone, Server};

use crate::support::client::Client;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

/// A server and the receiver of its milestones.
fn server(config: Config, milestones: &[Milestone]) -> (Server, Receiver<Milestone>) {
    let (sender, heard) = mpsc::channel();
    let config = milestones.iter().fold(config, |config, &milestone| {
        let sender = sender.clone();
        config.on_reaching(milestone, move || sender.send(milestone).expect("a listener"))
    });
    (start(config), heard)
}

#[test]
fn a_number_of_messages_is_reported_once_over_all_shards() {
    let (server, heard) =
        server(Config::default().shards(2), &[Milestone::Messages(5), Milestone::Messages(8)]);
    let mut clients: Vec<_> = (0..4).map(|_| Client::with_envelope(server.local_addr())).collect();
    clients.iter_mut().for_each(|client| client.message("one\r\n"));
    assert!(heard.try_recv().is_err(), "four are not five");
    for client in &mut clients {
        client.envelope("ann@example.com", "bob@example.com");
        client.message("two\r\n");
    }
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Milestone::Messages(5)));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Milestone::Messages(8)));
    clients.into_iter().for_each(Client::quit);
    server.stop();
    assert!(heard.try_recv().is_err(), "each is told once");
}

#[test]
fn a_message_counts_once_its_reply_was_sent() {
    let late = Config::default().delay(DelayPoint::Message, Duration::from_secs(3600));
    let (server, heard) = server(late, &[Milestone::Messages(1), Milestone::Sessions(1)]);
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send(b"hi\r\n.\r\n");
    server.wait_for_messages(1, PATIENCE).expect("a message");
    // Figures are sent between two turns: the turn of the message is over.
    assert_eq!(server.stats().messages.accepted, 0);
    assert!(heard.try_recv().is_err(), "its reply is held back");
    server.stop_within(Duration::ZERO);
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [Milestone::Sessions(1)], "it never left");
}

#[test]
fn sessions_are_reported_when_they_have_ended() {
    let (server, heard) = server(Config::default(), &[Milestone::Sessions(2)]);
    let first = Client::greeted(server.local_addr());
    let second = Client::greeted(server.local_addr());
    first.quit();
    assert!(heard.try_recv().is_err(), "one is open");
    second.quit();
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Milestone::Sessions(2)));
    assert_eq!(server.stats().sessions.closed, 2);
}

#[test]
fn a_milestone_of_zero_is_refused() {
    for milestone in [Milestone::Messages(0), Milestone::Sessions(0)] {
        let error = Server::start(Config::default().on_reaching(milestone, || {})).expect_err("refused");
        assert!(error.to_string().contains("at least 1"), "{error}");
    }
}
