//! Parses the configured hosts and URLs into the addresses of listeners.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use super::Config;
use crate::config::ConfigError;
use crate::smtp::Protocol;
use crate::text::percent_decoded;

const EXPECTED_HOST: &str = "an IPv4 or IPv6 address of this machine, like 127.0.0.1, [::1], 0.0.0.0 or 127.0.0.1:2525, or localhost (names are not looked up)";

/// The maximum length of the path of a Unix socket, in octets: `sun_path` without its NUL (unix(7)).
const LONGEST_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// Octets of the name of an inbox.
const LONGEST_INBOX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Unix,
}

struct Scheme {
    name: &'static str,
    protocol: Protocol,
    is_encrypted: bool,
    transport: Transport,
}

const SCHEMES: &[Scheme] = &[
    scheme("smtp", Protocol::Smtp, false, Transport::Tcp),
    scheme("smtp+unix", Protocol::Smtp, false, Transport::Unix),
    scheme("lmtp", Protocol::Lmtp, false, Transport::Tcp),
    scheme("lmtp+unix", Protocol::Lmtp, false, Transport::Unix),
    scheme("smtps", Protocol::Smtp, true, Transport::Tcp),
    scheme("smtps+unix", Protocol::Smtp, true, Transport::Unix),
    scheme("lmtps", Protocol::Lmtp, true, Transport::Tcp),
    scheme("lmtps+unix", Protocol::Lmtp, true, Transport::Unix),
];

const fn scheme(name: &'static str, protocol: Protocol, is_encrypted: bool, transport: Transport) -> Scheme {
    Scheme { name, protocol, is_encrypted, transport }
}

/// A configured listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) protocol: Protocol,
    /// TLS begins with each connection.
    pub(crate) is_encrypted: bool,
    pub(crate) at: ListenAt,
    pub(crate) proxy: ProxyHeaders,
    /// In lower case.
    pub(crate) inbox: Option<Arc<str>>,
}

/// PROXY headers at the beginning of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ProxyHeaders {
    #[default]
    None,
    /// Trusted peers may send one.
    Accepted,
    /// All connections must begin with one, and all peers must be trusted.
    Required,
}

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAt {
    Inet {
        address: SocketAddr,
        /// Whether the port is the common one of the setting, not one given with the address.
        takes_common_port: bool,
    },
    Unix {
        path: Arc<Path>,
        /// Permissions of the file; `None`: those of the umask.
        mode: Option<u32>,
    },
}

impl Config {
    /// The listeners, each address once: first those of [`hosts`](Self::hosts) and [`port`](Self::port), whose
    /// defaults apply only if there are no URLs, then those of the URLs.
    pub(crate) fn listeners(&self) -> Result<Vec<Listen>, ConfigError> {
        let fixed = &self.fixed;
        let has_hosts = fixed.listen.is_empty() || fixed.hosts.is_some() || fixed.port.is_some();
        let default = [Ipv4Addr::LOCALHOST.to_string()];
        let hosts = fixed.hosts.as_deref().unwrap_or(if has_hosts { &default } else { &[] });
        if has_hosts && hosts.is_empty() {
            return Err(ConfigError::new("hosts", "", EXPECTED_HOST));
        }
        let hosts = hosts.iter().map(|host| ("hosts", host, host_listener(host, fixed.port.unwrap_or(0))));
        let urls = fixed.listen.iter().map(|url| ("listen", url, url_listener(url)));
        let mut listeners = Vec::<Listen>::new();
        for (setting, text, listener) in hosts.chain(urls) {
            let listener = listener?;
            if listener.is_encrypted && fixed.tls.is_none() {
                return Err(ConfigError::new(setting, text, "TLS for it: --tls, Config::tls()"));
            }
            if listeners.iter().any(|other| other.at.is_same(&listener.at)) {
                return Err(ConfigError::new(setting, text, "each address once"));
            }
            listeners.push(listener);
        }
        Ok(listeners)
    }
}

impl ListenAt {
    /// Any free port is a different one each time.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            (Self::Inet { address, takes_common_port: false }, _) if address.port() == 0 => false,
            _ => self == other,
        }
    }
}

