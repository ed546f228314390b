//! Determinism for a seed, distributions as the client measures them, and the lateness of delays.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use smtpmock::{Config, Server};

use crate::support::client::Client;
use crate::support::normal::normal;
use crate::support::server::{ruled, start};

const ODDS: &str = r#"noop odds=30% reply="451 by chance""#;
const ANOTHER: &str = r#"rset odds=50% reply="452 another""#;

/// The output of some sessions.
fn run(rules: &[&str], seed: u64) -> Vec<String> {
    let server = start(ruled(Config::default().seed(seed), rules));
    assert_eq!((server.seed(), server.stats().seed), (seed, seed));
    let session = |_| {
        let mut client = Client::greeted(server.local_addr());
        client.ehlo();
        (0..10).map(|n| client.command(if n % 3 == 2 { "RSET" } else { "NOOP" })).collect::<Vec<_>>()
    };
    (0..10).flat_map(session).collect()
}

/// The replies to NOOP in an output.
fn noops(heard: &[String]) -> Vec<&String> {
    heard.iter().enumerate().filter(|(n, _)| n % 10 % 3 != 2).map(|(_, reply)| reply).collect()
}

#[test]
fn the_same_seed_repeats_a_run() {
    assert_eq!(run(&[ODDS, ANOTHER], 42), run(&[ODDS, ANOTHER], 42));
    assert_ne!(run(&[ODDS, ANOTHER], 42), run(&[ODDS, ANOTHER], 43));
}

#[test]
fn an_added_rule_does_not_change_the_draws_of_others() {
    let (alone, behind, before) = (run(&[ODDS], 42), run(&[ODDS, ANOTHER], 42), run(&[ANOTHER, ODDS], 42));
    assert_eq!(noops(&alone), noops(&behind));
    assert_eq!(noops(&alone), noops(&before));
    assert_ne!(alone, behind, "the other rule had no effect");
}

#[test]
fn without_a_seed_there_is_a_random_one() {
    let seeds: Vec<_> = (0..20).map(|_| start(Config::default()).seed()).collect();
    assert_ne!(seeds[0], seeds[1]);
    // Most JSON parsers would not represent a larger one exactly.
    assert!(seeds.iter().all(|seed| *seed < 1 << 53 && *seed as f64 as u64 == *seed), "{seeds:?}");
    assert!(seeds.iter().any(|seed| *seed > 1 << 40), "{seeds:?}");
}

