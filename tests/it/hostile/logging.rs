//! Loggers that fail.

use std::sync::{Arc, Condvar, Mutex};

use super::bystander::{Bystander, config};
use crate::support::client::Client;
use crate::support::logger::{Lines, Recorder, To};
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

/// Panics at each line that contains the word, and when it is flushed.
struct Panicking {
    word: &'static str,
    inner: Recorder,
}

impl Lines for Panicking {
    fn line(&self, level: &str, text: &str) {
        assert!(!text.contains(self.word), "a bug of the logger's");
        self.inner.line(level, text);
    }

    fn flush(&self) {
        panic!("a bug of the logger's");
    }
}

#[test]
fn a_panicking_logger_loses_only_the_line_it_panicked_at() {
    let log = Recorder::default();
    let server = start(config().logger(To(Panicking { word: "MAIL FROM", inner: log.clone() })));
    let mut client = Client::greeted(server.local_addr());
    (0..10).for_each(|_| client.deliver("x\r\n"));
    client.quit();
    server.stop();
    assert_eq!(log.count("MAIL FROM"), 0);
    for (part, count) in [
        ("RCPT TO", 10),
        ("request: DATA", 10),
        ("request: QUIT", 1),
        ("INFO: SMTP mock server was stopped successfully", 1),
    ] {
        assert_eq!(log.count(part), count, "lines with {part:?}");
    }
}

#[test]
fn a_client_can_neither_steer_a_terminal_nor_forge_a_line() {
    let log = Recorder::default();
    let server = start(config().logger(To(log.clone())));
    let mut client = Client::greeted(server.local_addr());
    for line in [
        "NOOP \u{1b}[2J",
        "NOOP x\rINFO: 2099/01/01 00:00:00 forged",
        "NOOP \0\u{7f}\u{9b}2J\u{202e}\u{2028}!",
    ] {
        client.command(line);
    }
    client.quit();
    server.stop();
    let requests: Vec<String> = log.lines().into_iter().filter(|line| line.contains("NOOP")).collect();
    assert_eq!(
        requests,
        [
            "INFO: SMTP request: NOOP \\u{1b}[2J",
            "INFO: SMTP request: NOOP x\\rINFO: 2099/01/01 00:00:00 forged",
            "INFO: SMTP request: NOOP \\u{0}\\u{7f}\\u{9b}2J\\u{202e}\\u{2028}!",
        ]
    );
}

#[test]
fn of_a_line_that_is_too_long_the_front_is_logged_once() {
    let log = Recorder::default();
    let server = start(config().logger(To(log.clone())));
    let mut client = Client::greeted(server.local_addr());
    // The server reads at most 16 KiB at once: many pieces.
    client.send("NOOP ".to_owned() + &"x".repeat(1 << 20));
    assert_eq!(client.command("y"), "500 Line too long");
    client.quit();
    server.stop();
    let requests: Vec<String> = log.lines().into_iter().filter(|line| line.contains("request")).collect();
    let [front, quit] = &requests[..] else { panic!("{} requests are logged", requests.len()) };
    assert!(front.starts_with("INFO: SMTP request: NOOP xxx") && front.len() < 5000, "{front}");
    assert_eq!(quit, "INFO: SMTP request: QUIT");
}

#[test]
fn a_message_of_line_feeds_is_one_line_of_the_log() {
    let log = Recorder::default();
    let server = start(config().logger(To(log.clone())));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    (0..8).for_each(|_| client.send(vec![b'\n'; 1 << 20]));
    client.send("\r\n.\r\n");
    client.reply();
    client.quit();
    // A second one is truncated.
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send("one\r\ntwo\r\nthree");
    client.half_close();
    client.rest();
    server.stop();
    let of_data = |line: &String| line.contains("binary data portion") || line.starts_with("ERROR");
    assert_eq!(
        log.lines().into_iter().filter(of_data).collect::<Vec<_>>(),
        [
            "INFO: SMTP request: message binary data portion (8388610 lines)",
            "INFO: SMTP request: message binary data portion (2 lines)",
            "ERROR: EOF",
        ]
    );
}

/// Blocks every line until it is opened.
#[derive(Clone, Default)]
struct Stuck {
    gate: Arc<(Mutex<bool>, Condvar)>,
    inner: Recorder,
}

impl Stuck {
    fn open(&self) {
        *self.gate.0.lock().expect("never poisoned") = true;
        self.gate.1.notify_all();
    }

    fn wait(&self) {
        let closed = self.gate.0.lock().expect("never poisoned");
        let opened = self.gate.1.wait_timeout_while(closed, PATIENCE, |is_open| !*is_open);
        drop(opened.expect("never poisoned"));
    }
}

impl Lines for Stuck {
    fn line(&self, level: &str, text: &str) {
        self.wait();
        self.inner.line(level, text);
    }
}

/// The lines in the queue and the lost lines together exceed the queue's 32 MiB.
#[test]
fn a_blocked_logger_stops_no_session_and_the_lost_lines_are_reported() {
    let logger = Stuck::default();
    let server = start(config().logger(To(logger.clone())));
    let bystander = Bystander::at(server.local_addr());
    let mut client = Client::greeted(server.local_addr());
    let line = format!("NOOP {}\r\n", "x".repeat(4000)).repeat(100);
    for _ in 0..120 {
        client.send(&line);
        (0..100).for_each(|_| assert_eq!(client.reply(), "250 Ok"));
    }
    bystander.leave(&server);
    logger.open();
    server.stop();
    assert!(logger.inner.count("log entries were dropped") >= 1);
}
