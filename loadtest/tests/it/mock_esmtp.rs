//! End to end with the server of this repository: extensions, LMTP, AUTH, sockets, PROXY headers.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::mock::Mock;
use crate::support::Load;
use crate::support::files::path;
use crate::support::program::plain;

#[test]
fn chunks_arrive_as_they_were_sent() {
    for flags in ["--chunk-size 700", "--chunk-size 700 --pipelining", "--pipelining"] {
        let mock = Mock::start(&["--esmtp"]);
        let load = "-c 4 --count 300 --chunking --size 10..20KiB --rcpts 2 --messages-per-session 9 ";
        let outcome = mock.load_at("smtp", &format!("{load}{flags}")).expect(0);
        assert_eq!(
            (outcome.count("accepted"), outcome.number("/verification/intact")),
            (300, 300),
            "{flags}"
        );
        assert_eq!(outcome.number("/sessions/without_chunking"), 0);
        assert_eq!(outcome.number("/latency/data/ok/count"), 0);
    }
}

#[test]
fn what_is_refused_in_chunks_and_groups_is_counted_alike_on_both_sides() {
    let rules = [
        "mail odds=10% reply=\"451 4.3.0 x\"",
        "rcpt odds=10% reply=\"550 5.1.1 x\"",
        "bdat odds=3% reply=\"452 4.3.1 x\"",
        "message odds=10% reply=\"554 5.6.0 x\"",
    ];
    let mut args = vec!["--esmtp", "--seed=7"];
    rules.iter().for_each(|rule| args.extend(["--rule", rule]));
    let mock = Mock::start(&args);
    let outcome = mock
        .load_at("smtp", "-c 4 --count 600 --chunking --chunk-size 400 --size 2KiB --pipelining")
        .expect(0);
    assert_eq!(outcome.number("/verification/unexpected/count"), 0);
    let phases = ["mail", "rcpt", "bdat", "dot"];
    let rows = outcome.report["accounting"]["measured"]["refused_by"].as_array().cloned().expect("a list");
    let of = |phase: &str| -> u64 {
        rows.iter().filter(|row| row["phase"] == phase).filter_map(|row| row["count"].as_u64()).sum()
    };
    assert!(phases.iter().all(|phase| of(phase) > 0), "{rows:?}");
    let report = mock.report();
    assert_eq!(report["metrics"]["messages"].as_u64(), Some(outcome.count("accepted")));
    // The rule is asked about recipients behind a refused MAIL as well.
    assert!(report["refused"]["rcpt"]["550"].as_u64() >= Some(of("rcpt")));
    assert_eq!(report["refused"]["mail"]["451"].as_u64(), Some(of("mail")), "{}", report["refused"]);
}

#[test]
fn lmtp_recipients_are_counted_alike_on_both_sides() {
    for flags in ["", "--pipelining", "--chunking --chunk-size 500 --pipelining"] {
        let args = ["--listen", "lmtp://127.0.0.1", "--rule", "message to=user1@* reply=\"452 4.2.2 Full\""];
        let mock = Mock::start(&args);
        let load = "-c 3 --count 90 --lmtp --rcpts 3 --size 2KiB ";
        let outcome = mock.load_at("lmtp", &format!("{load}{flags}")).expect(0);
        assert_eq!((outcome.count("accepted"), outcome.count("recipients_accepted")), (90, 180), "{flags}");
        assert_eq!(outcome.number("/accounting/measured/recipients_refused/0/count"), 90);
        assert_eq!(outcome.number("/verification/intact"), 90);
        assert!(outcome.report["verification"]["lost"]["count"] == 0);
    }
}

#[test]
fn every_mechanism_authenticates() {
    for mechanism in
        ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", ""]
    {
        let takes_token = mechanism.contains("OAUTH");
        let flags = if takes_token { ["--auth-token", "s@cret"] } else { ["--auth", "ann:s@cret"] };
        let mock = Mock::start(&[flags[0], flags[1], "--auth-required"]);
        let named = if mechanism.is_empty() { String::new() } else { format!("@{mechanism}") };
        let load = |count: u64, password: &str| {
            let load = format!("-c 2 --count {count} --messages-per-session 5 --auth ann:{password}{named}");
            mock.load_at("smtp", &load)
        };
        let outcome = load(20, "s@cret").expect(0);
        let used = if mechanism.is_empty() { "SCRAM-SHA-256" } else { mechanism };
        assert!(outcome.number(&format!("/sessions/authenticated/{used}")) >= 4, "{mechanism}");
        let records = mock.records();
        assert!(records.iter().all(|record| record["auth_mechanism"] == used), "{mechanism}");
        let outcome = load(2, "wr@ng");
        outcome.check_sum();
        outcome.code_is(1);
        let row = &outcome.report["accounting"]["measured"]["refused_by_enhanced"][0];
        assert_eq!(
            (row["phase"].as_str(), row["enhanced"].as_str()),
            (Some("auth"), Some("5.7.8")),
            "{mechanism}"
        );
    }
}

