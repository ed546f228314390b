//! Delays with many clients are never early; their lateness is printed.

use std::thread;
use std::time::{Duration, Instant};

use smtpmock::smtp::DelayPoint;

use super::bystander::config;
use crate::support::client::Client;
use crate::support::server::start;
use crate::support::waiting::now;

const SESSIONS: usize = 2000;
const DELAY: Duration = Duration::from_millis(400);
/// Time between the commands of two sessions.
const SPREAD: Duration = Duration::from_micros(200);

#[test]
fn no_delayed_reply_to_many_clients_is_early() {
    let server = start(config().delay(DelayPoint::Noop, DELAY));
    let mut clients: Vec<Client> = (0..SESSIONS).map(|_| Client::greeted(server.local_addr())).collect();
    let writers: Vec<_> = clients.iter().map(Client::writer).collect();
    let sending = thread::spawn(move || writers.into_iter().map(send_noop).collect::<Vec<Instant>>());
    let mut arrivals = Vec::new();
    for client in &mut clients {
        assert_eq!(client.reply(), "250 Ok");
        arrivals.push(now());
    }
    let sent = sending.join().expect("all sent");
    let mut lateness = Vec::new();
    for (sent, arrived) in sent.into_iter().zip(arrivals) {
        let waited = arrived - sent;
        assert!(waited >= DELAY, "{:?} early", DELAY - waited);
        lateness.push(waited - DELAY);
    }
    lateness.sort_unstable();
    let at = |share: usize| lateness[(SESSIONS - 1) * share / 1000];
    println!(
        "{SESSIONS} sessions delayed by {DELAY:?}, late by: median {:?}, 99 % {:?}, most {:?}",
        at(500),
        at(990),
        at(1000)
    );
}

/// The time before the command was sent.
fn send_noop(mut stream: std::net::TcpStream) -> Instant {
    thread::sleep(SPREAD);
    let before = now();
    std::io::Write::write_all(&mut stream, b"NOOP\r\n").expect("the server reads");
    before
}
