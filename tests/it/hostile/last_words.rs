//! The server ends a session while the client is still sending: the last reply still arrives, and no reset destroys it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use smtpmock::StopOutcome;

use super::bystander::config;
use crate::support::client::{Client, End};
use crate::support::figures::{after_all_sessions, once};
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

const GOODBYE: &str = "421 Service closing transmission channel\r\n";
/// More than the socket buffers of both sides hold.
const FAR_TOO_MUCH: usize = 12 << 20;
const LINE: &[u8] = b"seventy octets and two of these, so that sixteen make about a kilobyte..\r\n";

/// A client within message data.
fn in_data(address: SocketAddr) -> Client {
    let mut client = Client::with_envelope(address);
    client.data();
    client
}

/// Named after the fault: nodemailer and smtplib saw a reset instead of the 552.
#[test]
fn fail_fast_destroyed_its_own_552() {
    let server = start(config().message_size_limit(10_000).fail_fast(true));
    for _ in 0..5 {
        let mut client = in_data(server.local_addr());
        // All of it, however early the server refuses.
        client.send(LINE.repeat(FAR_TOO_MUCH / LINE.len()));
        client.send(".\r\n");
        let (reply, end) = client.end();
        assert_eq!((reply.as_str(), end), ("552 Message exceeded max size of 10000 bytes\r\n", End::Fin));
    }
    let stats = after_all_sessions(&server);
    assert_eq!((stats.sessions.dismissed, stats.sessions.resets, stats.messages.refused), (5, 0, 5));
}

/// The client has sent everything before the refusal that ends the session.
#[test]
fn the_refusal_of_fail_fast_in_a_pipeline_is_received() {
    let server = start(config().fail_fast(true));
    let mut client = Client::greeted(server.local_addr());
    client.send("MAIL FROM:<a@a.example>\r\n".repeat(200_000));
    let (reply, end) = client.end();
    assert!(reply.starts_with("503 ") && reply.ends_with("\r\n"), "{reply:?}");
    assert_eq!((reply.lines().count(), end), (1, End::Fin));
}

/// Sends message data until it is stopped.
fn keep_sending(mut stream: TcpStream, is_over: &AtomicBool) {
    let piece = LINE.repeat(100);
    while !is_over.load(Ordering::SeqCst) {
        stream.write_all(&piece).expect("the server reads on");
    }
}

#[test]
fn the_421_of_a_timeout_within_a_message_is_received() {
    let server = start(config().data_timeout(Duration::from_millis(100)));
    let mut client = in_data(server.local_addr());
    let is_over = Arc::new(AtomicBool::new(false));
    let (writer, flag) = (client.writer(), Arc::clone(&is_over));
    let sending = thread::spawn(move || keep_sending(writer, &flag));
    // It continues to send after the 421 has arrived, and reads after that.
    assert_eq!(client.reply() + "\r\n", GOODBYE);
    is_over.store(true, Ordering::SeqCst);
    sending.join().expect("no reset while it sent");
    assert_eq!(client.end(), (String::new(), End::Fin));
    assert_eq!(once(&server, |stats| stats.sessions.timed_out == 1).sessions.resets, 0);
}

#[test]
fn the_421_of_a_forced_stop_within_a_message_is_received() {
    let server = start(config());
    let mut client = in_data(server.local_addr());
    let is_over = Arc::new(AtomicBool::new(false));
    let (writer, flag) = (client.writer(), Arc::clone(&is_over));
    let sending = thread::spawn(move || keep_sending(writer, &flag));
    thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop_within(Duration::ZERO));
        assert_eq!(client.reply() + "\r\n", GOODBYE);
        is_over.store(true, Ordering::SeqCst);
        sending.join().expect("no reset while it sent");
        assert_eq!(client.end(), (String::new(), End::Fin));
        // No longer than until the client leaves.
        drop(client);
        assert_eq!(stopping.join().expect("a stop"), StopOutcome::Forced);
    });
    assert_eq!(server.stats().sessions.resets, 0);
}

/// A client that pauses within a message delays a forced stop only briefly.
#[test]
fn a_forced_stop_does_not_wait_for_a_client_that_has_stopped_sending() {
    let server = start(config());
    let mut client = in_data(server.local_addr());
    client.send("the front of a li");
    let began = crate::support::waiting::now();
    assert_eq!(server.stop_within(Duration::ZERO), StopOutcome::Forced);
    assert!(began.elapsed() < PATIENCE / 10, "{:?}", began.elapsed());
    assert_eq!(client.end(), (GOODBYE.to_owned(), End::Fin));
}