fn host_listener(host: &str, port: u16) -> Result<Listen, ConfigError> {
    let at = inet(host.trim(), port).ok_or_else(|| ConfigError::new("hosts", host, EXPECTED_HOST))?;
    let proxy = ProxyHeaders::None;
    Ok(Listen { protocol: Protocol::Smtp, is_encrypted: false, at, proxy, inbox: None })
}

/// An address with its own port or the common one.
fn inet(host: &str, common_port: u16) -> Option<ListenAt> {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Some(ListenAt::Inet { address, takes_common_port: false });
    }
    if let Some(own) = host.strip_prefix("localhost:") {
        let address = (Ipv4Addr::LOCALHOST, own.parse().ok()?).into();
        return Some(ListenAt::Inet { address, takes_common_port: false });
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let ip = match host.eq_ignore_ascii_case("localhost") {
        true => Ipv4Addr::LOCALHOST.into(),
        false => bare.parse::<IpAddr>().ok()?,
    };
    Some(ListenAt::Inet { address: (ip, common_port).into(), takes_common_port: true })
}

/// The address of the control plane: `[ADDRESS:]PORT`, on 127.0.0.1 without one, or `unix:PATH`.
#[cfg(feature = "http")]
pub(crate) fn http_listener(text: &str) -> Result<ListenAt, ConfigError> {
    const EXPECTED: &str = "a port of 127.0.0.1, like 8025 (0: any free one), ADDRESS:PORT with an IPv4 or IPv6 address of this \
                            machine, like 0.0.0.0:8025 or [::1]:8025, or a Unix socket, like unix:/run/mock-http.sock";
    let refused = || ConfigError::new("http", text, EXPECTED);
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') || path.len() > LONGEST_PATH {
            return Err(refused());
        }
        return Ok(ListenAt::Unix { path: Path::new(path).into(), mode: None });
    }
    if let Some(port) = text.parse().ok().filter(|_| !text.starts_with('+')) {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        return Ok(ListenAt::Inet { address, takes_common_port: false });
    }
    inet(text, 0)
        .filter(|at| matches!(at, ListenAt::Inet { takes_common_port: false, .. }))
        .ok_or_else(refused)
}

fn url_listener(url: &str) -> Result<Listen, ConfigError> {
    let refused = |expected: String| ConfigError::new("listen", url, expected);
    let (name, rest) = url.trim().split_once("://").unwrap_or(("", ""));
    let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name.eq_ignore_ascii_case(name)) else {
        let forms: Vec<_> = SCHEMES.iter().map(Scheme::form).collect();
        return Err(refused(forms.join(" or ")));
    };
    let listener = url_parts(scheme.transport, rest);
    let (at, Query { proxy, inbox, .. }) =
        listener.map_err(|reason| refused(format!("{}: {reason}", scheme.form())))?;
    let &Scheme { protocol, is_encrypted, .. } = scheme;
    Ok(Listen { protocol, is_encrypted, at, proxy: proxy.unwrap_or_default(), inbox })
}

/// Whether the connections of a listener with this URL may begin with a header of the PROXY protocol.
pub(super) fn takes_proxy_headers(url: &str) -> bool {
    url_listener(url).is_ok_and(|listen| listen.proxy != ProxyHeaders::None)
}

/// The inbox of the listener of this URL.
pub(super) fn inbox_of(url: &str) -> Option<Arc<str>> {
    url_listener(url).ok()?.inbox
}

/// Whether the listener of this URL speaks LMTP.
pub(super) fn speaks_lmtp(url: &str) -> bool {
    url_listener(url).is_ok_and(|listen| listen.protocol == Protocol::Lmtp)
}

/// Whether TLS begins with the connections of the listener of this URL.
pub(super) fn is_encrypted(url: &str) -> bool {
    url_listener(url).is_ok_and(|listen| listen.is_encrypted)
}

/// Parses what follows the scheme.
fn url_parts(transport: Transport, rest: &str) -> Result<(ListenAt, Query), ListenUrlError> {
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let query = query.map_or(Ok(Query::default()), |query| Query::parse(transport, query))?;
    let at = match transport {
        Transport::Tcp => tcp_url(place),
        Transport::Unix => unix_url(place, query.mode),
    }?;
    Ok((at, query))
}

