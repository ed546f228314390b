//! The log: the same texts, levels and order as go-smtp-mock's, but for the lines of message data, which are counted.

use std::time::Duration;

use smtpmock::Config;
use smtpmock::smtp::DelayPoint;

use crate::support::client::Client;
use crate::support::logger::{Recorder, To};
use crate::support::server::start;

#[test]
fn a_session_is_logged_in_the_words_of_the_reference() {
    let log = Recorder::default();
    let delay = Duration::from_secs(1);
    let config = Config::default().logger(To(log.clone())).delay(DelayPoint::Noop, delay);
    let server = start(config);
    let mut client = Client::with_envelope(server.local_addr());
    client.message("one\r\ntwo\r\n");
    client.expect("  NOOP  ", "250 Ok");
    client.quit();
    let port = server.port();
    server.stop();
    let expected = [
        &format!("INFO: SMTP mock server started on port: {port}"),
        "INFO: SMTP session started",
        "INFO: SMTP response: 220 Welcome",
        "INFO: SMTP request: EHLO client.example",
        "INFO: SMTP response: 250 Received",
        "INFO: SMTP request: MAIL FROM:<ann@example.com>",
        "INFO: SMTP response: 250 Received",
        "INFO: SMTP request: RCPT TO:<bob@example.com>",
        "INFO: SMTP response: 250 Received",
        "INFO: SMTP request: DATA",
        "INFO: SMTP response: 354 Ready for receive message. End data with <CR><LF>.<CR><LF>",
        "INFO: SMTP request: message binary data portion (3 lines)",
        "INFO: SMTP response: 250 Received",
        "INFO: SMTP request: NOOP",
        "INFO: SMTP response delay: 1 sec",
        "INFO: SMTP response: 250 Ok",
        "INFO: SMTP request: QUIT",
        "INFO: SMTP response: 221 Closing connection",
        "INFO: SMTP session finished",
        "INFO: SMTP mock server was stopped successfully",
    ];
    // The stop is logged by another thread, so this line's place is not certain.
    let (stopping, others): (Vec<_>, Vec<_>) =
        log.lines().into_iter().partition(|line| line.starts_with("WARNING: "));
    assert_eq!(others, expected);
    assert_eq!(
        stopping,
        ["WARNING: SMTP mock server is in the shutdown mode and won't accept new connections"]
    );
}

#[test]
fn a_client_that_leaves_is_logged_as_an_error_and_a_forced_stop_as_such() {
    let log = Recorder::default();
    let server = start(Config::default().logger(To(log.clone())).shutdown_timeout(Duration::ZERO));
    let mut leaving = Client::greeted(server.local_addr());
    leaving.half_close();
    assert_eq!(leaving.rest(), "");
    let _in_a_mail = Client::with_envelope(server.local_addr());
    server.stop();
    let lines = log.lines();
    assert!(lines.contains(&"ERROR: EOF".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "INFO: SMTP mock server was force stopped by timeout");
}
