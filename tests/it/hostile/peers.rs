//! Peers that connect and leave, half-close, or never read.

use std::io::Write;
use std::thread;
use std::time::Duration;

use smtpmock::smtp::DelayPoint;

use super::bystander::{Bystander, config};
use crate::support::client::Client;
use crate::support::figures::{after_all_sessions, after_sessions};
use crate::support::server::start;

#[test]
fn ten_thousand_connects_and_resets() {
    const EACH: usize = 5000;
    let server = start(config());
    let bystander = Bystander::at(server.local_addr());
    let address = server.local_addr();
    let attackers =
        [0, 1].map(|_| thread::spawn(move || (0..EACH).for_each(|_| Client::connect(address).reset())));
    attackers.into_iter().for_each(|attacker| attacker.join().expect("all connected"));
    bystander.leave(&server);
    let stats = after_all_sessions(&server);
    // Connections that were reset in the backlog are never accepted.
    println!("sessions opened: {}", stats.sessions.opened);
    Client::greeted(address).deliver("served afterwards\r\n");
}

#[test]
fn a_half_close_after_everything_still_gets_every_reply() {
    let server = start(config().delay(DelayPoint::Message, Duration::from_millis(50)));
    let mut client = Client::greeted(server.local_addr());
    client.send(
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n",
    );
    client.half_close();
    let rest = client.rest();
    let codes: Vec<&str> = rest.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "250", "354", "250", "250"]);
    assert_eq!(server.messages()[0].body(), b"x\r\n");
}

#[test]
fn a_half_close_after_data_leaves_no_message() {
    let server = start(config());
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send("unfinished\r\n");
    client.half_close();
    assert_eq!(client.rest(), "");
    let stats = after_sessions(&server, 1);
    assert!(server.messages().iter().all(|message| !message.msg()));
    assert_eq!(stats.messages.accepted, 0);
}

#[test]
fn a_reset_in_every_state() {
    const ROUNDS: usize = 20;
    let states: [&str; 10] = [
        "",
        "EHLO",
        "EHLO a.example\r\n",
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\n",
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n",
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n",
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nunfinished",
        "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\n",
        "NOOP\r\nNOOP\r\n", // delayed
        "EHLO a.example\r\nQUIT\r\n",
    ];
    let server = start(config().delay(DelayPoint::Noop, Duration::from_millis(20)));
    let bystander = Bystander::at(server.local_addr());
    for round in 0..ROUNDS {
        for state in states {
            let mut client = Client::greeted(server.local_addr());
            client.send(state);
            if round % 2 == 0 && state.starts_with("EHLO ") {
                assert_eq!(client.reply(), "250 Received");
            }
            client.reset();
        }
    }
    bystander.leave(&server);
    after_all_sessions(&server);
    // Each whole message was either accepted or never read; none was accepted twice.
    let taken = server.messages().iter().filter(|message| message.body() == b"x\r\n").count();
    assert!(taken <= ROUNDS, "{taken} messages of {ROUNDS}");
}

#[test]
fn a_message_whose_acceptance_was_read_survives_the_reset() {
    let server = start(config());
    for number in 0..50 {
        let mut client = Client::greeted(server.local_addr());
        client.deliver(&format!("{number}\r\n"));
        client.reset();
        assert_eq!(server.messages().iter().filter(|message| message.msg()).count(), number + 1);
    }
}

const NOOP: &[u8] = b"NOOP\r\n";
const MILLION: usize = 1_000_000;
/// Far more bytes than the socket buffers of both sides hold.
const MOST: usize = 256 << 20;

#[test]
fn a_million_noops_read_later_get_a_million_replies() {
    let server = start(config());
    let bystander = Bystander::at(server.local_addr());
    let mut client = Client::greeted(server.local_addr());
    // The replies exceed the socket buffers: the server pauses before the first one is read.
    let noops = NOOP.repeat(MILLION);
    let mut writer = client.writer();
    let sent = writer.write(&noops).expect("the server reads");
    let rest = noops[sent..].to_vec();
    let writing = thread::spawn(move || writer.write_all(&rest));
    let replies = client.exactly(MILLION * b"250 Ok\r\n".len()).expect("all replies");
    assert!(replies.chunks(8).all(|reply| reply == b"250 Ok\r\n"));
    writing.join().expect("a writer").expect("the server reads");
    client.quit();
    bystander.leave(&server);
}

#[test]
fn a_peer_that_never_reads_is_paused_and_ended() {
    let server = start(config().session_timeout(Duration::from_secs(1)));
    let bystander = Bystander::at(server.local_addr());
    let mut client = Client::deaf(server.local_addr(), Duration::from_millis(300));
    let sent = client.flood(&NOOP.repeat(MILLION), MOST);
    assert!(sent < MOST, "the server took {sent} bytes of NOOPs from a peer that reads nothing");
    bystander.leave(&server);
    assert_eq!(after_all_sessions(&server).sessions.timed_out, 1);
    drop(client);
}
