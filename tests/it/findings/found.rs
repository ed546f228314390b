//! The first commands of all clients, and the findings of a server.

use smtpmock::Server;
use smtpmock::stats::Finding;

use crate::support::client::Client;
use crate::support::figures::after_sessions;

/// A client after the reply to HELO.
pub(crate) fn client(server: &Server) -> Client {
    let mut client = Client::greeted(server.local_addr());
    client.command("HELO client.example");
    client
}

/// Sends a message on a connection after HELO; the text ends with CRLF.
pub(crate) fn send(client: &mut Client, text: &str) {
    client.envelope("ann@example.com", "bob@example.com");
    client.message(text);
}

/// The findings once this many sessions have ended.
pub(crate) fn findings(server: &Server, sessions: u64) -> Vec<Finding> {
    after_sessions(server, sessions).findings()
}

/// The names of the findings.
pub(crate) fn names(server: &Server, sessions: u64) -> Vec<&'static str> {
    findings(server, sessions).iter().map(|finding| finding.name).collect()
}

/// The text of the only finding.
pub(crate) fn only(server: &Server, sessions: u64, name: &str) -> String {
    let found = findings(server, sessions);
    let [finding] = &found[..] else { panic!("not {name} alone: {found:?}") };
    assert_eq!(finding.name, name);
    finding.text.clone()
}
