//! A thousand starts and stops in one process.

use std::fs;

use smtpmock::Config;

use crate::support::alone::alone;
use crate::support::client::Client;
use crate::support::logger::{Silent, To};
use crate::support::server::start;

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
    alone("server::restarts::a_thousand_starts_and_stops_leak_no_thread_and_no_descriptor", || {
        round(0); // one-time initialization of the process
        let before = (count("/proc/self/task"), count("/proc/self/fd"));
        (0..ROUNDS).for_each(round);
        let after = (count("/proc/self/task"), count("/proc/self/fd"));
        assert_eq!(after, before, "(threads, descriptors)");
    });
}

/// Some stop before any client has connected, some with an open session, some with two shards, a log and a capture.
fn round(number: usize) {
    let mut config = Config::default().shutdown_timeout(std::time::Duration::ZERO);
    if number.is_multiple_of(4) {
        config = config.shards(2).logger(To(Silent)).capture("/dev/null");
    }
    let server = start(config);
    let mut client = (!number.is_multiple_of(3)).then(|| Client::greeted(server.local_addr()));
    if let Some(client) = &mut client {
        client.send("EHLO a.example\r\n");
    }
    if number.is_multiple_of(2) {
        server.stop();
    }
    drop(server);
    drop(client);
}
