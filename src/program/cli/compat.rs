//! `--compat mailpit`: the addresses, replies and variables of Mailpit, so that this program can replace it in a
//! container.
//!
//! Each becomes a setting of a flag with the lowest precedence: arguments, variables and file override it.

use std::ffi::OsString;
use std::net::{Ipv6Addr, UdpSocket};

use super::flag::Flag;
use super::flags::{LISTEN, OF_DEFAULT_LISTENER};
use super::goflags::Given;

pub(super) const COMPAT: &str = "compat";
pub(super) const MAILPIT: &str = "mailpit";

/// The prefix of Mailpit's variables.
const PREFIX: &str = "MP_";

/// The variables that together configure one listener.
const BIND_ADDR: &str = "MP_SMTP_BIND_ADDR";
const REQUIRE_TLS: &str = "MP_SMTP_REQUIRE_TLS";
const UI_BIND_ADDR: &str = "MP_UI_BIND_ADDR";

/// All addresses, IPv4 ones too, as Mailpit binds them; and those of a machine without IPv6, as some containers are.
const EVERYWHERE: &str = "[::]";
const EVERYWHERE_IN_IPV4: &str = "0.0.0.0";
/// Port of the only listener.
const SMTP_PORT: &str = ":1025";

/// The addresses of the listeners, if IPv6 is available.
const ADDRESSES: &[(&str, &str)] = &[("host", EVERYWHERE), ("http", "[::]:8025")];

/// The other defaults. Names below `internal` are assigned to nobody: `host.docker.internal` is the host of a container.
const DEFAULTS: &[(&str, &str)] = &[
    ("port", "1025"),
    ("http-host", "*.internal"),
    ("esmtp", "true"),
    ("extensions", "-PIPELINING,-DSN,-CHUNKING,-BINARYMIME,-LIMITS"),
    ("msg-size-limit", "50MiB"),
    ("max-rcpts", "100"),
    ("msg-greeting", "220 localhost Mailpit ESMTP Service ready"),
    ("msg-helo-received", "250 localhost greets {{helo}}"),
    ("msg-mailfrom-received", "250 2.1.0 Ok"),
    ("msg-rcptto-received", "250 2.1.5 Ok"),
    ("msg-data-received", "354 Start mail input; end with <CR><LF>.<CR><LF>"),
    ("msg-msg-received", "250 2.0.0 Ok: queued as {{plain_id}}"),
    ("msg-rset-received", "250 2.0.0 Ok"),
    ("msg-noop-received", "250 2.0.0 Ok"),
    ("msg-quit-cmd", "221 2.0.0 localhost Service closing transmission channel"),
];

/// The mechanisms that Mailpit offers.
const MECHANISMS: (&str, &str) = ("auth-mechanisms", "PLAIN,LOGIN");

/// Variables without any effect that a test can see here: their feature is absent, or always on.
const WITHOUT_EFFECT: &[&str] = &[
    "ALLOW_UNTRUSTED_TLS",
    "BLOCK_REMOTE_CSS_AND_FONTS",
    "COMPRESSION",
    "DATABASE",
    "DATA_FILE",
    "DB_FILE",
    "DISABLE_HTML_CHECK",
    "DISABLE_HTTP_COMPRESSION",
    "DISABLE_VERSION_CHECK",
    "DISABLE_WAL",
    "ENABLE_CHAOS",
    "HIDE_DELETE_ALL_BUTTON",
    "LABEL",
    "QUIET",
    "SMTP_DISABLE_RDNS",
    "TENANT_ID",
    "VERBOSE",
];

/// Whether these settings have the flag.
pub(super) fn is_on(given: &[Given]) -> bool {
    given.iter().rfind(|given| given.kebab == COMPAT).is_some_and(|given| given.value == MAILPIT)
}

/// Whether sockets of this machine can have IPv6 addresses.
pub(super) fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// The address as Mailpit binds it, whose library takes no host and `0.0.0.0` for all addresses of IPv4 and IPv6.
fn bound(address: &str, has_ipv6: bool) -> String {
    let (host, port) = address.rsplit_once(':').filter(|_| address != EVERYWHERE).unwrap_or((address, ""));
    let is_everywhere = ["", EVERYWHERE, EVERYWHERE_IN_IPV4].contains(&host);
    match is_everywhere {
        true if port.is_empty() => everywhere(has_ipv6).to_owned(),
        true => format!("{}:{port}", everywhere(has_ipv6)),
        false => address.to_owned(),
    }
}

