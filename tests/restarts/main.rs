//! A thousand starts and stops in one process. A test binary of its own: it counts the process's threads
//! and descriptors.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use smtpmock::{Config, Server};

const ROUNDS: usize = 1000;

fn count(folder: &str) -> usize {
    fs::read_dir(folder).expect("a Linux system").count()
}

#[test]
fn a_thousand_starts_and_stops_leak_no_thread_and_no_descriptor() {
    if cfg!(not(target_os = "linux")) {
        println!("SKIPPED: threads and descriptors are counted in /proc");
        return;
    }
    round(0); // what is set up once per process
    let before = (count("/proc/self/task"), count("/proc/self/fd"));
    (0..ROUNDS).for_each(round);
    let after = (count("/proc/self/task"), count("/proc/self/fd"));
    assert_eq!(after, before, "(threads, descriptors)");
}

/// Some stop before anybody came, some with a session open, some with two shards, a log and a capture.
fn round(number: usize) {
    let mut config = Config::default().shutdown_timeout(std::time::Duration::ZERO);
    if number.is_multiple_of(4) {
        config = config.shards(2).logger(Silent).capture("/dev/null");
    }
    let server = Server::start(config).expect("a server");
    let client = (!number.is_multiple_of(3)).then(|| greet(&server));
    if number.is_multiple_of(2) {
        server.stop();
    }
    drop(server);
    drop(client);
}

fn greet(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr()).expect("a connection");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("a greeting");
    assert_eq!(line, "220 Welcome\r\n");
    stream.write_all(b"EHLO a.example\r\n").expect("the server reads");
    stream
}

struct Silent;

impl smtpmock::Logger for Silent {
    fn info_activity(&self, _: std::time::SystemTime, _: &str) {}
    fn info(&self, _: std::time::SystemTime, _: &str) {}
    fn warning(&self, _: std::time::SystemTime, _: &str) {}
    fn error(&self, _: std::time::SystemTime, _: &str) {}
}
