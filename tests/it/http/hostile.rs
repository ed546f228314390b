//! Requests that no client sends by mistake, and clients that are slow on purpose.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use smtpmock::{Config, HttpSettings};

use super::mailpit_events;
use crate::programs::clients::note_skipped;
use crate::support::client::Client;
use crate::support::http::{HttpClient, plane, plane_with};
use crate::support::program::start;
use crate::support::waiting::eventually;

/// Shapes that two servers behind each other could take for different requests. Each is followed by a request that must not be
/// answered as if it had been sent on its own.
#[test]
fn what_is_smuggled_is_no_request() {
    let plane = plane(Config::default());
    let second = "DELETE /v1/messages HTTP/1.1\r\nHost: localhost\r\n\r\n";
    Client::greeted(plane.smtp()).deliver("Subject: stays\r\n\r\n");
    let length = second.len();
    for (name, head, status) in [
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), 400),
        ("a list of lengths", format!("Content-Length: 0, {length}\r\n"), 400),
        ("no number", "Content-Length: +0\r\n".to_owned(), 400),
        (
            "a length before chunks",
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            200,
        ),
        (
            "a length behind chunks",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            200,
        ),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n".to_owned(), 200),
        ("not chunked at the end", "Transfer-Encoding: chunked, identity\r\n".to_owned(), 400),
        ("white space before the colon", "Content-Length : 0\r\n".to_owned(), 400),
        ("a folded field", "X-Odd: a\r\n Content-Length: 5\r\n".to_owned(), 400),
        ("a bare CR", "X-Odd: a\rContent-Length: 5\r\n".to_owned(), 400),
        ("a NUL", "X-Odd: a\0b\r\n".to_owned(), 400),
        ("two hosts", "Host: evil.example\r\n".to_owned(), 400),
    ] {
        let mut client = HttpClient::connect(plane.http);
        client.send(format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{head}\r\n0\r\n\r\n{second}"));
        let reply = client.reply().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        // What is behind it is no request: the connection ends.
        assert_eq!(client.rest(), "", "{name}");
    }
    assert_eq!(plane.json("/v1/messages")["total"], 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let plane = plane(Config::default());
    let mut client = HttpClient::connect(plane.http);
    for _ in 0..50 {
        client.begin("GET", "/livez", &[]);
        client.begin("GET", "/none", &[]);
    }
    for _ in 0..50 {
        assert_eq!(client.reply().expect("a reply").status, 200);
        assert_eq!(client.reply().expect("a reply").status, 404);
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let plane = plane(Config::default());
    let long = "x".repeat(40 << 10);
    let mut client = HttpClient::connect(plane.http);
    let _ = client.try_send(format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(matches!(client.reply().map(|reply| reply.status), Ok(414 | 431) | Err(_)));
    let mut client = HttpClient::connect(plane.http);
    let _ = client.try_send(format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"));
    assert!(matches!(client.reply().map(|reply| reply.status), Ok(431) | Err(_)));
    let mut client = HttpClient::connect(plane.http);
    let many = "X-Many: x\r\n".repeat(200);
    let _ = client.try_send(format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"));
    assert!(matches!(client.reply().map(|reply| reply.status), Ok(431) | Err(_)));
    let mut client = HttpClient::connect(plane.http);
    client.begin("DELETE", "/v1/messages", &[("Content-Length", "10000000000")]);
    assert_eq!(client.reply().expect("a reply").reason(413), "too_large");
    let mut client = HttpClient::connect(plane.http);
    client.begin("DELETE", "/v1/messages", &[("Transfer-Encoding", "chunked")]);
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    for _ in 0..3 {
        let _ = client.try_send(&chunk);
    }
    assert!(matches!(client.reply().map(|reply| reply.status), Ok(413) | Err(_)));
    assert_eq!(plane.json("/livez")["status"], "alive");
}

/// Each closes by itself: the test waits for that, and for nothing else.
#[test]
fn slow_clients_are_dropped() {
    let settings = HttpSettings::at("0").request_timeout(Duration::from_millis(200));
    let plane = plane_with(Config::default(), &settings);
    let mut silent = HttpClient::connect(plane.http);
    let mut head = HttpClient::connect(plane.http);
    head.send("GET /livez HTTP/1.1\r\nHost: loc");
    let mut idle = HttpClient::connect(plane.http);
    assert_eq!(idle.request("GET", "/livez", &[]).status, 200);
    let mut body = HttpClient::connect(plane.http);
    body.begin("DELETE", "/v1/messages", &[("Content-Length", "10")]);
    body.send("x");
    assert_eq!(body.reply().expect("a reply").reason(408), "slow_body");
    silent.rest();
    head.rest();
    idle.rest();
}

#[test]
fn idle_connections_make_room_for_new_ones() {
    let plane = plane(Config::default());
    let mut idle: Vec<_> = (0..600).map(|_| HttpClient::connect(plane.http)).collect();
    assert_eq!(plane.json("/livez")["status"], "alive");
    // The first was idle the longest.
    assert_eq!(idle[0].rest(), "");
    let last = idle.last_mut().expect("one");
    assert_eq!(last.request("GET", "/livez", &[]).status, 200);
}

/// So many do not fit: those that have been idle longest make room, and neither descriptors nor memory grow with them.
#[test]
fn two_thousand_idle_connections_hinder_nobody() {
    const CLIENTS: usize = 2000;
    /// Descriptors of this process that other tests may use meanwhile.
    const OF_OTHERS: usize = 1000;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < (CLIENTS + OF_OTHERS) as u64) {
        return note_skipped("two thousand idle connections", "the limit of descriptors is lower");
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit");
    let server = start(["--port", "0", "--http", "0"]);
    let ready: serde_json::Value = serde_json::from_str(&server.ready_line).expect("JSON");
    let http = ready["http"][0].as_str().and_then(|url| url.strip_prefix("http://"));
    let http = http.and_then(|address| address.parse().ok()).expect("an address");
    let mut sender = Client::greeted(server.address());
    sender.command("HELO client.example");
    let mut idle = Vec::new();
    for number in 1..=CLIENTS {
        idle.push(HttpClient::connect(http));
        if number % 100 == 0 {
            let mut client = HttpClient::connect(http);
            assert_eq!(client.request("GET", "/livez", &[]).status, 200, "behind {number}");
            sender.deliver("Subject: meanwhile\r\n\r\n");
        }
    }
    let list = HttpClient::connect(http).request("GET", "/v1/messages?limit=1", &[]).json_as(200);
    assert_eq!(list["total"], CLIENTS / 100);
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process on Linux").count();
    assert!(open < 600, "{open} descriptors");
    idle[..CLIENTS - 600].iter_mut().for_each(|client| assert_eq!(client.rest(), "", "it made room"));
    for client in &mut idle[CLIENTS - 400..] {
        assert_eq!(client.request("GET", "/livez", &[]).status, 200);
    }
}

/// Streams of events are connections that nothing is requested on, but no idle ones.
#[test]
fn streams_of_events_hold_their_connections() {
    const MOST: usize = 512;
    let plane = plane(Config::default());
    let mut sockets: Vec<_> = (0..30).map(|_| mailpit_events::stream(plane.http)).collect();
    let mut streams: Vec<_> = (0..30).map(|_| HttpClient::connect(plane.http)).collect();
    for client in &mut streams {
        client.begin("GET", "/v1/events?types=message", &[]);
        assert_eq!(client.reply().expect("a head").status, 200);
    }
    let mut idle: Vec<_> = (0..MOST).map(|_| HttpClient::connect(plane.http)).collect();
    let held = sockets.len() + streams.len();
    idle[..held].iter_mut().for_each(|client| assert_eq!(client.rest(), ""));
    for client in &mut idle[held..] {
        assert_eq!(client.request("GET", "/livez", &[]).status, 200);
    }
    Client::greeted(plane.smtp()).deliver("Subject: to all\r\n\r\n");
    sockets.iter_mut().for_each(|client| assert_eq!(mailpit_events::change(client).0, "new"));
    streams.iter_mut().for_each(|client| assert_eq!(client.event().name, "message"));
}

/// Those who wait leave room for those who ask whether the server is alive.
#[test]
fn waits_beyond_count_are_refused_and_others_are_answered() {
    const MOST: usize = 448;
    let plane = plane(Config::default());
    let mut waiting: Vec<_> = (0..MOST).map(|_| HttpClient::connect(plane.http)).collect();
    waiting.iter_mut().for_each(|client| client.begin("GET", "/v1/messages/wait?timeout=10m", &[]));
    eventually("a refusal", || plane.get("/v1/messages/wait?timeout=1ms").status == 503);
    assert_eq!(plane.get("/v1/messages/wait?timeout=1ms").reason(503), "too_many_waits");
    let _idle: Vec<_> = (0..100).map(|_| HttpClient::connect(plane.http)).collect();
    for path in ["/livez", "/readyz", "/v1/messages"] {
        assert_eq!(plane.get(path).status, 200, "{path}");
    }
    Client::greeted(plane.smtp()).deliver("Subject: enough\r\n\r\n");
    for client in &mut waiting {
        assert_eq!(client.reply().expect("a reply").json_as(200)["total"], 1);
    }
    assert_eq!(plane.get("/v1/messages/wait?timeout=1ms").status, 200);
}

/// Replies that nobody reads are bounded all together. Who asks is answered: those that have been unread longest make room.
#[test]
fn replies_that_nobody_reads_take_a_bounded_part_of_the_memory_and_make_room() {
    /// Of 10 MB in 256 MiB, of which 16 MiB must be free before one is made.
    const MOST: usize = 26;
    let plane = plane(Config::default());
    let large = format!("Subject: large\r\n\r\n{}", format!("{}\r\n", "x".repeat(998)).repeat(10_000));
    Client::greeted(plane.smtp()).deliver(&large);
    let id = plane.json("/v1/messages")["messages"][0]["id"].as_str().expect("an id").to_owned();
    let mut unread: Vec<_> = (0..MOST + 4).map(|_| HttpClient::connect(plane.http)).collect();
    for client in &mut unread {
        client.begin("GET", &format!("/v1/messages/{id}/raw"), &[]);
    }
    eventually("the last reply", || unread.last().expect("one").peeked().starts_with(b"HTTP/1.1 200"));
    for path in ["/v1/messages", "/livez", "/readyz"] {
        assert_eq!(plane.get(path).status, 200, "{path}");
    }
    Client::greeted(plane.smtp()).deliver("Subject: small\r\n\r\n");
    // One of the first has begun, and has no end. Which of them was begun first is the workers' choice.
    let mut rests = unread.iter_mut().map(|client| client.rest_within(Duration::from_secs(1)));
    assert!(rests.any(|rest| rest.len() < large.len()));
}

#[test]
fn a_mail_of_any_octets_is_shown() {
    let plane = plane(Config::default());
    let mut client = Client::with_envelope(plane.smtp());
    client.data();
    let mut text =
        b"Subject: \xff\xfe\r\nContent-Type: multipart/mixed; boundary=\"\r\n\0\x1b[2J\r\n--\r\n".to_vec();
    text.extend((0..=255_u8).filter(|octet| !b"\r\n".contains(octet)));
    text.extend(b"\r\n.\r\n");
    client.send(&text);
    assert_eq!(client.reply(), "250 Received");
    let id = plane.json("/v1/messages")["messages"][0]["id"].as_str().expect("an id").to_owned();
    for path in ["", "/raw", "/links", "/codes"] {
        assert_eq!(plane.get(&format!("/v1/messages/{id}{path}")).status, 200, "{path}");
    }
}