fn everywhere(has_ipv6: bool) -> &'static str {
    if has_ipv6 { EVERYWHERE } else { EVERYWHERE_IN_IPV4 }
}

/// The settings equivalent to Mailpit's variables and defaults, unless given explicitly, and a line for each variable
/// that is set but has no effect.
pub(super) fn settings(
    given: &[Given],
    table: &[Flag],
    environment: &[(OsString, OsString)],
    has_ipv6: impl FnOnce() -> bool,
) -> (Vec<Given>, Vec<String>) {
    if !is_on(given) {
        return (Vec::new(), Vec::new());
    }
    let has_ipv6 = has_ipv6();
    // With --listen the default listener does not exist.
    let is_replaced_by = |kebab: &str, given: &Given| {
        given.kebab == kebab || given.kebab == LISTEN && OF_DEFAULT_LISTENER.contains(&kebab)
    };
    let is_among = |given: &[Given], kebab: &str| given.iter().any(|given| is_replaced_by(kebab, given));
    let (mut settings, doubts) = of_variables(environment, has_ipv6);
    settings.retain(|setting| !is_among(given, &setting.kebab));
    let mut defaults = defaults(has_ipv6);
    defaults.retain(|setting| !is_among(given, &setting.kebab) && !is_among(&settings, &setting.kebab));
    settings.extend(defaults);
    debug_assert!(
        settings.iter().all(|setting| table.iter().any(|flag| flag.kebab == setting.kebab)),
        "each is a flag"
    );
    (settings, doubts)
}

/// The settings equivalent to Mailpit's variables, and a line for each variable that is set but has no effect.
fn of_variables(environment: &[(OsString, OsString)], has_ipv6: bool) -> (Vec<Given>, Vec<String>) {
    let (mut settings, mut doubts) = (Vec::new(), Vec::new());
    let variables = || {
        let pairs = environment.iter().map(|(name, value)| (name.to_str(), value.to_string_lossy()));
        let own =
            pairs.filter_map(|(name, value)| Some((name.filter(|name| name.starts_with(PREFIX))?, value)));
        own.filter(|(_, value)| !value.is_empty())
    };
    let requires_tls = variables().any(|(name, value)| name == REQUIRE_TLS && is_on_word(&value));
    let is_bound = variables().any(|(name, _)| name == BIND_ADDR);
    for (name, value) in variables() {
        let pairs = match name {
            // Both configure the same and only listener, which is encrypted.
            BIND_ADDR if requires_tls => Some(vec![("listen", tls_listener(&bound(&value, has_ipv6)))]),
            REQUIRE_TLS if requires_tls && !is_bound => {
                Some(vec![("listen", tls_listener(&bound(SMTP_PORT, has_ipv6)))])
            }
            BIND_ADDR if unix_path(&value).is_none() => Some(vec![("host", bound(&value, has_ipv6))]),
            UI_BIND_ADDR => Some(vec![("http", bound(&value, has_ipv6))]),
            _ => of_variable(&name[PREFIX.len()..], &value),
        };
        match pairs {
            Some(pairs) => settings.extend(pairs.into_iter().map(|(kebab, value)| Given {
                kebab: kebab.to_owned(),
                value: value.into(),
                typed: name.to_owned(),
            })),
            None => doubts.push(format!("{name} has no effect here: see \"From Mailpit\" in the README")),
        }
    }
    (settings, doubts)
}

/// The settings equivalent to Mailpit's defaults.
fn defaults(has_ipv6: bool) -> Vec<Given> {
    let addresses = ADDRESSES.iter().map(|(kebab, address)| (*kebab, bound(address, has_ipv6)));
    let others = DEFAULTS.iter().map(|(kebab, value)| (*kebab, (*value).to_owned()));
    let given = |(kebab, value): (&str, String)| Given {
        kebab: kebab.to_owned(),
        value: value.into(),
        typed: format!("--{COMPAT} {MAILPIT}"),
    };
    addresses.chain(others).map(given).collect()
}

