//! Names of hosts in requests over HTTP.
//!
//! A web page that a browser shows can send requests to addresses of this machine. It can't choose the `Host` that the
//! browser sends: that is the page's own name, also where its owner lets that name lead here (DNS rebinding). So a
//! server without credentials answers only to names that no owner of a site can have.

use std::net::IpAddr;

/// The name in a `Host`, whose port may be any, without the dot at its end. An IPv6 address is in brackets. `None` if
/// it is no name of a host.
pub fn name(host: &str) -> Option<&str> {
    let name = without_port(host)?;
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return matches!(literal.parse(), Ok(IpAddr::V6(_))).then_some(name);
    }
    let is_name = !name.is_empty()
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet));
    is_name.then(|| name.strip_suffix('.').unwrap_or(name))
}

/// Whether no site can have this [`name`]: an IP address, a name without a dot, or one below `localhost`.
///
/// ```
/// use smtpmock::hosts::{is_of_no_site, name};
///
/// assert!(["127.0.0.1:80", "[::1]:80", "localhost", "a.localhost"].iter().all(|host| is_of_no_site(name(host).unwrap())));
/// assert!(!is_of_no_site(name("127.0.0.1.example.com").unwrap()));
/// ```
pub fn is_of_no_site(name: &str) -> bool {
    let is_below_localhost = name.len() > 10
        && name.is_char_boundary(name.len() - 10)
        && name[name.len() - 10..].eq_ignore_ascii_case(".localhost");
    name.starts_with('[')
        || matches!(name.parse(), Ok(IpAddr::V4(_)))
        || !name.contains('.')
        || is_below_localhost
}

/// The host without its port; `None` if that is no number.
fn without_port(host: &str) -> Option<&str> {
    let behind_literal = host.rfind(']').map_or(0, |at| at + 1);
    match host[behind_literal..].rfind(':') {
        None => Some(host),
        Some(colon) => {
            let colon = behind_literal + colon;
            let port = &host[colon + 1..];
            (port.is_empty() || port.bytes().all(|digit| digit.is_ascii_digit())).then(|| &host[..colon])
        }
    }
}
