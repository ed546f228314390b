//! Endless input, meaningless input and slow input.

use std::io::Write;
use std::thread;
use std::time::Duration;

use super::bystander::{Bystander, config};
use crate::support::client::Client;
use crate::support::figures::after_sessions;
use crate::support::server::start;

const MIB: usize = 1 << 20;
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_command_line_of_32_mib_is_one_line_too_long() {
    let server = start(config());
    let bystander = Bystander::at(server.local_addr());
    let mut client = Client::greeted(server.local_addr());
    let line = vec![b'x'; MIB];
    (0..32).for_each(|_| client.send(&line));
    assert_eq!(client.command(""), "500 Line too long");
    client.quit();
    bystander.leave(&server);
}

#[test]
fn a_command_line_without_end_is_timed_out() {
    let server = start(config().session_timeout(SHORT));
    let mut client = Client::greeted(server.local_addr());
    client.flood(&vec![b'x'; MIB], usize::MAX);
    drop(client);
    assert_eq!(after_sessions(&server, 1).sessions.timed_out, 1);
    Client::greeted(server.local_addr()).deliver("served afterwards\r\n");
}

#[test]
fn a_message_over_the_limit_is_discarded_and_refused_once() {
    let server = start(config().message_size_limit(MIB));
    let bystander = Bystander::at(server.local_addr());
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    let lines = b"RCPT TO:<c@c.example>\r\n".repeat(MIB / 23);
    (0..32).for_each(|_| client.send(&lines));
    assert_eq!(client.command("\r\n."), "552 Message exceeded max size of 1048576 bytes");
    client.quit();
    bystander.leave(&server);
}

#[test]
fn a_message_without_end_is_timed_out() {
    let server = start(config().message_size_limit(MIB).data_timeout(SHORT));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.flood(&vec![b'x'; MIB], usize::MAX);
    drop(client);
    assert_eq!(after_sessions(&server, 1).sessions.timed_out, 1);
    assert!(server.messages().iter().all(|message| !message.msg()));
    Client::greeted(server.local_addr()).deliver("served afterwards\r\n");
}

#[test]
fn a_session_of_single_bytes_is_served() {
    let server = start(config());
    let mut client = Client::greeted(server.local_addr());
    let dialogue = "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n\
                    one\r\n..two\r\n.\r\nQUIT\r\n";
    dialogue.bytes().for_each(|byte| client.send([byte]));
    let rest = client.rest();
    let codes: Vec<&str> = rest.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "250", "354", "250", "221"]);
    assert_eq!(server.messages()[0].body(), b"one\r\n.two\r\n");
}

/// Named after the fault.
#[test]
fn the_data_timeout_ran_while_the_354_was_delayed() {
    let delay = (smtpmock::smtp::DelayPoint::Data, 3 * SHORT);
    let server = start(config().data_timeout(2 * SHORT).delay(delay.0, delay.1));
    Client::greeted(server.local_addr()).deliver("in time\r\n");
}

#[test]
fn every_line_of_garbage_gets_a_reply() {
    let server = start(config());
    let bystander = Bystander::at(server.local_addr());
    let mut client = Client::greeted(server.local_addr());
    let (mut state, mut garbage) = (0x5eed_u64, Vec::new());
    for _ in 0..200_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        garbage.push((state >> 56) as u8);
    }
    garbage.extend(b"\r\n\0\0\0\r\n\0QUIT\r\n\0");
    let lines = garbage.iter().filter(|&&byte| byte == b'\n').count();
    let mut writer = client.writer();
    let writing = thread::spawn(move || writer.write_all(&garbage));
    for number in 0..lines {
        let reply = client.reply();
        assert!(reply.starts_with("502 ") || reply.starts_with("500 "), "line {number}: {reply}");
    }
    writing.join().expect("a writer").expect("the server reads");
    client.send("\n");
    assert!(client.reply().starts_with("502 "));
    client.quit();
    bystander.leave(&server);
}

#[test]
fn nuls_and_every_other_byte_of_a_message_are_retained() {
    let server = start(config());
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    let mut text: Vec<u8> = (0..=255).collect();
    text.extend(b"\0\0\r\n");
    client.send(&text);
    assert_eq!(client.command("."), "250 Received");
    assert_eq!(server.messages()[0].body(), text);
}
