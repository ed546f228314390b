//! Loggers that fail their users.

use std::sync::{Arc, Condvar, Mutex};
use std::time::SystemTime;

use smtpmock::Logger;

use crate::bystander::{Bystander, config};
use crate::support::client::Client;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

/// Keeps its lines; panics at each that holds the word.
#[derive(Clone, Default)]
struct Moody {
    panics_at: &'static str,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Moody {
    fn log(&self, level: &str, text: &str) {
        assert!(self.panics_at.is_empty() || !text.contains(self.panics_at), "a bug of the logger's");
        self.lines.lock().expect("never poisoned").push(format!("{level} {text}"));
    }

    fn count(&self, part: &str) -> usize {
        self.lines.lock().expect("never poisoned").iter().filter(|line| line.contains(part)).count()
    }
}

impl Logger for Moody {
    fn info_activity(&self, _: SystemTime, text: &str) {
        self.log("INFO", text);
    }

    fn info(&self, _: SystemTime, text: &str) {
        self.log("INFO", text);
    }

    fn warning(&self, _: SystemTime, text: &str) {
        self.log("WARNING", text);
    }

    fn error(&self, _: SystemTime, text: &str) {
        self.log("ERROR", text);
    }

    fn flush(&self) {
        assert!(self.panics_at.is_empty(), "a bug of the logger's");
    }
}

#[test]
fn a_panicking_logger_loses_the_line_it_panicked_at_and_nothing_else() {
    let logger = Moody { panics_at: "MAIL FROM", ..Moody::default() };
    let server = start(config().logger(logger.clone()));
    let mut client = Client::greeted(server.local_addr());
    (0..10).for_each(|_| client.deliver("x\r\n"));
    client.quit();
    server.stop();
    assert_eq!(logger.count("MAIL FROM"), 0);
    for (part, count) in [("RCPT TO", 10), ("request: DATA", 10), ("request: QUIT", 1), ("stopped", 1)] {
        assert_eq!(logger.count(part), count, "lines with {part:?}");
    }
}

/// Lets no line through until it is opened.
#[derive(Clone, Default)]
struct Stuck {
    gate: Arc<(Mutex<bool>, Condvar)>,
    inner: Moody,
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

impl Logger for Stuck {
    fn info_activity(&self, _: SystemTime, _: &str) {
        self.wait();
    }

    fn info(&self, _: SystemTime, _: &str) {
        self.wait();
    }

    fn warning(&self, at: SystemTime, text: &str) {
        self.wait();
        self.inner.warning(at, text);
    }

    fn error(&self, _: SystemTime, _: &str) {
        self.wait();
    }
}

/// Lines in the queue and lost lines together are more than the queue's 32 MiB.
#[test]
fn a_stuck_logger_stops_no_session_and_what_it_missed_is_said() {
    let logger = Stuck::default();
    let server = start(config().logger(logger.clone()));
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
