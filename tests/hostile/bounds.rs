//! Everything a client can make grow has a bound.

use crate::client::{Client, PATIENCE, config, eventually, now, start};

const MEMORY_LIMIT: usize = 64 * 1024;

/// DATA's reply, once per try; the transaction is given up again.
fn try_data(client: &mut Client) -> String {
    let lines = ["RSET", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>"];
    assert_eq!(client.ask_all(&lines), ["250", "250", "250"]);
    let reply = client.ask("DATA");
    if reply.starts_with("354") {
        assert_eq!(client.ask("."), "250 Received");
    }
    reply
}

#[test]
fn data_is_refused_while_messages_fill_the_memory() {
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    let mut large = Client::connect(server.local_addr());
    large.open_data();
    large.send("x".repeat(MEMORY_LIMIT - 2) + "\r\n");
    let mut other = Client::connect(server.local_addr());
    assert_eq!(other.ask("EHLO b.example"), "250 Received");
    let began = now();
    while try_data(&mut other) != "452 4.3.1 Insufficient system storage" {
        assert!(began.elapsed() < PATIENCE, "DATA is never refused");
    }
    assert_eq!(large.ask("."), "250 Received");
    assert!(try_data(&mut other).starts_with("354"), "the memory was not freed");
    let kept = server.messages().into_iter().map(|message| message.body().len()).max();
    assert_eq!(kept, Some(MEMORY_LIMIT));
}

#[test]
fn a_message_that_outgrows_the_memory_is_refused_at_its_end() {
    let server = start(config().max_message_memory(MEMORY_LIMIT));
    let mut client = Client::connect(server.local_addr());
    client.open_data();
    client.send("x".repeat(10 * MEMORY_LIMIT));
    assert_eq!(client.ask("\r\n."), "452 4.3.1 Insufficient system storage");
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
    eventually("the broken sessions' end", || server.stats().sessions_closed == 20);
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
    assert_eq!(server.stats().records_evicted, 15);
}

#[test]
fn the_oldest_records_go_when_they_are_too_large() {
    let server = start(config().max_record_memory(100_000));
    let mut client = Client::connect(server.local_addr());
    (0..25).for_each(|number| client.deliver(&format!("{number} {}", "x".repeat(20_000))));
    let messages = server.messages();
    assert!((1..=5).contains(&messages.len()), "{} records of 20,000 bytes", messages.len());
    assert!(messages.last().expect("a record").body().starts_with(b"24 "));
    assert_eq!(server.stats().records_evicted as usize + messages.len(), 25);
}
