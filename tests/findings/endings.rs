//! How sessions end.

use std::time::Duration;

use smtpmock::Config;

use crate::found::{client, findings, names, only, send};
use crate::support::client::Client;
use crate::support::server::{start, with_rules};

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

#[test]
fn going_on_after_421_is_found() {
    let server = with_rules(&[r#"mail reply="421 4.3.2 Closing""#]);
    let mut client = client(&server);
    client.expect("MAIL FROM:<ann@example.com>", "421 4.3.2 Closing");
    client.command("RSET");
    client.command("NOOP");
    client.quit();
    assert_eq!(only(&server, 1, "went-on-after-421"), "kept sending after 421 in 1 session");
}

#[test]
fn quit_and_what_was_sent_before_it_could_be_read_is_no_going_on() {
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
fn breaking_off_in_the_data_is_found() {
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