/// The options of a URL.
#[derive(Default)]
struct Query {
    /// Permissions of the file of a Unix socket.
    mode: Option<u32>,
    proxy: Option<ProxyHeaders>,
    inbox: Option<Arc<str>>,
}

impl Query {
    /// Parses `option=value`, separated by `&`.
    fn parse(transport: Transport, text: &str) -> Result<Self, ListenUrlError> {
        let mut query = Self::default();
        for option in text.split('&') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match (name, transport) {
                ("proxy", _) if query.proxy.is_none() => {
                    query.proxy = Some(match value {
                        "accept" => ProxyHeaders::Accepted,
                        "require" => ProxyHeaders::Required,
                        _ => return Err(ListenUrlError::Proxy),
                    });
                }
                ("inbox", _) if query.inbox.is_none() => {
                    query.inbox = Some(inbox(value).ok_or(ListenUrlError::Inbox)?);
                }
                ("mode", Transport::Unix) if query.mode.is_none() => {
                    query.mode = Some(file_mode(value).ok_or(ListenUrlError::Option(transport))?);
                }
                _ => return Err(ListenUrlError::Option(transport)),
            }
        }
        Ok(query)
    }
}

impl Scheme {
    /// The syntax of its URLs, for errors.
    fn form(&self) -> String {
        let rest = match self.transport {
            Transport::Tcp => "ADDRESS:PORT?proxy=accept",
            Transport::Unix => "/PATH?mode=0666&proxy=accept",
        };
        format!("{}://{rest}", self.name)
    }
}

/// Why a URL is no valid address after its scheme. Displays the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListenUrlError {
    Address,
    /// For a Unix socket, like the following ones.
    RelativePath,
    Encoding,
    /// With its length in octets.
    PathTooLong(usize),
    /// For any transport, like the following ones.
    Proxy,
    Inbox,
    Option(Transport),
}

impl fmt::Display for ListenUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => {
                "the address is an IPv4 one, an IPv6 one in brackets, or localhost, of this machine; without a port any \
                 free one is taken"
            }
            Self::RelativePath => "the path of the socket is absolute, like /run/mock.sock",
            Self::Encoding => "%, ? and # in a path are %25, %3F and %23, and no octet is 0",
            Self::PathTooLong(length) => {
                return write!(f, "the path has at most {LONGEST_PATH} octets, not {length}");
            }
            Self::Proxy => "proxy is accept (the PROXY header of a trusted peer) or require",
            Self::Inbox => {
                "the name of an inbox has 1 to 64 letters, digits, -, _ and ."
            }
            Self::Option(Transport::Tcp) => {
                "behind ? are, separated by &, proxy=accept or proxy=require, and inbox=NAME"
            }
            Self::Option(Transport::Unix) => {
                "behind ? are, separated by &, mode= with the permissions of the socket in octal, 0000 to 0777, \
                 proxy=accept or proxy=require, and inbox=NAME"
            }
        })
    }
}

/// Parses an address; without a port, any free port.
fn tcp_url(rest: &str) -> Result<ListenAt, ListenUrlError> {
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    // An IPv6 address without brackets is ambiguous: its end may look like a port.
    let is_bare_ipv6 = !authority.starts_with('[') && authority.matches(':').count() > 1;
    match inet(authority, 0) {
        Some(ListenAt::Inet { address, .. }) if !is_bare_ipv6 => {
            Ok(ListenAt::Inet { address, takes_common_port: false })
        }
        _ => Err(ListenUrlError::Address),
    }
}

fn unix_url(path: &str, mode: Option<u32>) -> Result<ListenAt, ListenUrlError> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(ListenUrlError::RelativePath);
    }
    let is_path = |octets: &Vec<u8>| !octets.contains(&0) && !path.contains('#');
    let path = percent_decoded(path).filter(is_path).ok_or(ListenUrlError::Encoding)?;
    if path.len() > LONGEST_PATH {
        return Err(ListenUrlError::PathTooLong(path.len()));
    }
    Ok(ListenAt::Unix { path: Path::new(&OsString::from_vec(path)).into(), mode })
}

/// A valid name of an inbox, in lower case.
fn inbox(name: &str) -> Option<Arc<str>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_name = (1..=LONGEST_INBOX).contains(&name.len()) && name.chars().all(is_part);
    is_name.then(|| name.to_ascii_lowercase().into())
}