/// Whether a value means "on".
fn is_on_word(value: &str) -> bool {
    ["1", "true", "yes", "on", "enabled"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

/// The path of an address like `unix:PATH` or `unix:PATH:MODE`.
fn unix_path(address: &str) -> Option<&str> {
    address.strip_prefix("unix:").map(|path| path.split(':').next().unwrap_or(path))
}

/// The value of `--listen` for a single listener at this address with TLS from the first octet.
fn tls_listener(address: &str) -> String {
    unix_path(address).map_or_else(|| format!("smtps://{address}"), |path| format!("smtps+unix://{path}"))
}

/// The settings equivalent to a variable; `None` if it should have an effect but has none.
fn of_variable(name: &str, value: &str) -> Option<Vec<(&'static str, String)>> {
    let is_on = is_on_word(value);
    let pairs = |settings: &[(&'static str, &str)]| -> Vec<_> {
        settings.iter().map(|(kebab, value)| (*kebab, (*value).to_owned())).collect()
    };
    let switch = |settings: &[(&'static str, &str)]| if is_on { pairs(settings) } else { Vec::new() };
    let one = |kebab| vec![(kebab, value.to_owned())];
    let names = value.strip_prefix("sans:");
    Some(match name {
        "SMTP_BIND_ADDR" => vec![("listen", format!("smtp+unix://{}", unix_path(value)?))],
        "MAX_MESSAGES" => match value {
            // All are retained, within the memory limit.
            "0" => vec![("keep-messages", "1000000".to_owned())],
            _ => one("keep-messages"),
        },
        "MAX_MESSAGE_SIZE" => vec![("msg-size-limit", format!("{value}MiB"))],
        "SMTP_MAX_RECIPIENTS" => one("max-rcpts"),
        "SMTP_AUTH" => {
            let users = value.split_whitespace().map(|user| ("auth", user.to_owned()));
            users.chain(pairs(&[("auth-required", "true"), MECHANISMS])).collect()
        }
        "SMTP_AUTH_FILE" => pairs(&[("auth-file", value), ("auth-required", "true"), MECHANISMS]),
        "SMTP_AUTH_ACCEPT_ANY" => switch(&[("auth", "any"), MECHANISMS]),
        "SMTP_AUTH_ALLOW_INSECURE" => switch(&[("auth-clear", "allow")]),
        "SMTP_TLS_CERT" if names.is_some() => vec![("tls-name", names.unwrap_or_default().to_owned())],
        "SMTP_TLS_CERT" => one("tls-cert"),
        "SMTP_TLS_KEY" => one("tls-key"),
        "SMTP_REQUIRE_STARTTLS" => switch(&[("tls-required", "true")]),
        "SMTP_REQUIRE_TLS" => Vec::new(),
        "UI_AUTH" if !value.trim().contains(char::is_whitespace) => one("http-auth"),
        "API_CORS" if value.split(',').all(|origin| origin.contains("://")) => one("http-allow-origin"),
        "CHAOS_TRIGGERS" => chaos(value)?.into_iter().map(|rule| ("rule", rule)).collect(),
        _ if WITHOUT_EFFECT.contains(&name) => Vec::new(),
        _ => return None,
    })
}

/// The rules of triggers like `Sender:451:5,Authentication:535:20`.
fn chaos(value: &str) -> Option<Vec<String>> {
    let rule = |trigger: &str| {
        let mut parts = trigger.trim().split(':');
        let (name, code, percent) = (parts.next()?, parts.next()?, parts.next()?);
        let (stage, text) = match name.to_ascii_lowercase().as_str() {
            "sender" => ("mail", "sender"),
            "recipient" => ("rcpt", "recipient"),
            "authentication" => ("auth", "authentication"),
            _ => return None,
        };
        (percent != "0").then(|| {
            format!("{stage} id=mailpit-chaos-{text} odds={percent}% reply=\"{code} Chaos {text} error\"")
        })
    };
    value.split(',').map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_bound_as_by_mailpit() {
        for (address, with_ipv6, without) in [
            (":1025", "[::]:1025", "0.0.0.0:1025"),
            ("0.0.0.0:1025", "[::]:1025", "0.0.0.0:1025"),
            ("[::]:8025", "[::]:8025", "0.0.0.0:8025"),
            ("[::]", "[::]", "0.0.0.0"),
            ("[::1]:1025", "[::1]:1025", "[::1]:1025"),
            ("127.0.0.1:1025", "127.0.0.1:1025", "127.0.0.1:1025"),
            ("unix:/run/mail.sock:0600", "unix:/run/mail.sock:0600", "unix:/run/mail.sock:0600"),
        ] {
            assert_eq!((bound(address, true), bound(address, false)), (with_ipv6.into(), without.into()));
        }
    }
}
