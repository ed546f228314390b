//! Findings on the ends of sessions.

use std::time::Duration;

use smtpmock::smtp::Stage;
use smtpmock::{Config, Server};

use super::found::{client, findings, names, only, send};
use crate::support::client::Client;
use crate::support::figures::{after_sessions, once};
use crate::support::server::{ruled, start, with_rules};

#[test]
fn sessions_without_quit_are_found_when_they_are_the_rule() {
    let server = with_rules(&[]);
    client(&server).quit();
    for left in 1..8 {
        assert_eq!(findings(&server, left).len(), usize::from(left > 5), "{left} sessions");
        let mut client = client(&server);
        send(&mut client, "hi\r\n");
        client.leave();
    }
    let text = only(&server, 8, "left-without-quit");
    assert_eq!(text, "sent QUIT in 12 % of sessions: 7 of 8 were closed without it");
}

#[test]
fn readiness_probes_need_not_quit() {
    let server = with_rules(&[]);
    for _ in 0..20 {
        Client::connect(server.local_addr()).leave();
    }
    assert_eq!(names(&server, 20), [""; 0]);
}

/// Connects and is refused by a 421, after which the server closes. Half of the clients send QUIT nevertheless.
fn refused(server: &Server, count: u64) {
    for number in 0..count {
        let mut client = Client::connect(server.local_addr());
        assert_eq!(client.reply(), "421 4.7.0 Try again later");
        if number % 2 == 0 {
            // The server may have closed by now.
            let _ = client.try_send(b"QUIT\r\n");
        }
        client.leave();
    }
    after_sessions(server, count);
}

/// A server that refuses this many connections first.
fn refusing(count: u64, config: Config) -> Server {
    let rule = format!("connect times={count} reply=\"421 4.7.0 Try again later\" close");
    let server = start(ruled(config, &[&rule]));
    refused(&server, count);
    server
}

#[test]
fn refused_sessions_have_no_other_finding() {
    let server = refusing(20, Config::default());
    let sessions = server.stats().sessions;
    assert_eq!((sessions.closed, sessions.refused, sessions.silent), (20, 20, 0));
    assert_eq!((sessions.quit, sessions.left, sessions.dismissed), (0, 0, 0));
    assert_eq!(names(&server, 20), [""; 0]);
}

#[test]
fn refused_sessions_hide_no_lack_of_quit_in_those_that_were_served() {
    let server = refusing(20, Config::default());
    for _ in 0..20 {
        client(&server).leave();
    }
    let text = only(&server, 40, "left-without-quit");
    assert_eq!(text, "sent QUIT in 0 % of sessions: 20 of 20 were closed without it");
}

#[test]
fn refused_sessions_do_not_hide_sessions_left_to_the_timeout() {
    let server = refusing(20, Config::default().session_timeout(Duration::from_millis(300)));
    let idle: Vec<_> = (0..10).map(|_| client(&server)).collect();
    for mut client in idle {
        assert!(client.reply().starts_with("421"));
    }
    let text = only(&server, 30, "left-to-time-out");
    assert_eq!(text, "left 10 of 10 sessions to the server's timeout, without QUIT");
}

#[test]
fn leaving_after_a_421_is_not_giving_up() {
    let server = with_rules(&[r#"noop reply="421 4.3.2 Closing""#]);
    for _ in 0..20 {
        let mut client = client(&server);
        client.expect("NOOP", "421 4.3.2 Closing");
        client.leave();
    }
    assert_eq!(names(&server, 20), [""; 0]);
    let sessions = server.stats().sessions;
    assert_eq!((sessions.dismissed, sessions.left), (20, 0));
}

#[test]
fn leaving_before_the_last_reply_is_giving_up() {
    let server = with_rules(&[r#"mail reply="451 4.3.2 Closing" delay=1m close"#]);
    let mut client = client(&server);
    client.send(b"MAIL FROM:<ann@example.com>\r\n");
    once(&server, |stats| stats.stages[Stage::Mail].count == 1);
    client.reset();
    let stats = after_sessions(&server, 1);
    assert_eq!((stats.sessions.gave_up, stats.sessions.dismissed), (1, 0));
    assert_eq!(stats.stages[Stage::Mail].gave_up.count(), 1);
}

#[test]
fn continuing_after_421_is_found() {
    let server = with_rules(&[r#"mail reply="421 4.3.2 Closing""#]);
    let mut client = client(&server);
    client.expect("MAIL FROM:<ann@example.com>", "421 4.3.2 Closing");
    client.command("RSET");
    client.command("NOOP");
    client.quit();
    assert_eq!(only(&server, 1, "went-on-after-421"), "sent more commands after 421 in 1 session");
}

#[test]
fn continuing_after_a_greeting_that_refuses_is_found() {
    let server = with_rules(&[r#"connect reply="554 No service""#]);
    for line in ["EHLO client.example", "QUIT"] {
        let mut client = Client::connect(server.local_addr());
        assert_eq!(client.reply(), "554 No service");
        client.command(line);
        client.leave();
    }
    let text = only(&server, 2, "went-on-after-refusal");
    assert_eq!(text, "sent more than QUIT after a greeting that refused the session in 1 session");
}

#[test]
fn quit_and_commands_sent_before_the_refusal_could_be_read_are_not() {
    let server = with_rules(&[r#"mail reply="421 4.3.2 Closing""#]);
    let mut polite = client(&server);
    polite.expect("MAIL FROM:<ann@example.com>", "421 4.3.2 Closing");
    polite.quit();
    let mut pipelining = client(&server);
    pipelining.send(b"MAIL FROM:<another@example.com>\r\nRCPT TO:<bob@example.com>\r\nNOOP\r\n");
    assert_eq!([pipelining.reply(), pipelining.reply()].map(|line| line[..3].to_owned()), ["421", "503"]);
    assert_eq!(pipelining.reply(), "250 Ok");
    pipelining.quit();
    assert_eq!(names(&server, 2), [""; 0]);
}

#[test]
fn disconnecting_within_the_data_is_found() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    client.envelope("ann@example.com", "bob@example.com");
    client.data();
    client.send(b"Subject: hi\r\n");
    client.leave();
    let text = only(&server, 1, "data-broken-off");
    assert_eq!(text, "closed the connection in the middle of the data of 1 message");
}

#[test]
fn disconnecting_within_the_data_is_found_among_sessions_that_end_otherwise() {
    let server = start(Config::default().session_timeout(Duration::from_millis(300)));
    for leaves in [false, true, true] {
        let mut client = client(&server);
        client.envelope("ann@example.com", "bob@example.com");
        client.data();
        client.send(b"Subject: hi\r\n");
        match leaves {
            true => client.leave(),
            false => assert!(client.reply().starts_with("421")),
        }
    }
    // Sessions that time out too, but not within data.
    assert!(client(&server).reply().starts_with("421"));
    let text = only(&server, 4, "data-broken-off");
    assert_eq!(text, "closed the connection in the middle of the data of 2 messages");
}

#[test]
fn sessions_left_to_the_timeout_are_found() {
    let server = start(Config::default().session_timeout(Duration::from_millis(300)));
    let idle: Vec<_> = (0..10).map(|_| client(&server)).collect();
    for mut client in idle {
        assert!(client.reply().starts_with("421"));
    }
    let text = only(&server, 10, "left-to-time-out");
    assert_eq!(text, "left 10 of 10 sessions to the server's timeout, without QUIT");
    for _ in 0..11 {
        client(&server).quit();
    }
    assert_eq!(names(&server, 21), [""; 0], "most sessions have QUIT");
}
