//! An independent witness: the same dialogues as the kernel saw them, packet by packet, recorded by tshark.
//!
//! Run with `cargo test --release --test it -- --ignored --nocapture witness`, on an idle machine that has
//! tshark and python3, and as somebody who may record.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use smtpmock::Config;
use smtpmock::smtp::{DelayPoint, Stage};
use smtpmock::stats::Durations;

use crate::support::server::{ruled, start};

const SESSIONS: usize = 800;
/// The delay of the reply to RCPT.
const DELAY: Duration = Duration::from_millis(20);
/// Largest difference between the server's figure and the witness's at the median and at the 99th percentile.
const MEDIAN: Duration = Duration::from_micros(200);
const P99: Duration = Duration::from_millis(1);

/// A packet with data, or one that ends the client's side.
#[derive(Clone, Copy, Debug)]
struct Packet {
    at: f64,
    from_server: bool,
    length: usize,
    ends: bool,
}

/// Durations in seconds, computed from packets.
#[derive(Default)]
struct Seen {
    think: Vec<f64>,
    late: Vec<f64>,
    gave_up: Vec<f64>,
}

fn record(port: u16) -> Child {
    let mut tshark = Command::new("tshark")
        .args(["-i", "lo", "-l", "-f", &format!("tcp port {port}"), "-T", "fields"])
        .args(["-e", "frame.time_epoch", "-e", "tcp.stream", "-e", "tcp.srcport", "-e", "tcp.len"])
        .args(["-e", "tcp.flags.fin", "-e", "tcp.flags.reset"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tshark");
    let mut messages = BufReader::new(tshark.stderr.take().expect("piped")).lines();
    let started = messages.any(|line| line.expect("a message").contains("Capture started"));
    assert!(started, "tshark does not record");
    tshark
}

fn packets(tshark: Child, port: u16, sessions: usize) -> Vec<Vec<Packet>> {
    let mut streams: HashMap<String, Vec<Packet>> = HashMap::new();
    let mut tshark = tshark;
    let mut ended = 0;
    for line in BufReader::new(tshark.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [at, stream, source, length, fin, reset] = fields[..] else { panic!("{line}") };
        let packet = Packet {
            at: at.parse().expect("seconds"),
            from_server: source == port.to_string(),
            length: length.parse().expect("octets"),
            ends: fin != "0" && fin != "False" || reset != "0" && reset != "False",
        };
        let own = streams.entry(stream.to_owned()).or_default();
        ended += usize::from(
            packet.ends && !packet.from_server && !own.iter().any(|one| one.ends && !one.from_server),
        );
        own.push(packet);
        if ended == sessions {
            break;
        }
    }
    let _ = tshark.kill();
    let _ = tshark.wait();
    streams.into_values().collect()
}

/// Greeting, EHLO, MAIL, RCPT, DATA and data, each in one packet, and each reply in another.
fn read(streams: &[Vec<Packet>]) -> Seen {
    let mut seen = Seen::default();
    for stream in streams {
        let data: Vec<&Packet> = stream.iter().filter(|packet| packet.length > 0).collect();
        assert!(data.len() >= 10 && data.iter().step_by(2).all(|packet| packet.from_server), "{data:?}");
        let [ehlo_reply, mail, rcpt, rcpt_reply, dot] = [2, 3, 5, 6, 9].map(|index| data[index].at);
        seen.think.push(mail - ehlo_reply);
        seen.late.push(rcpt_reply - rcpt - DELAY.as_secs_f64());
        let end = stream.iter().find(|packet| packet.ends && !packet.from_server).expect("an end");
        if data.len() == 10 {
            seen.gave_up.push(end.at - dot);
        }
    }
    seen
}

fn compare(what: &str, server: &Durations, mut witness: Vec<f64>) {
    witness.sort_unstable_by(f64::total_cmp);
    assert_eq!(server.count(), witness.len() as u64, "{what}");
    for (share, most) in [(0.5, MEDIAN), (0.99, P99)] {
        let index = ((witness.len() as f64 * share).ceil() as usize).clamp(1, witness.len()) - 1;
        let (own, other) = (server.quantile(share).as_secs_f64(), witness[index]);
        let apart = Duration::from_secs_f64((own - other).abs());
        println!(
            "{what:8} p{:<4} server {:8.3} ms  witness {:8.3} ms  apart {apart:?}",
            share * 100.0,
            own * 1e3,
            other * 1e3
        );
        assert!(apart <= most, "{what}: {apart:?} apart at {share}");
    }
}

#[test]
#[ignore = "a measurement: it asks for an idle machine, tshark and the right to record"]
fn figures_agree_with_an_independent_witness() {
    let config = Config::default().delay(DelayPoint::Rcptto, DELAY);
    let server = start(ruled(config, &["message from=slow@* delay=1h"]));
    let tshark = record(server.port());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/programs/witness.py");
    let status = Command::new("python3")
        .args([script, "127.0.0.1", &server.port().to_string(), &SESSIONS.to_string()])
        .status()
        .expect("python3");
    assert!(status.success());
    let streams = packets(tshark, server.port(), SESSIONS);
    let seen = read(&streams);
    server.stop_within(Duration::ZERO);
    let stats = server.stats();
    compare("think", &stats.stages[Stage::Mail].think, seen.think);
    compare("lateness", &stats.delays.lateness, seen.late);
    compare("gave up", &stats.stages[Stage::Message].gave_up, seen.gave_up);
}
