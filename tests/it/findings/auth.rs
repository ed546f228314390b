//! Findings on authentication.

use smtpmock::{Config, Server};

use super::found::{findings, names, only};
use crate::support::client::Client;
use crate::support::sasl;
use crate::support::server::{ruled, start};

fn server() -> Server {
    start(Config::default().auth(("ann", "secret")))
}

fn extended(server: &Server) -> Client {
    Client::extended(server.local_addr())
}

/// Sends AUTH PLAIN. Returns the code of the reply.
fn plain(client: &mut Client, user: &str, password: &str) -> String {
    client.command(&sasl::plain(user, password))[..3].to_owned()
}

fn login(client: &mut Client, user: &str, password: &str) -> String {
    client.command(&format!("AUTH LOGIN {}", sasl::base64(user)));
    client.command(&sasl::base64(password))[..3].to_owned()
}

fn quit(mut client: Client) {
    client.command("QUIT");
}

#[test]
fn authentication_after_a_successful_one_is_found() {
    let server = server();
    let mut twice = extended(&server);
    assert_eq!(plain(&mut twice, "ann", "secret"), "235");
    assert_eq!(plain(&mut twice, "ann", "secret"), "503");
    quit(twice);
    let text = only(&server, 1, "authenticated-again");
    assert_eq!(text, "sent AUTH again 1 time after it had succeeded in the session");
    assert_eq!(findings(&server, 1)[0].reference, "RFC 4954 section 4");
}

#[test]
fn another_try_after_a_failure_and_another_session_are_not() {
    let server = server();
    for typo in ["sceret", "secrte"] {
        let mut client = extended(&server);
        assert_eq!(plain(&mut client, "ann", typo), "535");
        assert_eq!(plain(&mut client, "ann", "secret"), "235");
        quit(client);
    }
    assert_eq!(names(&server, 2), [""; 0]);
}

#[test]
fn a_password_tried_again_unchanged_is_found_in_the_session_and_in_the_next() {
    let server = server();
    let mut same = extended(&server);
    assert_eq!(plain(&mut same, "ann", "wrong"), "535");
    assert_eq!(login(&mut same, "ann", "wrong"), "535");
    quit(same);
    let mut next = extended(&server);
    assert_eq!(plain(&mut next, "ann", "wrong"), "535");
    quit(next);
    let text = only(&server, 2, "password-repeated");
    assert!(text.starts_with("tried a user and password again 2 times, unchanged after 535"), "{text}");
    assert_eq!(findings(&server, 2)[0].reference, "RFC 4954 section 6");
}

#[test]
fn other_passwords_and_tries_after_other_refusals_are_not() {
    let rules = ["auth user=ann times=2 reply=\"454 4.7.0 Try again\""];
    let server = start(ruled(Config::default().auth(("ann", "secret")).auth(("bob", "hunter2")), &rules));
    let mut client = extended(&server);
    assert_eq!(plain(&mut client, "ann", "secret"), "454");
    assert_eq!(plain(&mut client, "ann", "secret"), "454");
    for (user, password) in [("bob", "wrong"), ("bob", "wrong2"), ("carol", "wrong"), ("carol", "")] {
        assert!(["535", "501"].contains(&&*plain(&mut client, user, password)));
    }
    assert_eq!(plain(&mut client, "ann", "secret"), "235");
    quit(client);
    assert_eq!(names(&server, 1), [""; 0]);
}
