//! What a server does when descriptors run out, and what junk on the wire does to it.

use std::time::Duration;

use smtpmock::{Config, Server};

use crate::support::client::{Client, PATIENCE, now};
use crate::support::program::Program;

#[test]
fn a_server_without_descriptors_goes_on_when_one_is_free() {
    const DESCRIPTORS: usize = 32;
    let program = Program::start_with_descriptors(DESCRIPTORS, "-shutdownTimeout=-1");
    let mut clients: Vec<_> = (0..DESCRIPTORS * 2).map(|_| Client::connect(program.address())).collect();
    // The kernel connects all of them; those that the server has accepted are greeted, in order.
    let waiting = clients.split_off(DESCRIPTORS);
    let mut greeted = Vec::new();
    for mut client in clients {
        if client.silence(Duration::from_millis(100)).is_ok() {
            break;
        }
        greeted.push(client);
    }
    assert!(!greeted.is_empty() && greeted.len() < DESCRIPTORS, "{} were greeted", greeted.len());
    let start = cpu_time(&program);
    std::thread::sleep(Duration::from_millis(300));
    let spent = cpu_time(&program) - start;
    assert!(spent < Duration::from_millis(50), "spins while it can't accept: {spent:?} in 300 ms");
    drop(greeted);
    for mut client in waiting {
        assert_eq!(client.line(), "220 Welcome");
        client.quit();
    }
    assert!(program.stop().status.success());
}

/// User and system time of a process, from `/proc`.
fn cpu_time(program: &Program) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // Fields 14 and 15 of proc(5), in ticks of a hundredth of a second.
    let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(14) + ticks(15)) * 10)
}

#[test]
fn junk_and_aborts_do_not_hurt_other_sessions() {
    const CLIENTS: u64 = 8;
    const ROUNDS: u64 = 30;
    let server = Server::start(Config::default().shards(2)).unwrap();
    let start = now();
    std::thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                let mut random = seed * 2 + 1;
                for round in 0..ROUNDS {
                    let mut client = Client::connect(server.local_addr());
                    let junk: Vec<u8> = (0..4000)
                        .map(|_| {
                            // A linear congruential generator: the same junk in every run.
                            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            (random >> 33) as u8
                        })
                        .collect();
                    client.send(b"EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n");
                    if round % 2 == 0 {
                        client.send(b"DATA\r\n");
                    }
                    client.send(&junk);
                    // Some leave without reading, which resets the connection; some wait for the end.
                    if round % 3 == 0 {
                        client.half_close();
                        let _ = client.try_rest();
                    }
                }
            });
        }
        for _ in 0..50 {
            let mut client = Client::with_envelope(server.local_addr());
            client.message("among junk\r\n");
            client.quit();
        }
    });
    assert!(start.elapsed() < PATIENCE);
    assert!(server.failure().is_none());
    server.stop();
    let intact = server.messages().iter().filter(|message| message.msg_request() == "among junk\r\n").count();
    assert_eq!(intact, 50);
    let stats = server.stats();
    assert_eq!(stats.sessions_opened, CLIENTS * ROUNDS + 50);
    assert_eq!(stats.sessions_closed, stats.sessions_opened);
}
