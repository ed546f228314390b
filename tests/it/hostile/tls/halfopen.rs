//! Handshakes that begin and stop: bounded memory each, an end by the timeout, and no hindrance to other sessions.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::hello_of;
use crate::support::client::Client;
use crate::support::encrypted::connect;
use crate::support::program::start;

/// Octets of a hello that stops.
const FRONT: usize = 200;
/// Memory of a client that has sent these, beside its session, and of one that was answered, in bytes: of a connection with
/// rustls's state, its keys, and the server's flight where it has not left.
const MOST_IN_HELLO: u64 = 2 * 1024;
const MOST_ANSWERED: u64 = 8 * 1024;

#[test]
fn a_thousand_half_open_handshakes_are_ended_by_the_timeout() {
    half_open(1000, "5s");
}

#[test]
#[ignore = "ten thousand connections take descriptors and time: cargo test -- --ignored half_open"]
fn ten_thousand_half_open_handshakes_are_ended_by_the_timeout() {
    half_open(10_000, "60s");
}

/// Half of the clients stop within their hello, and half behind the server's answer.
fn half_open(clients: u64, timeout: &str) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit");
    let expected = format!("tls.timed_out == {clients}");
    let program = start(
        [
            ["--listen", "smtp://127.0.0.1"],
            ["--listen", "smtps://127.0.0.1"],
            ["--session-timeout", timeout],
            ["--rule", "noop delay=20ms"],
            ["--expect", &expected],
            ["--expect", "delay.early == 0"],
            ["--expect", "sessions.gave_up == 0"],
        ]
        .concat()
        .into_iter()
        .chain(["--tls"]),
    );
    let ready: serde_json::Value = serde_json::from_str(&program.ready_line).expect("JSON");
    let encrypted = ready["smtps"][0].as_str().and_then(|address| address.parse().ok()).expect("an address");
    let mut other = Client::connect(program.address());
    assert_eq!(other.reply(), "220 Welcome");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let hello = hello_of(&own.cert.pem());
    let mut stopped: Vec<TcpStream> = Vec::new();
    let mut each = Vec::new();
    for front in [FRONT, hello.len()] {
        let before = program.resident_kib();
        for number in 0..clients / 2 {
            let mut stream = connect(encrypted);
            stream.write_all(&hello[..front]).expect("room");
            stopped.push(stream);
            if number % 20 == 0 {
                assert_eq!(other.command("NOOP"), "250 Ok", "served meanwhile");
            }
        }
        // It is read by now: what was sent first is.
        if front == hello.len() {
            let half = stopped.len() / 2;
            let answered = &mut stopped[half..];
            answered.iter_mut().for_each(|stream| stream.read_exact(&mut [0]).expect("an answer"));
        }
        assert_eq!(other.command("NOOP"), "250 Ok");
        each.push(program.resident_kib().saturating_sub(before) * 1024 / (clients / 2));
    }
    println!("{clients} half-open handshakes: {each:?} bytes of memory each, in the hello and answered");
    // A session takes less than 1 KiB; what the allocator takes at once is for all of them.
    let spare = 1024 + 2 * 1024 * 1024 / clients;
    assert!(each[0] <= MOST_IN_HELLO + spare && each[1] <= MOST_ANSWERED + spare, "{each:?}");
    for (number, stream) in stopped.iter_mut().enumerate() {
        if number % 20 == 0 {
            assert_eq!(other.command("NOOP"), "250 Ok", "served meanwhile");
        }
        let mut rest = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout");
        stream.read_to_end(&mut rest).expect("closed in order");
    }
    assert_eq!(other.command("NOOP"), "250 Ok", "served on");
    other.quit();
    let ended = program.stopped();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}