/// The durations of `count` NOOPs as the client measures them, in seconds and in ascending order, and the largest time that
/// the server, the wire and the machine added to a reply. Several clients share the work, so that it takes less time.
fn delays_over_the_wire(delay: &str, count: usize) -> (Vec<f64>, f64) {
    const CLIENTS: usize = 10;
    let server = start(ruled(Config::default().seed(9), &[&format!("noop delay={delay}")]));
    let address = server.local_addr();
    let client = |_| {
        thread::spawn(move || {
            let mut client = Client::greeted(address);
            let timed = |_| (client.timed("NOOP").1.as_secs_f64(), client.timed("RSET").1.as_secs_f64());
            (0..count / CLIENTS).map(timed).collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = (0..CLIENTS).map(client).collect();
    let timed: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect();
    let (mut delays, undelayed): (Vec<_>, Vec<_>) = timed.into_iter().unzip();
    let stats = server.stats().delays;
    assert_eq!(stats.early, 0);
    delays.sort_by(f64::total_cmp);
    (delays, stats.lateness.max().as_secs_f64() + undelayed.into_iter().fold(0.0, f64::max))
}

/// The Kolmogorov-Smirnov test against the configured distribution. The wire and a busy machine make samples late but never
/// early. So one side is tested exactly; on the other side samples may be late by `slack` seconds and the largest addition of
/// this run.
fn assert_follows(delay: &str, slack: f64, distribution: impl Fn(f64) -> f64) {
    let (samples, added) = delays_over_the_wire(delay, 400);
    let slack = slack + added;
    let count = samples.len() as f64;
    let bound = 1.63 / count.sqrt();
    for (index, &sample) in samples.iter().enumerate() {
        let share = (index as f64 + 1.0) / count;
        assert!(share - distribution(sample) < bound, "{delay}: too many below {sample}");
        let share = index as f64 / count;
        assert!(distribution(sample - slack) - share < bound, "{delay}: too few below {sample}");
    }
}

#[test]
fn a_uniform_stays_uniform_over_the_wire() {
    assert_follows("10ms..110ms", 0.015, |x| ((x - 0.01) / 0.1).clamp(0.0, 1.0));
}

#[test]
fn an_exponential_stays_exponential_over_the_wire() {
    assert_follows("exp(40ms)", 0.015, |x| if x < 0.0 { 0.0 } else { 1.0 - (-x / 0.04).exp() });
}

#[test]
fn a_lognormal_stays_lognormal_over_the_wire() {
    let sigma = 5.0_f64.ln() / 2.326_347_874;
    assert_follows("lognormal(p50=30ms,p99=150ms)", 0.015, |x| {
        if x <= 0.0 { 0.0 } else { normal((x / 0.03).ln() / sigma) }
    });
}

/// Sends NOOP in many sessions, as close together as possible, and reads all replies.
fn wait_together(address: SocketAddr, sessions: usize) {
    let mut clients: Vec<_> = (0..sessions).map(|_| Client::greeted(address)).collect();
    clients.iter_mut().for_each(|client| client.send("NOOP\r\n"));
    for client in &mut clients {
        assert_eq!(client.reply(), "250 Ok");
    }
}

fn waiting_server(delay: &str) -> Server {
    start(ruled(Config::default().seed(1).keep_records(false), &[&format!("noop delay={delay}")]))
}

#[test]
fn no_delay_is_early_and_each_is_measured() {
    let server = waiting_server("50ms..450ms");
    wait_together(server.local_addr(), 300);
    let delays = server.stats().delays;
    assert_eq!((delays.told.count(), delays.achieved.count(), delays.lateness.count()), (300, 300, 300));
    assert_eq!(delays.early, 0);
    assert!(delays.told.max() <= Duration::from_millis(451), "{delays:?}");
    assert!(delays.told.max() >= Duration::from_millis(400), "{delays:?}");
    assert!(delays.achieved.max() >= delays.told.max(), "{delays:?}");
}

/// The client of [`lateness_of_ten_thousand_delays`], in a process with its own descriptors.
const CLIENT_OF: &str = "SMTPMOCK_TEST_CLIENT_OF";

/// Run with `cargo test --release --test it -- --ignored --nocapture lateness`.
#[test]
#[ignore = "a measurement: it asks for an idle machine and 10,100 file descriptors"]
fn lateness_of_ten_thousand_delays() {
    const SESSIONS: usize = 10_000;
    if let Some(address) = std::env::var_os(CLIENT_OF) {
        let address = address.to_str().and_then(|address| address.parse().ok()).expect("an address");
        return wait_together(address, SESSIONS);
    }
    // Spread over six seconds, or as close together as one client can send.
    for delay in ["4s..10s", "6s"] {
        let server = waiting_server(delay);
        let client = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "chance::lateness_of_ten_thousand_delays"])
            .env(CLIENT_OF, server.local_addr().to_string())
            .status()
            .expect("a client");
        assert!(client.success());
        let stats = server.stats();
        let delays = &stats.delays;
        let within = delays.lateness.share_within(Duration::from_millis(2));
        println!("{delay}: {delays:?}\nwithin 2 ms: {:.3} %, {:?}", within * 100.0, stats.degraded());
        assert_eq!((delays.told.count(), delays.early), (SESSIONS as u64, 0));
        assert!(delay == "6s" || within >= 0.99, "{within}");
    }
}
