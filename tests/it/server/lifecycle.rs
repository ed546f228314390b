//! Starting, listening, delays, timeouts and stopping.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use smtpmock::smtp::DelayPoint;
use smtpmock::smtp::rules::MAX_DURATION;
use smtpmock::{Config, Server, StartError, StopOutcome};

use crate::support::client::Client;
use crate::support::figures::after_sessions;
use crate::support::server::{has_ipv6, start, until_refused};
use crate::support::waiting::{PATIENCE, now, until};

const CLOSING: &str = "421 Service closing transmission channel";

#[test]
fn a_server_listens_on_every_host() {
    let mut hosts = vec!["127.0.0.1", "127.0.0.2"];
    if has_ipv6() {
        hosts.push("[::1]");
    }
    for shards in [1, 2] {
        let server = start(Config::default().hosts(hosts.clone()).shards(shards));
        assert_eq!(server.local_addrs().len(), hosts.len());
        for (index, address) in server.local_addrs().iter().enumerate() {
            let mut client = Client::with_envelope(*address);
            client.message("x\r\n");
            client.quit();
            let messages = server.messages();
            assert_eq!(messages.len(), index + 1);
            assert_eq!(messages[index].peer_addr().ip().map(|ip| ip.is_ipv6()), Some(address.is_ipv6()));
            let literal = if address.is_ipv6() { "[IPv6:::1]" } else { "[127.0.0." };
            assert!(
                String::from_utf8(messages[index].content())
                    .unwrap()
                    .contains(&format!("by smtpmock ({literal}"))
            );
        }
    }
}

#[test]
fn one_port_is_used_on_every_host() {
    let server = start(Config::default());
    let port = server.port();
    server.stop();
    let server = start(Config::default().hosts(["127.0.0.1", "127.0.0.2"]).port(port));
    assert!(server.local_addrs().iter().all(|address| address.port() == port));
    assert_eq!(server.port(), port);
}

#[test]
fn an_error_names_an_address_in_use() {
    let server = start(Config::default());
    let error = Server::start(Config::default().port(server.port())).unwrap_err();
    assert!(
        matches!(error, StartError::AddressInUse(address) if address == server.local_addr()),
        "{error:?}"
    );
    assert!(error.to_string().contains("in use"), "{error}");
}

#[test]
fn an_error_names_an_address_of_another_machine_and_no_listener_is_left() {
    let (port, error) = loop {
        let free = start(Config::default());
        let port = free.port();
        free.stop();
        let config = Config::default().hosts(["127.0.0.1", "192.0.2.1"]).port(port);
        match Server::start(config).unwrap_err() {
            // Another test was faster.
            StartError::AddressInUse(_) => {}
            error => break (port, error),
        }
    };
    assert!(matches!(&error, StartError::BadAddress(address, _) if address.ip().to_string() == "192.0.2.1"));
    until_refused(SocketAddr::from(([127, 0, 0, 1], port)));
}

#[test]
fn an_error_names_an_invalid_setting_with_its_value_and_the_valid_form() {
    for (config, setting, value) in [
        (Config::default().hosts(["mail.example.com"]), "hosts", "mail.example.com"),
        (Config::default().hosts([""; 0]), "hosts", ""),
        (Config::default().shards(0), "shards", "0"),
        (Config::default().backlog(0), "backlog", "0"),
        (Config::default().data_timeout(Duration::ZERO), "data_timeout", "0ns"),
        (
            Config::default().session_timeout(Duration::MAX),
            "session_timeout",
            "18446744073709551615.999999999s",
        ),
    ] {
        let Err(StartError::Config(error)) = Server::start(config) else {
            panic!("{setting} = {value} was accepted");
        };
        assert_eq!((error.setting, error.value.as_str()), (setting, value));
        assert!(!error.expected.is_empty());
    }
}

#[test]
fn a_server_does_not_start_if_its_capture_cannot_be_written() {
    let error = Server::start(Config::default().capture("/nonexistent/folder/capture")).unwrap_err();
    assert!(matches!(&error, StartError::Capture(path, _) if path.ends_with("capture")), "{error:?}");
}

