//! Everything a client can make grow has a bound.

use crate::client::{Client, PATIENCE, config, eventually, now, start};

const MEMORY_LIMIT: usize = 64 * 1024;

const REFUSAL: &str = "452 4.3.1 Insufficient system storage";

/// Tries to deliver a message: the first refusal there is, or the reply to its final dot.
fn try_message(client: &mut Client, text: &str) -> String {
    let lines = ["RSET", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>"];
    assert_eq!(client.ask_all(&lines), ["250", "250", "250"]);
    match client.ask("DATA") {
        reply if reply.starts_with("354") => client.ask(&format!("{text}\r\n.")),
        refusal => refusal,
    }
}

#[test]
fn messages_are_refused_while_others_fill_the_memory() {
    const ROOM: usize = 1000;
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    let mut large = Client::connect(server.local_addr());
    large.open_data();
    large.send("x".repeat(MEMORY_LIMIT - ROOM) + "\r\n");
    let mut other = Client::connect(server.local_addr());
    assert_eq!(other.ask("EHLO b.example"), "250 Received");
    let text = "y".repeat(2 * ROOM);
    let began = now();
    while try_message(&mut other, &text) != REFUSAL {
        assert!(began.elapsed() < PATIENCE, "nothing is ever refused");
    }
    assert_eq!(large.ask("."), "250 Received");
    assert!(large.ask("QUIT").starts_with("221"));
    assert_eq!(try_message(&mut other, &text), "250 Received", "the memory was not freed");
}

#[test]
fn a_message_that_outgrows_the_memory_is_refused_at_its_end() {
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    let mut client = Client::connect(server.local_addr());
    client.open_data();
    client.send("x".repeat(10 * MEMORY_LIMIT));
    assert_eq!(client.ask("\r\n."), REFUSAL);
    client.deliver("small");
}

#[test]
fn a_client_that_breaks_off_gives_its_memory_back() {
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    for _ in 0..20 {
        let mut client = Client::connect(server.local_addr());
        client.open_data();
        client.send("x".repeat(MEMORY_LIMIT / 2));
        client.reset();
    }
    eventually("the broken sessions' end", || server.stats().sessions.closed == 20);
    Client::connect(server.local_addr()).deliver(&"x".repeat(MEMORY_LIMIT / 2));
}

#[test]
fn the_oldest_records_go_when_there_are_too_many() {
    let server = start(config().max_records(10));
    let mut client = Client::connect(server.local_addr());
    (0..25).for_each(|number| client.deliver(&format!("{number}")));
    let texts: Vec<String> =
        server.messages().iter().map(|message| message.msg_request().trim_end().to_owned()).collect();
    assert!(texts.into_iter().eq((15..25).map(|number| number.to_string())));
    assert_eq!(server.stats().health.records_evicted, 15);
}

#[test]
fn the_oldest_records_go_when_they_are_too_large() {
    let server = start(config().max_record_memory(100_000));
    let mut client = Client::connect(server.local_addr());
    (0..25).for_each(|number| client.deliver(&format!("{number} {}", "x".repeat(20_000))));
    let messages = server.messages();
    assert!((1..=5).contains(&messages.len()), "{} records of 20,000 bytes", messages.len());
    assert!(messages.last().expect("a record").body().starts_with(b"24 "));
    assert_eq!(server.stats().health.records_evicted as usize + messages.len(), 25);
}
