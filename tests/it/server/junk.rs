//! Junk on the wire and clients that leave do not affect other sessions.

use smtpmock::Config;

use crate::support::client::Client;
use crate::support::server::start;
use crate::support::waiting::{PATIENCE, now};

#[test]
fn junk_and_aborts_do_not_affect_other_sessions() {
    const CLIENTS: u64 = 8;
    const ROUNDS: u64 = 30;
    let server = start(Config::default().shards(2));
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
    assert_eq!(stats.sessions.opened, CLIENTS * ROUNDS + 50);
    assert_eq!(stats.sessions.closed, stats.sessions.opened);
}
