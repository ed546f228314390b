//! Findings on unnecessary and premature commands.

use smtpmock::Config;

use super::found::{client, names, only, send};
use crate::support::client::Client;
use crate::support::server::{ruled, start, with_rules};

#[test]
fn sending_before_the_greeting_is_found() {
    let server = with_rules(&["connect delay=200ms"]);
    let mut client = Client::connect(server.local_addr());
    client.send(b"HELO client.example\r\n");
    assert_eq!(client.reply(), "220 Welcome");
    client.reply();
    client.quit();
    assert_eq!(only(&server, 1, "talked-before-greeting"), "sent commands before the greeting in 1 session");
}

#[test]
fn waiting_for_a_late_greeting_is_not() {
    let server = with_rules(&["connect delay=200ms"]);
    client(&server).quit();
    assert_eq!(names(&server, 1), [""; 0]);
}

#[test]
fn unknown_commands_are_found_when_they_are_a_habit() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    for _ in 0..4 {
        client.command("STARTTLS");
    }
    assert_eq!(names(&server, 0), [""; 0]);
    client.command("AUTH PLAIN");
    client.quit();
    let text = only(&server, 1, "unknown-commands");
    assert_eq!(text, "sent 5 lines of 7 that are no command that this server has or offers");
}

#[test]
fn unnecessary_commands_are_found() {
    for command in ["NOOP", "RSET"] {
        let server = with_rules(&[]);
        let mut client = client(&server);
        send(&mut client, "hi\r\n");
        for _ in 0..100 {
            client.command(command);
        }
        client.quit();
        let name = format!("needless-{}", command.to_lowercase());
        assert_eq!(only(&server, 1, &name), format!("sent {command} 100 times for 1 mail transaction"));
    }
}

#[test]
fn a_rset_after_each_refused_transaction_is_not() {
    let server = with_rules(&[
        r#"mail from=no@example.com reply="550 5.7.1 No""#,
        r#"rcpt to=no@example.com reply="550 5.1.1 No""#,
    ]);
    let mut client = client(&server);
    for number in 0..200 {
        if number % 2 == 0 {
            client.expect("MAIL FROM:<no@example.com>", "550 5.7.1 No");
        } else {
            client.mail("ann@example.com");
            client.expect("RCPT TO:<no@example.com>", "550 5.1.1 No");
        }
        client.command("RSET");
    }
    client.quit();
    assert_eq!(names(&server, 1), [""; 0]);
}

#[test]
fn a_noop_and_a_rset_with_each_message_are_not() {
    let server = with_rules(&[]);
    let mut client = client(&server);
    for _ in 0..100 {
        client.command("NOOP");
        send(&mut client, "hi\r\n");
        client.command("RSET");
    }
    client.quit();
    assert_eq!(names(&server, 1), [""; 0]);
}

/// A client after an accepted RCPT, with chunks offered.
fn with_envelope(client: &mut Client) {
    for line in ["MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>"] {
        assert!(client.command(line).starts_with("250 "), "{line}");
    }
}

#[test]
fn data_and_bdat_in_one_transaction_are_found() {
    let server = start(ruled(Config::default().esmtp(), &["data times=1 reply=\"554 5.3.0 No\""]));
    let mut client = Client::extended(server.local_addr());
    // In either order, and once however often.
    with_envelope(&mut client);
    client.expect("DATA", "554 5.3.0 No");
    assert!(client.bdat("hi\r\n", " LAST").starts_with("250 "));
    with_envelope(&mut client);
    assert!(client.bdat("hi\r\n", "").starts_with("250 "));
    assert!(client.command("DATA").starts_with("503 "));
    assert!(client.command("DATA").starts_with("503 "));
    assert!(client.bdat("ho\r\n", " LAST").starts_with("250 "));
    client.quit_extended();
    assert_eq!(only(&server, 1, "data-and-bdat"), "sent both DATA and BDAT in 2 mail transactions");
}

#[test]
fn data_and_bdat_in_one_session_are_not() {
    let server = start(Config::default().esmtp());
    let mut client = Client::extended(server.local_addr());
    for _ in 0..2 {
        with_envelope(&mut client);
        assert!(client.command("DATA").starts_with("354 "));
        assert!(client.command("hi\r\n.").starts_with("250 "));
        with_envelope(&mut client);
        assert!(client.bdat("hi\r\n", "").starts_with("250 "));
        assert!(client.command("RSET").starts_with("250 "));
        with_envelope(&mut client);
        assert!(client.command("DATA").starts_with("354 "));
        assert!(client.command("hi\r\n.").starts_with("250 "));
    }
    client.quit_extended();
    assert_eq!(names(&server, 1), [""; 0]);
}
