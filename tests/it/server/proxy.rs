//! Headers of the PROXY protocol: whose address a session has, and which connections have no session.

use std::time::Duration;

use smtpmock::smtp::rules::{Cidr, Trusted};
use smtpmock::stats::ProxyStats;
use smtpmock::{Config, Endpoint, OverLimit, Server, Stats};

use crate::support::client::{Client, MESSAGE};
use crate::support::figures::{after_sessions, once};
use crate::support::logger::{Recorder, To};
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

/// A header of version 1 for a client at this address.
fn v1(client: &str) -> String {
    format!("PROXY TCP4 {client} 198.51.100.1 4711 25\r\n")
}

/// A header of version 2 with this command, this family and these octets behind.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("short");
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length.to_be_bytes(), block].concat()
}

const FROM_192_0_2_7: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 25];

/// A configuration with one listener of this mode, where connections of this machine are trusted.
fn proxied(mode: &str) -> Config {
    let loopback: Cidr = "127.0.0.0/8".parse().expect("a network");
    Config::default().listen(format!("smtp://127.0.0.1?proxy={mode}")).trust(loopback)
}

/// A client behind a proxy, greeted.
fn from(server: &Server, header: impl AsRef<[u8]>) -> Client {
    let mut client = Client::connect(server.local_addr());
    client.send(header);
    assert_eq!(client.reply(), "220 Welcome");
    client
}

/// Asserts that the connection ends without a word; the server may not have read all that was sent.
fn ends(client: &mut Client) {
    assert_eq!(client.end().0, "");
}

/// The replies up to the end of the connection.
fn replies(client: &mut Client) -> String {
    client.rest().trim_end().replace("\r\n", "|")
}

/// Sends this on a new connection, and asserts that it is closed without a word.
fn is_closed(server: &Server, octets: impl AsRef<[u8]>) {
    let mut client = Client::connect(server.local_addr());
    let _ = client.try_send(octets);
    ends(&mut client);
}

fn proxy_figures(stats: &Stats) -> [u64; 5] {
    let ProxyStats { headers, malformed, late, untrusted, broken_off, .. } = stats.proxy;
    [headers, malformed, late, untrusted, broken_off]
}