fn file_mode(octal: &str) -> Option<u32> {
    let is_octal = !octal.is_empty() && octal.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    u32::from_str_radix(octal, 8).ok().filter(|mode| is_octal && *mode <= 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &str, mode: Option<u32>) -> ListenAt {
        ListenAt::Unix { path: Path::new(path).into(), mode }
    }

    fn tcp(address: &str) -> ListenAt {
        ListenAt::Inet { address: address.parse().expect("an address"), takes_common_port: false }
    }

    #[test]
    fn urls_name_a_protocol_and_where_it_listens() {
        let smtp = [
            ("smtp://127.0.0.1:2525", tcp("127.0.0.1:2525")),
            ("SMTP://127.0.0.1:2525/", tcp("127.0.0.1:2525")),
            ("smtp://127.0.0.1", tcp("127.0.0.1:0")),
            ("smtp://[::1]", tcp("[::1]:0")),
            ("smtp://[::1]:0", tcp("[::1]:0")),
            ("smtp://localhost:25", tcp("127.0.0.1:25")),
            ("smtp://localhost", tcp("127.0.0.1:0")),
            ("smtp+unix:///run/mock.sock", unix("/run/mock.sock", None)),
            ("smtp+unix:///run/mock.sock?mode=0666", unix("/run/mock.sock", Some(0o666))),
            ("smtp+unix:///run/mock.sock?mode=600", unix("/run/mock.sock", Some(0o600))),
            ("smtp+unix:///tmp/a%3fb%25", unix("/tmp/a?b%", None)),
        ];
        let lmtp = [
            ("lmtp://127.0.0.1:24", tcp("127.0.0.1:24")),
            ("lmtp+unix:///run/mock.sock?mode=0666", unix("/run/mock.sock", Some(0o666))),
        ];
        let all =
            smtp.map(|url| (url, Protocol::Smtp)).into_iter().chain(lmtp.map(|url| (url, Protocol::Lmtp)));
        for ((url, at), protocol) in all {
            let proxy = ProxyHeaders::None;
            assert_eq!(
                url_listener(url),
                Ok(Listen { protocol, is_encrypted: false, at, proxy, inbox: None }),
                "{url}"
            );
        }
    }

    #[test]
    fn urls_say_whether_connections_begin_with_a_proxy_header() {
        let listeners = [
            ("smtp://127.0.0.1:25?proxy=accept", tcp("127.0.0.1:25"), ProxyHeaders::Accepted),
            ("smtp://[::1]/?proxy=require", tcp("[::1]:0"), ProxyHeaders::Required),
            ("smtp+unix:///a?proxy=require", unix("/a", None), ProxyHeaders::Required),
            ("smtp+unix:///a?proxy=accept&mode=0600", unix("/a", Some(0o600)), ProxyHeaders::Accepted),
        ];
        for (url, at, proxy) in listeners {
            let listener = Listen { protocol: Protocol::Smtp, is_encrypted: false, at, proxy, inbox: None };
            assert_eq!(url_listener(url), Ok(listener), "{url}");
        }
    }

    #[test]
    fn urls_name_the_inbox_of_their_mails() {
        for (url, inbox) in [
            ("smtp://127.0.0.1:25?inbox=Test-1", Some("test-1")),
            ("lmtp+unix:///a?proxy=accept&inbox=a_b.c&mode=0600", Some("a_b.c")),
            ("smtp://127.0.0.1:25", None),
        ] {
            assert_eq!(url_listener(url).expect(url).inbox.as_deref(), inbox, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_listener_is_refused_with_what_would_be_right() {
        const FORMS: &str = "smtp://ADDRESS:PORT?proxy=accept or smtp+unix:///PATH?mode=0666&proxy=accept";
        let long = format!("smtp+unix:///{}", "x".repeat(LONGEST_PATH));
        let longest = format!("the path has at most {LONGEST_PATH} octets, not {}", LONGEST_PATH + 1);
        for (url, expected) in [
            ("", FORMS),
            ("http://127.0.0.1:24", FORMS),
            ("lmtp://127.0.0.1:x", "lmtp://ADDRESS:PORT?proxy=accept: the address is"),
            ("lmtp+unix://a", "proxy=accept: the path of the socket is absolute"),
            ("127.0.0.1:25", FORMS),
            ("smtp://", "smtp://ADDRESS:PORT?proxy=accept: the address is"),
            ("smtp://::1", "an IPv6 one in brackets"),
            ("smtp://::1:25", "an IPv6 one in brackets"),
            ("smtp://mail.example:25", "an IPv4 one"),
            ("smtp://127.0.0.1:65536", "an IPv4 one"),
            ("smtp://127.0.0.1:25?mode=0666", "behind ? are, separated by &, proxy="),
            ("smtp://127.0.0.1:25?", "behind ? are, separated by &, proxy="),
            ("smtp://127.0.0.1:25?proxy", "accept (the PROXY header"),
            ("smtp://127.0.0.1:25?proxy=no", "accept (the PROXY header"),
            ("smtp://127.0.0.1:25?proxy=accept&proxy=accept", "behind ? are, separated by &, proxy="),
            ("smtp://127.0.0.1:25?inbox=a&inbox=b", "behind ? are"),
            ("smtp://127.0.0.1:25?inbox=", "1 to 64 letters"),
            ("smtp://127.0.0.1:25?inbox=a%20b", "1 to 64 letters"),
            ("smtp+unix://mock.sock", "the path of the socket is absolute"),
            ("smtp+unix:///", "the path of the socket is absolute"),
            ("smtp+unix:///a%0", "%25, %3F and %23"),
            ("smtp+unix:///a%+1", "%25, %3F and %23"),
            ("smtp+unix:///a%00", "no octet is 0"),
            ("smtp+unix:///a#b", "%25, %3F and %23"),
            ("smtp+unix:///a?mode=0888", "in octal, 0000 to 0777"),
            ("smtp+unix:///a?mode=1777", "in octal, 0000 to 0777"),
            ("smtp+unix:///a?mode=", "in octal, 0000 to 0777"),
            ("smtp+unix:///a?owner=ann", "in octal, 0000 to 0777"),
            ("smtp+unix:///a?mode=0600&mode=0600", "in octal, 0000 to 0777"),
            ("smtp+unix:///a?mode=0600&", "in octal, 0000 to 0777"),
            (&long, &longest),
        ] {
            let error = url_listener(url).expect_err(url);
            assert_eq!((error.setting, error.value.as_str()), ("listen", url));
            assert!(error.expected.contains(expected), "{url}: {}", error.expected);
        }
    }

    #[test]
    fn the_default_listener_goes_with_the_first_url_unless_it_is_asked_for() {
        let places = |config: Config| -> Vec<ListenAt> {
            config.listeners().expect("valid").into_iter().map(|listen| listen.at).collect()
        };
        let common = |address: &str| ListenAt::Inet {
            address: address.parse().expect("an address"),
            takes_common_port: true,
        };
        let config = Config::default;
        assert_eq!(places(config()), [common("127.0.0.1:0")]);
        let url = "smtp+unix:///a";
        assert_eq!(places(config().listen(url)), [unix("/a", None)]);
        assert_eq!(places(config().listen(url).port(0)), [common("127.0.0.1:0"), unix("/a", None)]);
        assert_eq!(places(config().listen(url).port(25)), [common("127.0.0.1:25"), unix("/a", None)]);
        assert_eq!(places(config().hosts(["::1"]).listen(url)), [common("[::1]:0"), unix("/a", None)]);
    }

    #[test]
    fn an_address_is_listened_on_once() {
        let twice = Config::default().listen("smtp+unix:///a").listen("smtp+unix:///a?mode=0600");
        let error = twice.validate().expect_err("twice");
        assert_eq!((error.setting, error.value.as_str()), ("listen", "smtp+unix:///a?mode=0600"));
        assert!(Config::default().port(25).listen("smtp://127.0.0.1:26").validate().is_ok());
        assert!(Config::default().listen("smtp://127.0.0.1").listen("lmtp://127.0.0.1").validate().is_ok());
        assert!(
            Config::default().listen("smtp://127.0.0.1:25").listen("lmtp://127.0.0.1:25").validate().is_err()
        );
    }
}
