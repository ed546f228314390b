//! The command `ready URL [--wait[=DURATION]]`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use smtpmock::hosts;

use super::values::{self, SignedSpan};
use super::{Action, Failure};

pub(super) const READY: &str = "ready";

/// How long `--wait` waits by default.
const WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadyTarget {
    /// As typed.
    pub(crate) url: String,
    pub(crate) at: ReadyWhere,
    pub(crate) path: String,
    /// `None`: a single attempt.
    pub(crate) wait: Option<Duration>,
}

/// Its address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadyWhere {
    /// Host and port.
    Tcp(String),
    Unix(PathBuf),
}

/// Reads what follows the command.
///
/// # Errors
/// It is not a URL, or more arguments follow.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Action, Failure> {
    const USAGE: &str = "expected smtpmock ready http://127.0.0.1:8025 [--wait[=30s]], or unix:/PATH";
    let (mut url, mut wait) = (None, None);
    for argument in arguments {
        let text = argument.to_string_lossy();
        match text.strip_prefix("--wait").or(text.strip_prefix("-wait")) {
            Some("") => wait = Some(WAIT),
            Some(value) if value.starts_with('=') => {
                let bad = |expected| {
                    Failure::Usage(format!("invalid value {:?} for --wait: {expected}", &value[1..]))
                };
                wait = Some(match values::positive_span(OsStr::new(&value[1..])).map_err(bad)? {
                    SignedSpan::Positive(duration) => duration,
                    _ => Duration::ZERO,
                });
            }
            _ if url.is_none() && !text.starts_with('-') => url = Some(text.into_owned()),
            _ => return Err(Failure::Usage(format!("unexpected argument {text:?} behind {READY}: {USAGE}"))),
        }
    }
    let url = url.ok_or_else(|| Failure::Usage(format!("{READY} needs a URL: {USAGE}")))?;
    let target =
        target(&url, "/readyz").ok_or_else(|| Failure::Usage(format!("invalid URL {url:?}: {USAGE}")))?;
    Ok(Action::Ready(ReadyTarget { url, at: target.0, path: target.1, wait }))
}

/// The address and path of a URL; without a path, `default`.
pub(super) fn target(url: &str, default: &str) -> Option<(ReadyWhere, String)> {
    let is_plain = |text: &str| text.bytes().all(|octet| octet.is_ascii_graphic());
    if let Some(path) = url.strip_prefix("unix:") {
        return path.starts_with('/').then(|| (ReadyWhere::Unix(path.into()), default.to_owned()));
    }
    let rest =
        url.strip_prefix("http://").filter(|rest| is_plain(rest) && !rest.contains(['@', '?', '#']))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = hosts::name(authority)?;
    let port = authority.strip_prefix(host)?.trim_start_matches(['.', ':']);
    let is_port = port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    let path = if path.len() > 1 { path } else { default };
    is_port.then(|| (ReadyWhere::Tcp(authority.to_owned()), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Action, Failure> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn a_url_leads_to_readyz_unless_it_has_a_path() {
        for (url, at, path) in [
            ("http://127.0.0.1:8025", ReadyWhere::Tcp("127.0.0.1:8025".to_owned()), "/readyz"),
            ("http://[::1]:8025/", ReadyWhere::Tcp("[::1]:8025".to_owned()), "/readyz"),
            ("http://mock:1/livez", ReadyWhere::Tcp("mock:1".to_owned()), "/livez"),
            ("unix:/run/mock.sock", ReadyWhere::Unix("/run/mock.sock".into()), "/readyz"),
        ] {
            let Ok(Action::Ready(target)) = parsed(&[url]) else { panic!("{url}") };
            assert_eq!((target.at, target.path.as_str(), target.wait), (at, path, None));
        }
        for (wait, expected) in [
            ("--wait", WAIT),
            ("--wait=1.5s", Duration::from_millis(1500)),
            ("-wait=2", Duration::from_secs(2)),
        ] {
            for arguments in [["http://a", wait], [wait, "http://a"]] {
                let Ok(Action::Ready(target)) = parsed(&arguments) else { panic!("{arguments:?}") };
                assert_eq!(target.wait, Some(expected));
            }
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for (arguments, expected) in [
            (&[][..], "ready needs a URL"),
            (&["https://a"], "invalid URL \"https://a\""),
            (&["http://"], "invalid URL"),
            (&["http://a b"], "invalid URL"),
            (&["http://a:x"], "invalid URL"),
            (&["http://a:0"], "invalid URL"),
            (&["http://a:65536"], "invalid URL"),
            (&["http://[::1"], "invalid URL"),
            (&["http://:80"], "invalid URL"),
            (&["unix:x"], "invalid URL"),
            (&["http://a", "http://b"], "unexpected argument \"http://b\""),
            (&["http://a", "--port"], "unexpected argument \"--port\""),
            (&["http://a", "--wait=x"], "invalid value \"x\" for --wait: expected"),
        ] {
            let Err(Failure::Usage(text)) = parsed(arguments) else { panic!("{arguments:?}") };
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