#[test]
fn delays_are_never_short_and_replies_stay_in_order() {
    let delay = Duration::from_millis(60);
    let server = start(Config::default().delay(DelayPoint::Noop, delay).delay(DelayPoint::Rset, delay));
    let mut client = Client::greeted(server.local_addr());
    let start = now();
    client.send(b"NOOP\r\nHELO example.com\r\nRSET\r\nFOO\r\nNOOP\r\nQUIT\r\n");
    for (reply, earliest) in [("250 Ok", 1), ("250 Received", 1), ("250 Ok", 2)] {
        assert_eq!(client.reply(), reply);
        assert!(start.elapsed() >= delay * earliest, "{reply} came after {:?}", start.elapsed());
    }
    assert!(client.reply().starts_with("502 "));
    assert_eq!(client.reply(), "250 Ok");
    assert!(start.elapsed() >= delay * 3);
    assert_eq!(client.reply(), "221 Closing connection");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_delay_affects_only_its_own_session() {
    let delay = Duration::from_secs(1);
    let server = start(Config::default().delay(DelayPoint::Helo, delay));
    let mut delayed = Client::greeted(server.local_addr());
    let start = now();
    delayed.send(b"HELO example.com\r\n");
    let mut other = Client::greeted(server.local_addr());
    for _ in 0..100 {
        other.expect("NOOP", "250 Ok");
    }
    other.quit();
    let is_early = start.elapsed() < delay / 2;
    let silence = delayed.silence(Duration::from_millis(1));
    assert!(!is_early || silence.is_ok(), "the delayed reply was not delayed: {silence:?}");
    assert!(is_early, "the other session waited for the delay, or this machine is very slow");
    assert_eq!(delayed.reply(), "250 Received");
    assert!(start.elapsed() >= delay);
}

#[test]
fn many_delayed_sessions_wait_at_the_same_time() {
    const SESSIONS: u32 = 100;
    let delay = Duration::from_millis(300);
    let server = start(Config::default().delay(DelayPoint::Helo, delay));
    let start = now();
    let mut clients: Vec<_> = (0..SESSIONS).map(|_| Client::greeted(server.local_addr())).collect();
    for client in &mut clients {
        client.send(b"HELO example.com\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.reply(), "250 Received");
    }
    assert!(start.elapsed() >= delay);
    assert!(start.elapsed() < delay * SESSIONS / 2, "the delays were served one after another");
}

/// Sends this repeatedly until the server sends something.
fn drip(client: &mut Client, drop: &str) -> String {
    until(|| {
        // Each wait is a pause that would renew the timeout if dripped bytes did.
        match client.silence(Duration::from_millis(50)) {
            Ok(()) => {
                client.send(drop);
                Err("silence")
            }
            Err(told) => Ok(told),
        }
    })
}

#[test]
fn dripped_bytes_do_not_renew_the_timeout_of_a_command() {
    let timeout = Duration::from_millis(400);
    let server = start(Config::default().session_timeout(timeout));
    let start = now();
    let mut client = Client::greeted(server.local_addr());
    let told = drip(&mut client, "N");
    assert!(told.contains(CLOSING), "{told}");
    assert!(start.elapsed() >= timeout);
    drop(client);
    assert_eq!(after_sessions(&server, 1).sessions.timed_out, 1);
}

#[test]
fn the_data_timeout_applies_to_the_whole_message() {
    let timeout = Duration::from_millis(400);
    let server = start(Config::default().data_timeout(timeout));
    let mut client = Client::with_envelope(server.local_addr());
    let start = now();
    client.data();
    let told = drip(&mut client, "data\r\n");
    assert!(told.contains(CLOSING), "{told}");
    assert!(start.elapsed() >= timeout);
    drop(client);
    assert_eq!(after_sessions(&server, 1).sessions.timed_out, 1);
}

#[test]
fn a_stop_sends_421_to_sessions_within_a_mail_after_the_shutdown_timeout() {
    let timeout = Duration::from_millis(200);
    let server = start(Config::default().shutdown_timeout(timeout));
    let mut client = Client::with_envelope(server.local_addr());
    let start = now();
    assert_eq!(server.stop(), StopOutcome::Forced);
    assert!(start.elapsed() >= timeout, "the session got no time");
    assert_eq!(client.reply(), CLOSING);
    assert_eq!(client.rest(), "");
    assert_eq!(server.messages().len(), 1, "the records stay readable");
    until_refused(server.local_addr());
}

/// The idle sessions of a connection pool are closed at once, whatever the shutdown timeout.
#[test]
fn a_stop_sends_421_to_sessions_between_two_mails_without_waiting() {
    let server = start(Config::default().shards(2).shutdown_timeout(PATIENCE * 10));
    let mut clients: Vec<_> = (0..4).map(|_| Client::greeted(server.local_addr())).collect();
    clients[1].ehlo();
    clients[2].deliver("one\r\n");
    clients[3].deliver("two\r\n");
    clients[3].mail("ann@example.com");
    clients[3].expect("RSET", "250 Ok");
    let start = now();
    assert_eq!(server.stop(), StopOutcome::Graceful);
    assert!(start.elapsed() < PATIENCE, "the stop waited");
    for client in &mut clients {
        assert_eq!(client.rest(), format!("{CLOSING}\r\n"));
    }
    let sessions = server.stats().sessions;
    assert_eq!((sessions.closed, sessions.stopped), (4, 4));
}

/// Input that was sent before the stop is processed before the server checks which sessions are idle.
#[test]
fn a_stop_processes_input_that_was_sent_before_it() {
    for _ in 0..20 {
        let server = start(Config::default().shutdown_timeout(PATIENCE));
        let mut client = Client::greeted(server.local_addr());
        client
            .send("EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\n");
        assert_eq!(server.stop(), StopOutcome::Graceful);
        let heard = client.rest();
        assert!(heard.ends_with(&format!("250 Received\r\n{CLOSING}\r\n")), "{heard}");
        assert!(server.messages()[0].msg());
    }
}

/// So that an additional mail is noticed.
#[test]
fn idle_sessions_of_a_draining_server_continue() {
    let server = start(Config::default().shutdown_timeout(PATIENCE));
    let (mut first, mut second) =
        (Client::greeted(server.local_addr()), Client::greeted(server.local_addr()));
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| server.drain());
        until_refused(server.local_addr());
        first.deliver("one too many\r\n");
        first.quit();
        assert!(!draining.is_finished(), "ended with a session open");
        // A stop does not wait for idle sessions.
        server.stop();
        assert_eq!(draining.join().unwrap(), StopOutcome::Graceful);
    });
    assert_eq!(second.rest(), format!("{CLOSING}\r\n"));
    assert_eq!(server.messages().len(), 1);
}

