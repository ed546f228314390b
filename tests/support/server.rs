//! A server in this process, on a free port.

use smtpmock::{Config, Server};

pub(crate) fn start(config: Config) -> Server {
    Server::start(config).expect("a server on a free port")
}

/// A server with these rules.
pub(crate) fn with_rules(rules: &[&str]) -> Server {
    start(ruled(Config::default(), rules))
}

/// The configuration with these rules behind its own.
pub(crate) fn ruled(config: Config, rules: &[&str]) -> Config {
    let rule = |rule: &&str| rule.parse().unwrap_or_else(|error| panic!("{error}"));
    rules.iter().map(rule).fold(config, Config::rule)
}
