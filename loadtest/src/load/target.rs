//! The addresses of the target, in the order in which they are tried. Names are resolved by the caller's function.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::{fmt, io};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// The longest path of a Unix socket, in bytes.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What stands before a target that is encrypted from the start.
const SMTPS: &str = "smtps://";

/// The port of a target without one (RFC 5321 section 4.5.4.2), and with TLS from the start (RFC 8314 section 7.3).
const PORT_DEFAULT: u16 = 25;
const PORT_SMTPS: u16 = 465;

/// An address of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Inet(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    /// The IP address and port, if it has one.
    pub(crate) fn inet(&self) -> Option<SocketAddr> {
        match self {
            Endpoint::Inet(address) => Some(*address),
            Endpoint::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Inet(address) => address.fmt(f),
            Endpoint::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Which addresses may be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed<'a> {
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
    /// Source addresses; empty for any.
    pub(crate) sources: &'a [IpAddr],
    /// LMTP has no port of its own.
    pub(crate) is_lmtp: bool,
}

/// Why a target has no address that may be used.
#[derive(Debug)]
pub(crate) enum TargetError {
    Unresolved {
        target: String,
        error: io::Error,
    },
    NoAddress {
        target: String,
        is_ipv4_allowed: bool,
    },
    /// LMTP on no port, or on that of SMTP.
    NoPort {
        target: String,
    },
    /// A URL of another scheme than `smtps`.
    Scheme {
        target: String,
    },
    /// Not a path that a socket can have.
    SocketPath {
        target: String,
    },
    /// A source address or a family, which a Unix socket does not have.
    NotInet {
        target: String,
    },
    /// No address is of the family of this source.
    OtherFamily {
        source: IpAddr,
        address: SocketAddr,
    },
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Unresolved { target, error } => {
                write!(
                    f,
                    "the target `{target}`: {error}; write HOST:PORT, like 127.0.0.1:2525 or [::1]:2525, or unix:PATH"
                )
            }
            TargetError::NoAddress { target, is_ipv4_allowed } => {
                let (family, flag) = if *is_ipv4_allowed { ("IPv4", "-4") } else { ("IPv6", "-6") };
                write!(f, "the target `{target}` has no {family} address; omit {flag} or name another host")
            }
            TargetError::Scheme { target } => write!(
                f,
                "the target `{target}`: write HOST[:PORT] for a server that greets in the clear, with --starttls to use \
                 STARTTLS, or smtps://HOST[:PORT] for TLS from the start; with either, --lmtp is for LMTP"
            ),
            TargetError::SocketPath { target } => write!(
                f,
                "the target `{target}`: a socket has a path of 1 to {SOCKET_PATH_LIMIT} bytes, like unix:/run/mock.sock"
            ),
            TargetError::NotInet { target } => write!(
                f,
                "the target `{target}` is a Unix socket, which has no IP address: omit --bind, -4 and -6"
            ),
            TargetError::NoPort { target } => write!(
                f,
                "the target `{target}` with --lmtp: LMTP is not spoken on port {PORT_DEFAULT} (RFC 2033 section 5); write \
                 HOST:PORT, like 127.0.0.1:24, or unix:PATH"
            ),
            TargetError::OtherFamily { source, address } => {
                write!(f, "--bind {source}: the target is {address}, which is of the other IP family")
            }
        }
    }
}

impl std::error::Error for TargetError {}

/// Whether the target is encrypted from the start.
pub(crate) fn is_smtps(target: &str) -> bool {
    target.starts_with(SMTPS)
}

/// The host's name or IP address in a target; `None` for a Unix socket.
pub(crate) fn host(target: &str) -> Option<&str> {
    let named = target.strip_prefix(SMTPS).unwrap_or(target);
    if named.starts_with(UNIX) {
        return None;
    }
    let host = if has_port(named) { named.rsplit_once(':')?.0 } else { named };
    Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
}

/// The allowed addresses of `target` (`[smtps://]HOST[:PORT]`, `unix:PATH`), at least one, in the order in which they are tried.
pub(crate) fn addresses(
    target: &str,
    allowed: Allowed<'_>,
    resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>>,
) -> Result<Vec<Endpoint>, TargetError> {
    if let Some(path) = target.strip_prefix(UNIX) {
        if !(1..=SOCKET_PATH_LIMIT).contains(&path.len()) {
            return Err(TargetError::SocketPath { target: target.to_owned() });
        }
        if !allowed.sources.is_empty() || !allowed.ipv4 || !allowed.ipv6 {
            return Err(TargetError::NotInet { target: target.to_owned() });
        }
        return Ok(vec![Endpoint::Unix(path.into())]);
    }
    let named = target.strip_prefix(SMTPS).unwrap_or(target);
    if named.contains("://") {
        return Err(TargetError::Scheme { target: target.to_owned() });
    }
    if allowed.is_lmtp && port_of(named).is_none_or(|port| port == PORT_DEFAULT.to_string()) {
        return Err(TargetError::NoPort { target: target.to_owned() });
    }
    let port = if is_smtps(target) { PORT_SMTPS } else { PORT_DEFAULT };
    let named = if has_port(named) { named.to_owned() } else { format!("{named}:{port}") };
    let found =
        resolve(&named).map_err(|error| TargetError::Unresolved { target: target.to_owned(), error })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if if address.is_ipv4() { allowed.ipv4 } else { allowed.ipv6 } && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(TargetError::NoAddress { target: target.to_owned(), is_ipv4_allowed: allowed.ipv4 });
    }
    let same_family = |source: &IpAddr, address: &SocketAddr| source.is_ipv4() == address.is_ipv4();
    for source in allowed.sources {
        if !addresses.iter().any(|address| same_family(source, address)) {
            return Err(TargetError::OtherFamily { source: *source, address: addresses[0] });
        }
    }
    addresses.retain(|address| {
        allowed.sources.is_empty() || allowed.sources.iter().any(|source| same_family(source, address))
    });
    Ok(addresses.into_iter().map(Endpoint::Inet).collect())
}