#[test]
fn sessions_can_finish_their_current_mails_after_a_stop() {
    let server = start(Config::default().shutdown_timeout(PATIENCE));
    let mut in_data = Client::with_envelope(server.local_addr());
    in_data.data();
    let mut client = Client::with_envelope(server.local_addr());
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop());
        until_refused(server.local_addr());
        in_data.expect("begun before\r\n.", "250 Received");
        assert_eq!(in_data.rest(), format!("{CLOSING}\r\n"));
        assert!(!stopping.is_finished(), "stopped with a session running");
        client.message("sent while the server stops\r\n");
        assert_eq!(client.rest(), format!("{CLOSING}\r\n"));
        assert_eq!(stopping.join().unwrap(), StopOutcome::Graceful);
    });
    let messages = server.messages();
    assert_eq!(messages[0].msg_request(), "begun before\r\n");
    assert_eq!(messages[1].msg_request(), "sent while the server stops\r\n");
}

#[test]
fn a_stop_without_sessions_does_not_wait() {
    let server = start(Config::default().shutdown_timeout(PATIENCE * 10));
    let start = now();
    assert_eq!(server.stop(), StopOutcome::Graceful);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_delay_does_not_postpone_a_stop() {
    let config = Config::default()
        .delay(DelayPoint::Helo, PATIENCE * 100)
        .shutdown_timeout(Duration::from_millis(100));
    let server = start(config);
    let mut client = Client::greeted(server.local_addr());
    client.send(b"HELO example.com\r\n");
    let start = now();
    assert_eq!(server.stop(), StopOutcome::Forced);
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(client.reply(), CLOSING);
}

#[test]
fn a_second_stop_hastens_the_first() {
    let server = start(Config::default().shutdown_timeout(PATIENCE * 10));
    let mut client = Client::with_envelope(server.local_addr());
    let start = now();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| server.stop());
        until_refused(server.local_addr());
        server.stop_within(Duration::ZERO);
        assert_eq!(first.join().unwrap(), StopOutcome::Forced);
    });
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(client.reply(), CLOSING);
}

