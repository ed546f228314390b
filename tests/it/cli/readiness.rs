//! The ready line and the ready file.

use std::fs;
use std::net::{TcpListener, TcpStream};

use crate::support::client::Client;
use crate::support::process::Signal;
use crate::support::program::{run, start};
use crate::support::server::has_ipv6;

/// The ready file of an earlier run.
const STALE: &str = "{\"smtp\":[\"127.0.0.1:2525\"],\"pid\":1}\n";

#[test]
fn the_ready_line_names_the_address_that_accepts_connections() {
    let program = start(["--ready"]);
    let address = program.address();
    let expected = format!("{{\"smtp\":[\"{address}\"],\"pid\":{}}}\n", program.pid());
    assert_eq!(program.ready_line, expected);
    assert!(address.ip().is_loopback() && address.port() != 0);
    TcpStream::connect(address).expect("it is listening");
    assert_eq!(program.stopped().stderr, "");
}

#[test]
fn the_ready_file_contains_the_same_line_and_no_other_file_remains() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ready.json");
    fs::write(&path, STALE).expect("writable");
    let program = start(["--ready-file".as_ref(), path.as_os_str()]);
    // It is written before the line is printed.
    assert_eq!(fs::read_to_string(&path).expect("readable"), program.ready_line);
    TcpStream::connect(program.address()).expect("it is listening");
    let names: Vec<_> = fs::read_dir(&directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["ready.json"]);
    assert_eq!(program.stopped().stderr, "");
}

#[test]
fn a_failed_start_removes_the_ready_file_of_an_earlier_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ready.json");
    fs::write(&path, STALE).expect("writable");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let path = path.to_str().expect("UTF-8");
    let ended = run(["--ready-file", path, "--port", &port]);
    assert_eq!(ended.code(), Some(1));
    assert!(!fs::exists(path).expect("a directory"));
}

#[test]
fn a_refused_start_removes_it_too_unless_it_is_an_output() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ready.json");
    fs::write(&path, STALE).expect("writable");
    let ready = path.to_str().expect("UTF-8");
    assert_eq!(run(["--ready-file", ready, "--capture", ready]).code(), Some(2));
    assert_eq!(fs::read_to_string(&path).expect("readable"), STALE);
    assert_eq!(run(["--ready-file", ready, "--capture=/nonexistent-directory/x"]).code(), Some(1));
    assert!(!fs::exists(&path).expect("a directory"));
}

#[test]
fn the_ready_file_is_removed_with_the_server_unless_another_has_written_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ready.json");
    let flag = ["--ready-file".as_ref(), path.as_os_str()];
    for signal in [Signal::TERM, Signal::INT] {
        let program = start(flag);
        assert!(fs::exists(&path).expect("a directory"));
        program.signal(signal);
        assert_eq!(program.ended().code(), Some(0));
        assert!(!fs::exists(&path).expect("a directory"), "{signal:?}");
    }
    let first = start(flag);
    let second = start(flag);
    assert_eq!(first.stopped().code(), Some(0));
    assert_eq!(fs::read_to_string(&path).expect("the second's"), second.ready_line);
}

#[test]
fn the_ready_file_replaces_only_regular_files() {
    let ended = run(["--ready-file", "/dev/null"]);
    assert_eq!(ended.code(), Some(1));
    assert!(ended.complaint().contains("/dev/null"));
}

#[test]
fn a_server_listens_on_several_hosts() {
    if !has_ipv6() {
        let program = start(["--host", "127.0.0.1,127.0.0.2"]);
        assert_eq!(program.addresses().len(), 2);
        return;
    }
    let program = start(["--host", "127.0.0.1,[::1]"]);
    let addresses = program.addresses();
    assert_eq!(addresses.len(), 2);
    assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6());
    for address in addresses {
        TcpStream::connect(address).expect("it is listening");
    }
    assert_eq!(program.stopped().stderr, "");
}

#[test]
fn shards_share_the_address() {
    let program = start(["--shards", "2"]);
    assert_eq!(program.addresses().len(), 1);
    for _ in 0..8 {
        Client::greeted(program.address());
    }
}

#[test]
fn an_unrelated_file_was_removed_as_a_ready_file() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in
        [("mock.toml", "port = 0\n"), ("mail.jsonl", "{\"helo_request\":\"EHLO c.example\"}\n")]
    {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("writable");
        let config = directory.path().join("mock.toml");
        let ended = run([
            "--config".as_ref(),
            config.as_os_str(),
            "--ready-file".as_ref(),
            path.as_os_str(),
            "--exit-after=1s".as_ref(),
        ]);
        assert_eq!(ended.code(), Some(1), "{name}");
        assert_eq!(fs::read_to_string(&path).expect("readable"), text);
    }
}
