//! Everything that a client can make grow is bounded.

use super::bystander::config;
use crate::support::client::Client;
use crate::support::figures::after_sessions;
use crate::support::server::start;
use crate::support::waiting::eventually;

const MEMORY_LIMIT: usize = 256 * 1024;

const REFUSAL: &str = "452 4.3.1 Insufficient system storage";

/// Tries to deliver a message. Returns the first refusal, or the reply to its final dot.
fn try_message(client: &mut Client, text: &str) -> String {
    client.expect("RSET", "250 Ok");
    client.envelope("a@a.example", "b@b.example");
    match client.command("DATA") {
        reply if reply.starts_with("354") => client.command(&format!("{text}\r\n.")),
        refusal => refusal,
    }
}

#[test]
fn messages_are_refused_while_others_fill_the_memory() {
    const ROOM: usize = 32 * 1024;
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    let mut large = Client::with_envelope(server.local_addr());
    large.data();
    large.send("x".repeat(MEMORY_LIMIT - ROOM) + "\r\n");
    let mut other = Client::greeted(server.local_addr());
    other.ehlo();
    let text = "y".repeat(2 * ROOM);
    eventually("a refusal", || try_message(&mut other, &text) == REFUSAL);
    assert_eq!(large.command("."), "250 Received");
    large.quit();
    assert_eq!(try_message(&mut other, &text), "250 Received", "the memory was not freed");
}

#[test]
fn a_message_that_outgrows_the_memory_is_refused_at_its_end() {
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send("x".repeat(10 * MEMORY_LIMIT));
    assert_eq!(client.command("\r\n."), REFUSAL);
    client.deliver("small\r\n");
}

#[test]
fn the_memory_of_a_client_that_disconnects_is_released() {
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    for _ in 0..20 {
        let mut client = Client::with_envelope(server.local_addr());
        client.data();
        client.send("x".repeat(MEMORY_LIMIT / 2));
        client.reset();
    }
    after_sessions(&server, 20);
    Client::greeted(server.local_addr()).deliver(&("x".repeat(MEMORY_LIMIT / 2) + "\r\n"));
}

#[test]
fn the_oldest_records_are_dropped_when_there_are_too_many() {
    let server = start(config().max_records(10));
    let mut client = Client::greeted(server.local_addr());
    (0..25).for_each(|number| client.deliver(&format!("{number}\r\n")));
    let texts: Vec<String> =
        server.messages().iter().map(|message| message.msg_request().trim_end().to_owned()).collect();
    assert!(texts.into_iter().eq((15..25).map(|number| number.to_string())));
    assert_eq!(server.stats().health.records_evicted, 15);
}

#[test]
fn the_oldest_records_are_dropped_when_they_are_too_large() {
    let server = start(config().max_record_memory(100_000));
    let mut client = Client::greeted(server.local_addr());
    (0..25).for_each(|number| client.deliver(&format!("{number} {}\r\n", "x".repeat(20_000))));
    let messages = server.messages();
    assert!((1..=5).contains(&messages.len()), "{} records of 20,000 bytes", messages.len());
    assert!(messages.last().expect("a record").body().starts_with(b"24 "));
    assert_eq!(server.stats().health.records_evicted as usize + messages.len(), 25);
}