#[test]
fn dropping_the_server_stops_it() {
    let server = start(Config::default().shutdown_timeout(Duration::ZERO));
    let address = server.local_addr();
    let mut client = Client::greeted(address);
    drop(server);
    until_refused(address);
    assert_eq!(client.reply(), CLOSING);
}

#[test]
fn hundreds_of_sessions_are_served_at_once() {
    const SESSIONS: usize = 300;
    for shards in [1, 3] {
        let server = start(Config::default().shards(shards));
        let mut clients: Vec<_> = (0..SESSIONS).map(|_| Client::with_envelope(server.local_addr())).collect();
        for client in &mut clients {
            client.message("x\r\n");
        }
        assert_eq!(server.messages().len(), SESSIONS);
        clients.into_iter().for_each(Client::quit);
        server.stop();
        assert_eq!(server.messages().len(), SESSIONS);
        let stats = server.stats();
        assert_eq!(stats.sessions_by_shard.len(), shards);
        assert_eq!(stats.sessions_by_shard.iter().sum::<u64>(), SESSIONS as u64);
    }
}

#[test]
fn a_shared_port_is_not_shared_with_another_server() {
    let server = start(Config::default().shards(2));
    for shards in [1, 2] {
        let error = Server::start(Config::default().port(server.port()).shards(shards)).unwrap_err();
        assert!(matches!(error, StartError::AddressInUse(_)), "{shards} shards: {error:?}");
    }
}

#[test]
fn the_longest_durations_are_accepted() {
    let config = Config::default()
        .session_timeout(MAX_DURATION)
        .data_timeout(MAX_DURATION)
        .shutdown_timeout(MAX_DURATION)
        .delay(DelayPoint::Noop, MAX_DURATION);
    let server = start(config);
    let mut client = Client::with_envelope(server.local_addr());
    client.message("x\r\n");
    assert_eq!(server.wait_for_messages(1, Duration::MAX).unwrap().len(), 1);
    client.send(b"NOOP\r\n");
    assert_eq!(client.silence(Duration::from_millis(20)), Ok(()));
    drop(client);
    server.stop_within(Duration::ZERO);
}

#[test]
fn a_client_that_half_closes_during_a_delay_gets_its_reply() {
    let server = start(Config::default().delay(DelayPoint::Helo, Duration::from_millis(100)));
    let mut client = Client::greeted(server.local_addr());
    client.send(b"HELO example.com\r\nNOOP\r\nHELO second.example\r\nMAIL FROM:<>\r\nNOOP");
    client.half_close();
    assert_eq!(client.rest(), "250 Received\r\n250 Ok\r\n250 Received\r\n250 Received\r\n");
    assert_eq!(server.wait_for_messages(1, PATIENCE).unwrap()[0].helo_name().unwrap(), "second.example");
}

#[test]
fn ipv4_clients_of_the_wildcard_address_have_ipv4_addresses() {
    if !has_ipv6() {
        return;
    }
    let server = start(Config::default().hosts(["[::]"]));
    let mut client = Client::with_envelope(SocketAddr::from(([127, 0, 0, 1], server.port())));
    client.message("x\r\n");
    let content = String::from_utf8(server.messages()[0].content()).unwrap();
    assert!(content.contains("([127.0.0.1])") && content.contains("by smtpmock ([127.0.0.1]) "), "{content}");
}

#[test]
fn a_client_refused_in_the_middle_of_its_message_can_read_why() {
    let server = start(Config::default().message_size_limit(100).fail_fast(true));
    for _ in 0..20 {
        let mut client = Client::with_envelope(server.local_addr());
        client.data();
        let mut writer = client.writer();
        std::thread::scope(|scope| {
            // The server closes during this write, so that it may fail.
            scope.spawn(move || writer.write_all("much too long\r\n".repeat(400_000).as_bytes()));
            assert_eq!(client.reply(), "552 Message exceeded max size of 100 bytes");
        });
    }
}

#[test]
fn a_client_that_times_out_within_its_message_can_read_the_421() {
    let server = start(Config::default().data_timeout(Duration::from_millis(50)));
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    let mut writer = client.writer();
    std::thread::scope(|scope| {
        scope.spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {});
        assert_eq!(client.reply(), CLOSING);
        let _ = client.try_rest();
    });
    assert!(!server.wait_for_messages(1, PATIENCE).unwrap()[0].msg());
}