#[test]
fn the_address_of_a_session_is_that_of_its_header() {
    let server = start(ruled(proxied("require"), &[r#"noop ip=192.0.2.0/24 reply="250 from there""#]));
    let inet = |text: &str| Endpoint::from(text.parse::<std::net::SocketAddr>().expect("an address"));
    let v6 = "PROXY TCP6 2001:db8::7 2001:DB8:0:0:0:0:0:1 4711 25\r\n";
    let mapped = "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 4711 25\r\n";
    let paths = |source: &str, destination: &str| {
        let padded = |path: &str| [path.as_bytes(), &vec![0; 108 - path.len()]].concat();
        v2(1, 0x31, &[padded(source), padded(destination)].concat())
    };
    let unix = |path: Option<&str>| Endpoint::Unix(path.map(|path| std::path::Path::new(path).into()));
    let there = inet("198.51.100.1:25");
    let headers: [(Vec<u8>, Endpoint, Endpoint, bool); 6] = [
        (v1("192.0.2.7").into(), inet("192.0.2.7:4711"), there.clone(), true),
        (mapped.into(), inet("192.0.2.7:4711"), there.clone(), true),
        (v6.into(), inet("[2001:db8::7]:4711"), inet("[2001:db8::1]:25"), false),
        (v2(1, 0x11, FROM_192_0_2_7), inet("192.0.2.7:4711"), there, true),
        (paths("/run/client", "/run/there"), unix(Some("/run/client")), unix(Some("/run/there")), false),
        (paths("", "/run/there"), unix(None), unix(Some("/run/there")), false),
    ];
    let mut messages = 0;
    for (header, peer, local, has_network) in headers {
        let mut client = from(&server, &header);
        let proxy = Endpoint::from(client.local_addr());
        client.expect("NOOP", if has_network { "250 from there" } else { "250 Ok" });
        client.deliver(MESSAGE);
        client.quit();
        messages += 1;
        let records = server.wait_for_messages(messages, PATIENCE).expect("a message");
        let record = records.last().expect("one");
        assert_eq!((record.peer_addr(), record.local_addr()), (&peer, &local));
        assert_eq!(record.proxy_addr(), Some(&proxy));
    }
    let stats = after_sessions(&server, messages as u64);
    assert_eq!(proxy_figures(&stats), [6, 0, 0, 0, 0]);
    assert_eq!((stats.sessions.early_talkers, stats.sessions.quit), (0, 6));
    assert_eq!(stats.findings(), []);
}

#[test]
fn a_header_that_names_no_client_leaves_the_addresses_of_the_connection() {
    let server = start(proxied("require"));
    let headers: [Vec<u8>; 5] = [
        b"PROXY UNKNOWN\r\n".into(),
        b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n".into(),
        v2(0, 0x00, b""),
        v2(0, 0x11, FROM_192_0_2_7),
        v2(1, 0x00, b"anything"),
    ];
    for (nth, header) in headers.iter().enumerate() {
        let mut client = from(&server, header);
        client.ehlo();
        client.deliver(MESSAGE);
        let record = &server.wait_for_messages(nth + 1, PATIENCE).expect("a message")[nth];
        assert_eq!(record.peer_addr(), &Endpoint::from(client.local_addr()));
        assert_eq!(record.proxy_addr(), None);
    }
}

#[test]
fn what_follows_a_header_belongs_to_smtp_however_it_is_cut() {
    let server = start(proxied("require"));
    let dialogue = "EHLO a.example\r\nNOOP\r\nQUIT\r\n";
    let headers = [v1("192.0.2.7").into_bytes(), v2(1, 0x11, FROM_192_0_2_7)];
    let mut sessions = 0;
    for header in headers {
        let input = [&header[..], dialogue.as_bytes()].concat();
        for cut in [1, 5, 6, 12, 13, 16, 27, header.len() - 1, header.len(), header.len() + 3] {
            let mut client = Client::connect(server.local_addr());
            client.send(&input[..cut]);
            // The server may or may not have read the front when the rest comes: both must do.
            std::thread::yield_now();
            client.send(&input[cut..]);
            assert_eq!(replies(&mut client), "220 Welcome|250 Received|250 Ok|221 Closing connection");
            sessions += 1;
        }
    }
    let stats = after_sessions(&server, sessions);
    assert_eq!(proxy_figures(&stats), [sessions, 0, 0, 0, 0]);
    assert_eq!(stats.sessions.quit, sessions);
}

#[test]
fn bad_headers_are_closed_counted_and_logged_once() {
    let log = Recorder::default();
    let server = start(proxied("require").logger(To(log.clone())));
    is_closed(&server, "PROXY TCP5 a b 1 2\r\n");
    is_closed(&server, "PROXY TCP4 192.0.2.1 192.0.2.300 1 2\r\n");
    is_closed(&server, v2(2, 0x11, FROM_192_0_2_7));
    is_closed(&server, "EHLO client.example\r\n");
    is_closed(&server, vec![b'x'; 100_000]);
    let stats = once(&server, |stats| stats.proxy.malformed == 5);
    assert_eq!(proxy_figures(&stats), [0, 5, 0, 0, 0]);
    assert_eq!((stats.sessions.opened, stats.sessions.closed), (0, 0));
    // A connection is closed before it has sent anything, or a whole header.
    drop(Client::connect(server.local_addr()));
    let mut client = Client::connect(server.local_addr());
    client.send("PROXY TCP4");
    drop(client);
    once(&server, |stats| stats.proxy.broken_off == 2);
    from(&server, v1("192.0.2.7")).quit();
    assert_eq!(after_sessions(&server, 1).sessions.quit, 1, "it serves others");
    server.stop();
    assert_eq!(log.count("PROXY header refused"), 1, "{:?}", log.lines());
    assert_eq!(log.count("an unknown protocol, expected TCP4, TCP6 or UNKNOWN"), 1);
    assert_eq!(log.count("SMTP session started"), 1);
}

#[test]
fn a_connection_without_a_header_does_not_last() {
    let config = proxied("require").session_timeout(Duration::from_millis(600));
    let server = start(config);
    is_closed(&server, "");
    is_closed(&server, "PROXY TCP4 ");
    let stats = once(&server, |stats| stats.proxy.late == 2);
    assert_eq!(proxy_figures(&stats), [0, 0, 2, 0, 0]);
    assert_eq!(stats.sessions.opened, 0);
}

#[test]
fn nobody_is_trusted_unless_configured() {
    let log = Recorder::default();
    let config = Config::default().listen("smtp://127.0.0.1?proxy=require").logger(To(log.clone()));
    let config = config.listen("smtp://127.0.0.2?proxy=accept");
    let server = start(config.trust("10.0.0.0/8".parse::<Cidr>().expect("a network")).trust(Trusted::Unix));
    is_closed(&server, v1("192.0.2.7"));
    is_closed(&server, v1("192.0.2.7"));
    let stats = once(&server, |stats| stats.proxy.untrusted == 2);
    assert_eq!(proxy_figures(&stats), [0, 0, 0, 2, 0]);
    // Where a header is not required it is an unknown command of others, who are greeted at once.
    let mut client = Client::greeted(server.local_addrs()[1]);
    client.send(v1("192.0.2.7"));
    assert!(client.reply().starts_with("502 "));
    client.ehlo();
    client.deliver(MESSAGE);
    let record = server.wait_for_messages(1, PATIENCE).expect("a message").remove(0);
    assert_eq!(record.peer_addr(), &Endpoint::from(client.local_addr()));
    server.stop();
    assert_eq!(log.count("the peer is not trusted"), 1, "{:?}", log.lines());
}

#[test]
fn where_headers_are_accepted_a_client_without_one_is_greeted_all_the_same() {
    let server = start(proxied("accept"));
    from(&server, v1("192.0.2.7")).quit();
    from(&server, v2(1, 0x11, FROM_192_0_2_7)).quit();
    // It waits for the greeting.
    Client::greeted(server.local_addr()).quit();
    // It does not.
    let mut early = Client::connect(server.local_addr());
    early.send("EHLO a.example\r\nQUIT\r\n");
    assert_eq!(replies(&mut early), "220 Welcome|250 Received|221 Closing connection");
    drop(Client::connect(server.local_addr()));
    let stats = after_sessions(&server, 5);
    assert_eq!(proxy_figures(&stats), [2, 0, 0, 0, 0]);
    assert_eq!((stats.sessions.quit, stats.sessions.silent, stats.sessions.early_talkers), (4, 1, 1));
    is_closed(&server, "PROXY\r\n");
    once(&server, |stats| stats.proxy.malformed == 1);
}

#[test]
fn a_header_behind_the_greeting_ends_the_session() {
    let log = Recorder::default();
    let server = start(proxied("accept").logger(To(log.clone())));
    for header in [v1("192.0.2.7").into_bytes(), v2(1, 0x11, FROM_192_0_2_7)] {
        let mut client = Client::greeted(server.local_addr());
        client.send([&header[..], b"NOOP\r\n"].concat());
        ends(&mut client);
    }
    let stats = after_sessions(&server, 2);
    assert_eq!((stats.proxy.late, stats.sessions.dismissed), (2, 2));
    assert_eq!(log.count("it came behind the greeting"), 1, "{:?}", log.lines());
    // As a later command it is one.
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    assert!(client.command("PROXY TCP4 192.0.2.7 192.0.2.8 1 2").starts_with("502 "));
}

#[test]
fn limits_are_those_of_the_client_behind_the_proxy() {
    for over_limit in [OverLimit::Refuse, OverLimit::Backlog] {
        let config = proxied("require").max_sessions(50).max_sessions_per_ip(1).over_limit(over_limit);
        let server = start(config);
        let first = from(&server, v1("192.0.2.1"));
        let other = from(&server, v1("192.0.2.2"));
        let mut again = Client::connect(server.local_addr());
        again.send(v1("192.0.2.1"));
        assert!(again.reply().starts_with("421 "), "{over_limit:?}");
        ends(&mut again);
        first.quit();
        once(&server, |stats| stats.sessions.quit == 1);
        from(&server, v1("192.0.2.1")).quit();
        other.quit();
    }
}

#[test]
fn a_connection_without_a_session_takes_no_place_of_a_session() {
    let server = start(proxied("require").max_sessions(1));
    let mut waiting = Client::connect(server.local_addr());
    waiting.send("PROXY TCP4 ");
    let first = from(&server, v1("192.0.2.1"));
    waiting.send("192.0.2.2 192.0.2.3 1 2\r\n");
    assert!(waiting.reply().starts_with("421 "), "two are too many");
    first.quit();
    once(&server, |stats| stats.sessions.closed == 2);
    from(&server, v1("192.0.2.3")).quit();
}

#[test]
fn a_stop_does_not_wait_for_headers() {
    let server = start(proxied("require").shutdown_timeout(PATIENCE));
    let mut client = Client::connect(server.local_addr());
    client.send("PROXY ");
    let mut silent = Client::connect(server.local_addr());
    let mut whole = Client::connect(server.local_addr());
    whole.send(v1("192.0.2.7"));
    assert_eq!(whole.reply(), "220 Welcome");
    server.stop();
    ends(&mut client);
    ends(&mut silent);
    assert!(whole.reply().starts_with("421 "));
    assert_eq!(proxy_figures(&server.stats()), [1, 0, 0, 0, 0]);
}

#[test]
fn trust_can_change_while_the_server_runs() {
    let server = start(proxied("require"));
    from(&server, v1("192.0.2.7")).quit();
    server.reconfigure(smtpmock::Settings::without_trust).expect("valid");
    is_closed(&server, v1("192.0.2.7"));
    once(&server, |stats| stats.proxy.untrusted == 1);
}

#[test]
fn ten_thousand_senders_are_told_apart_by_rules() {
    const SENDERS: u32 = 10_000;
    const THREADS: u32 = 4;
    // A Unix socket: all ports of this machine together would hardly do.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock");
    let config = Config::default().listen(format!("smtp+unix://{}?proxy=require", path.display()));
    let config = config.trust(Trusted::Unix).keep_records(false).shards(2).max_sessions_per_ip(1);
    let greylist = r#"rcpt per=ip times=1 reply="451 4.7.1 Greylisted""#;
    let others = r#"helo ip=10.0.32.0/20 reply="250 from there""#;
    let server = start(ruled(config, &[greylist, others]));
    let send = |sender: u32| {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + sender);
        let mut client = Client::connect_at(&path);
        let header = v1(&address.to_string());
        let dialogue = "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<b@b.example>\r\nQUIT\r\n";
        client.send(header + dialogue);
        let helo = if (8192..12288).contains(&sender) { "250 from there" } else { "250 Received" };
        let expected = format!(
            "220 Welcome|{helo}|250 Received|451 4.7.1 Greylisted|250 Received|221 Closing connection"
        );
        assert_eq!(replies(&mut client), expected, "{address}");
    };
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let own = (0..SENDERS).skip(first as usize).step_by(THREADS as usize);
            scope.spawn(move || own.for_each(send));
        }
    });
    let stats = after_sessions(&server, SENDERS.into());
    assert_eq!((stats.proxy.headers, stats.sessions.quit), (SENDERS.into(), SENDERS.into()));
    let counts: Vec<_> = stats.rules.iter().map(|rule| (rule.reached, rule.fired)).collect();
    assert_eq!(counts[..2], [(20_000, 10_000), (1808, 1808)]);
}
