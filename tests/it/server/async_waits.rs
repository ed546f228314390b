//! Waits for messages in a runtime with one thread, on which the sender runs too.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use smtpmock::{Config, Message, Server};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::client::{Client, MESSAGE};
use crate::support::server::start;
use crate::support::waiting::{PATIENCE, now};

/// The timeout of a wait that fails or is dropped.
const SHORT: Duration = Duration::from_millis(50);

/// Sends this many messages as an asynchronous client, each over its own connection.
async fn send(port: u16, messages: usize) {
    for _ in 0..messages {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let message = format!("{MESSAGE}.");
        let commands =
            ["EHLO a.example", "MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>", "DATA", &message];
        let mut reply = String::new();
        stream.read_line(&mut reply).await.unwrap();
        for command in commands {
            stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
            reply.clear();
            stream.read_line(&mut reply).await.unwrap();
            assert!(matches!(reply.as_bytes()[0], b'2' | b'3'), "{command}: {reply}");
        }
    }
}

fn deliver(server: &Server) {
    let mut client = Client::greeted(server.local_addr());
    client.deliver(MESSAGE);
    client.quit();
}

#[tokio::test]
async fn a_sender_on_the_same_thread_continues_during_a_wait() {
    let server = start(Config::default());
    let sender = tokio::spawn(send(server.port(), 3));
    let messages = server.wait_for_messages_async(3, PATIENCE).await.unwrap();
    assert_eq!(messages.iter().filter_map(Message::subject).collect::<Vec<_>>(), ["hi"; 3]);
    sender.await.unwrap();
    assert_eq!(server.messages().len(), 3);
    assert_eq!(server.wait_for_messages_and_purge_async(1, PATIENCE).await.unwrap().len(), 3);
    assert_eq!(server.messages().len(), 0);
}

#[tokio::test]
async fn a_wait_ends_at_its_timeout_and_reports_what_arrived() {
    let server = start(Config::default());
    deliver(&server);
    let began = now();
    for purges in [false, true] {
        let error = match purges {
            false => server.wait_for_messages_async(2, SHORT).await,
            true => server.wait_for_messages_and_purge_async(2, SHORT).await,
        };
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "timeout waiting for 2 messages: got 1 within 50ms");
        assert_eq!(error.arrived[0].subject().as_deref(), Some("hi"));
    }
    assert!(began.elapsed() >= 2 * SHORT);
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn a_dropped_wait_takes_nothing() {
    let server = start(Config::default());
    for number in 1..=20 {
        let wait = server.wait_for_messages_and_purge_async(number, PATIENCE);
        assert!(tokio::time::timeout(Duration::from_millis(1), wait).await.is_err());
        let mut wait = Box::pin(server.wait_for_messages_and_purge_async(number, PATIENCE));
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // This wakes it, and it is dropped before it is polled again.
        deliver(&server);
        drop(wait);
        assert_eq!(server.messages().len(), number);
    }
}

#[tokio::test]
async fn a_wait_continues_in_another_task_and_without_its_server() {
    let server = start(Config::default());
    let arrived = tokio::spawn(server.wait_for_messages_async(1, PATIENCE));
    send(server.port(), 1).await;
    let too_many = tokio::spawn(server.wait_for_messages_async(2, SHORT));
    drop(server);
    assert_eq!(arrived.await.unwrap().unwrap().len(), 1);
    assert_eq!(too_many.await.unwrap().unwrap_err().arrived.len(), 1);
}

#[tokio::test]
async fn waits_that_purge_share_the_messages() {
    let server = start(Config::default());
    let waits: Vec<_> =
        (0..10).map(|_| tokio::spawn(server.wait_for_messages_and_purge_async(1, PATIENCE))).collect();
    let mut sent = 0;
    while !waits.iter().all(tokio::task::JoinHandle::is_finished) {
        send(server.port(), 1).await;
        sent += 1;
    }
    let mut taken = server.messages_and_purge().len();
    for wait in waits {
        let messages = wait.await.unwrap().unwrap();
        assert!(!messages.is_empty());
        taken += messages.len();
    }
    assert_eq!(taken, sent);
}

#[tokio::test]
async fn without_records_a_wait_returns_at_once() {
    let server = start(Config::default().keep_records(false));
    assert!(server.wait_for_messages_async(1, PATIENCE).await.unwrap_err().arrived.is_empty());
    assert!(server.wait_for_messages_async(0, PATIENCE).await.unwrap().is_empty());
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Without a runtime, and without polling: the wait is woken once.
#[test]
fn a_wait_is_woken_once_by_the_messages_it_waits_for() {
    let server = start(Config::default());
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut wait = pin!(server.wait_for_messages_async(2, PATIENCE));
    let mut context = Context::from_waker(&waker);
    assert!(wait.as_mut().poll(&mut context).is_pending());
    deliver(&server);
    assert_eq!(counter.0.load(Ordering::SeqCst), 0, "one of two");
    deliver(&server);
    deliver(&server);
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    assert!(wait.as_mut().poll(&mut context).is_ready());
}
