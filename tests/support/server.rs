//! A server in this process, and the state of its addresses.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use smtpmock::{Config, Server};

use super::waiting::eventually;

/// A server on a free port.
pub(crate) fn start(config: Config) -> Server {
    Server::start(config).expect("a server on a free port")
}

/// A server with these rules.
pub(crate) fn with_rules(rules: &[&str]) -> Server {
    start(ruled(Config::default(), rules))
}

/// The configuration with these rules after its own.
pub(crate) fn ruled(config: Config, rules: &[&str]) -> Config {
    let rule = |rule: &&str| rule.parse().unwrap_or_else(|error| panic!("{error}"));
    rules.iter().map(rule).fold(config, Config::rule)
}

/// Waits until no process listens there. A process that another test starts may have a copy of the listener for a
/// moment.
pub(crate) fn until_refused(address: SocketAddr) {
    eventually("the port to close", || is_refused(address));
}

/// Whether no process listens there.
pub(crate) fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Whether this machine has IPv6. If not, a line is printed that a test is shortened.
pub(crate) fn has_ipv6() -> bool {
    let has_it = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has_it {
        println!("skipped: IPv6, which this machine does not have");
    }
    has_it
}