#[test]
fn a_unix_socket_is_a_target() {
    for (scheme, kind, flags) in [("smtp", "smtp", ""), ("lmtp", "lmtp", "--lmtp --pipelining")] {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = path(&folder, "mock.sock");
        let mock = Mock::start_in(folder, &["--listen", &format!("{scheme}+unix://{socket}")]);
        let load = "-c 64 --count 2000 --messages-per-session 3 --threads 2 ";
        let outcome = mock.load_at(kind, &format!("{load}{flags}")).expect(0);
        assert_eq!((outcome.count("accepted"), outcome.number("/verification/intact")), (2000, 2000));
        let address = &outcome.report["addresses"][0];
        assert_eq!(address["address"], format!("unix:{socket}"));
        assert_eq!(address["connected"], outcome.report["sessions"]["dialed"]);
    }
    let outcome = plain(&["unix:/nowhere/mock.sock", "--count", "1", "-c", "1"]);
    outcome.code_is(1);
    assert!(outcome.stderr.contains("no such socket"), "{}", outcome.stderr);
}

#[test]
#[cfg(target_os = "linux")] // elsewhere a full queue refuses connections
fn a_full_queue_of_a_unix_socket_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = path(&folder, "full.sock");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    listener.bind(&SockAddr::unix(&socket).expect("a path")).expect("a free path");
    listener.listen(0).expect("a listener");
    let load = "-c 4 --count 4 --timeout connect=300ms,banner=300ms";
    let outcome = Load::at(&format!("unix:{socket}")).with(load).run().expect(1);
    let rows = outcome.report["accounting"]["measured"]["timed_out_by"].as_array().cloned().expect("a list");
    let phases: Vec<&str> = rows.iter().filter_map(|row| row["phase"].as_str()).collect();
    assert_eq!((phases, outcome.count("timed_out")), (vec!["connect", "banner"], 4));
}

fn v6(last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into())
}

#[test]
fn each_session_is_another_client_behind_a_proxy_header() {
    let mock = Mock::start(&["--listen", "smtp://127.0.0.1:0?proxy=require", "--trust", "127.0.0.1"]);
    for range in ["10.1.0.0/24", "2001:db8::/120"] {
        let load = "-c 4 --threads 2 --count 100 --messages-per-session 1 --proxy-protocol ";
        let outcome = mock.load_at("smtp", &format!("{load}{range}"));
        assert_eq!(outcome.count("accepted"), 100, "{}", outcome.stderr);
        assert_eq!(outcome.report["settings"]["clients"], range);
    }
    let records = mock.records();
    let clients: HashSet<&str> = records.iter().filter_map(|record| record["peer_addr"].as_str()).collect();
    let hosts: HashSet<IpAddr> =
        clients.iter().filter_map(|one| Some(one.parse::<SocketAddr>().ok()?.ip())).collect();
    let first = |number: u8| [Ipv4Addr::new(10, 1, 0, number).into(), v6(number).into()];
    let expected: HashSet<IpAddr> = (0..100).flat_map(first).collect();
    assert_eq!((records.len(), hosts), (200, expected), "in turn, whatever the thread");
}

#[test]
fn parameters_and_utf8_are_accepted() {
    let mock = Mock::start(&["--esmtp", "--addresses", "rfc5321"]);
    let outcome = mock.load_at("smtp", "-c 2 --count 40 --smtputf8 --dsn --rcpts 2 --pipelining").expect(0);
    assert_eq!((outcome.count("accepted"), outcome.number("/verification/intact")), (40, 40));
    let record = &mock.records()[0];
    let mail = record["mailfrom_request"].as_str().expect("a command");
    for parameter in ["SIZE=", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID="] {
        assert!(mail.contains(parameter), "{mail}");
    }
    let mock = Mock::start(&["--rule", "helo times=1 reply=\"502 x\""]);
    let outcome = mock.load_at("smtp", "-c 1 --count 2").expect(0);
    assert_eq!(outcome.number("/sessions/without_ehlo"), 1);
}
