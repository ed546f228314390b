//! Where a server listens: hosts as they are configured, to addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Config;
use crate::config::ConfigError;

const EXPECTED_HOST: &str = "an IPv4 or IPv6 address of this machine, like 127.0.0.1, [::1], 0.0.0.0 or 127.0.0.1:2525, or localhost (names are not looked up)";

impl Config {
    /// The addresses to bind, each once.
    pub(crate) fn listen_addresses(&self) -> Result<Vec<Listen>, ConfigError> {
        if self.fixed.hosts.is_empty() {
            return Err(ConfigError::new("hosts", "", EXPECTED_HOST));
        }
        let mut addresses = Vec::<Listen>::new();
        for host in &self.fixed.hosts {
            let listen = listen_address(host, self.fixed.port)?;
            if addresses.contains(&listen) {
                return Err(ConfigError::new("hosts", host, "each address once"));
            }
            addresses.push(listen);
        }
        Ok(addresses)
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    /// Its port is the setting's, as for all addresses that name none; otherwise its own.
    pub(crate) takes_common_port: bool,
}

fn listen_address(host: &str, port: u16) -> Result<Listen, ConfigError> {
    let refused = |_| ConfigError::new("hosts", host, EXPECTED_HOST);
    let named = host.trim();
    if let Ok(address) = named.parse::<SocketAddr>() {
        return Ok(Listen { address, takes_common_port: false });
    }
    if let Some(own) = named.strip_prefix("localhost:") {
        let own: u16 = own.parse().map_err(|_| ConfigError::new("hosts", host, EXPECTED_HOST))?;
        return Ok(Listen { address: (Ipv4Addr::LOCALHOST, own).into(), takes_common_port: false });
    }
    let bare = named.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(named);
    let ip = match named.eq_ignore_ascii_case("localhost") {
        true => Ipv4Addr::LOCALHOST.into(),
        false => bare.parse::<IpAddr>().map_err(refused)?,
    };
    Ok(Listen { address: (ip, port).into(), takes_common_port: true })
}