fn has_port(target: &str) -> bool {
    port_of(target).is_some()
}

fn port_of(target: &str) -> Option<&str> {
    let (host, port) = target.rsplit_once(':')?;
    (!port.contains(']') && (!host.contains(':') || host.ends_with(']'))).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Allowed<'_> = Allowed { ipv4: true, ipv6: true, sources: &[], is_lmtp: false };

    /// Resolves a name with two addresses.
    fn duo(named: &str) -> io::Result<Vec<SocketAddr>> {
        let port = named.strip_prefix("duo:").ok_or(io::ErrorKind::NotFound)?;
        let all = [format!("[::1]:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
        Ok(all.iter().map(|one| one.parse().unwrap()).collect())
    }

    fn of(target: &str, allowed: Allowed<'_>) -> Result<Vec<String>, String> {
        let found = addresses(target, allowed, duo).map_err(|error| error.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_address_is_tried_once_in_the_resolvers_order() {
        assert_eq!(of("duo:2525", ANY).unwrap(), ["[::1]:2525", "127.0.0.1:2525"]);
        assert_eq!(of("duo", ANY).unwrap(), ["[::1]:25", "127.0.0.1:25"]);
    }

    #[test]
    fn families_and_sources_leave_out_what_does_not_fit() {
        assert_eq!(of("duo", Allowed { ipv6: false, ..ANY }).unwrap(), ["127.0.0.1:25"]);
        assert_eq!(of("duo", Allowed { ipv4: false, ..ANY }).unwrap(), ["[::1]:25"]);
        let v4: IpAddr = "127.0.0.9".parse().unwrap();
        assert_eq!(of("duo", Allowed { sources: &[v4], ..ANY }).unwrap(), ["127.0.0.1:25"]);
        let both = [v4, "::1".parse().unwrap()];
        assert_eq!(of("duo", Allowed { sources: &both, ..ANY }).unwrap().len(), 2);
        let wrong = of("duo", Allowed { ipv4: false, sources: &[v4], ..ANY }).unwrap_err();
        assert!(wrong.contains("--bind 127.0.0.9") && wrong.contains("[::1]:25"), "{wrong}");
    }

    #[test]
    fn what_has_no_address_says_what_would_be_right() {
        assert!(of("solo:25", ANY).unwrap_err().contains("HOST:PORT"));
        let none = addresses("mute", Allowed { ipv6: false, ..ANY }, |_| Ok(Vec::new())).unwrap_err();
        assert!(none.to_string().contains("no IPv4 address; omit -4"), "{none}");
    }

    #[test]
    fn other_schemes_than_smtps_name_what_is_written_instead() {
        assert_eq!(of("smtps://duo", ANY).unwrap(), ["[::1]:465", "127.0.0.1:465"]);
        let lmtp = Allowed { is_lmtp: true, ..ANY };
        for target in
            ["smtp://duo", "smtp://duo:25", "lmtp://duo:24", "lmtps://duo:24", "SMTPS://duo", "tls://duo"]
        {
            for allowed in [ANY, lmtp] {
                let error = of(target, allowed).unwrap_err();
                assert!(error.contains(&format!("`{target}`")) && error.contains("smtps://HOST"), "{error}");
                assert!(error.contains("--starttls") && error.contains("--lmtp"), "{error}");
            }
        }
    }

    #[test]
    fn a_socket_is_a_path_without_sources_and_families() {
        for is_lmtp in [false, true] {
            let allowed = Allowed { is_lmtp, ..ANY };
            assert_eq!(of("unix:/run/a b:25", allowed).unwrap(), ["unix:/run/a b:25"]);
        }
        assert!(of("unix:", ANY).unwrap_err().contains("unix:/run/mock.sock"));
        assert!(of(&format!("unix:/{}", "x".repeat(SOCKET_PATH_LIMIT)), ANY).is_err());
        let source = ["127.0.0.1".parse().unwrap()];
        for allowed in [Allowed { sources: &source, ..ANY }, Allowed { ipv4: false, ..ANY }] {
            assert!(of("unix:a", allowed).unwrap_err().contains("omit --bind, -4 and -6"));
        }
    }

    #[test]
    fn lmtp_needs_a_port_that_is_not_that_of_smtp() {
        let allowed = Allowed { is_lmtp: true, ..ANY };
        assert_eq!(of("duo:24", allowed).unwrap().len(), 2);
        for target in ["duo", "duo:25", "[::1]", "127.0.0.1:25"] {
            let error = of(target, allowed).unwrap_err();
            assert!(
                error.contains(target) && error.contains("--lmtp") && error.contains("127.0.0.1:24"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_port_is_seen_where_one_is() {
        for with in ["a:25", "127.0.0.1:25", "[::1]:25"] {
            assert!(has_port(with), "{with}");
        }
        for without in ["a", "127.0.0.1", "[::1]", "::1"] {
            assert!(!has_port(without), "{without}");
        }
    }
}
