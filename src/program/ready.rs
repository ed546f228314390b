//! Announces the addresses when the server listens: the ready line for scripts, a notice for people.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process;

use chrono::{DateTime, Local};
use smtpmock::escape::escape_octets;
use smtpmock::{Endpoint, Listening, Protocol, Server};

/// The kinds of listeners in a ready line, in its order: a protocol, and whether TLS begins with the connection.
const KINDS: &[(&str, Protocol, bool)] = &[
    ("smtp", Protocol::Smtp, false),
    ("lmtp", Protocol::Lmtp, false),
    ("smtps", Protocol::Smtp, true),
    ("lmtps", Protocol::Lmtp, true),
];

/// One line of JSON, including the line end: `{"smtp":["127.0.0.1:2525","unix:/run/mock.sock"],"pid":4711}`. Only
/// `smtp` may have an empty list. With `--http` it has `"http"` with its URLs, with `--tls-ca-out` `"tls_ca"` with its
/// path.
pub(crate) fn line(listeners: &[Listening], http: Option<&str>, ca: Option<&Path>) -> String {
    let mut line = String::from("{");
    for &(kind, protocol, is_encrypted) in KINDS {
        let is_it =
            |listening: &&Listening| (listening.protocol, listening.is_encrypted) == (protocol, is_encrypted);
        let of_it = listeners.iter().filter(is_it);
        let texts: Vec<_> = of_it.map(|listening| json_string(&listening.endpoint.to_string())).collect();
        if kind == "smtp" || !texts.is_empty() {
            line += &format!("\"{kind}\":[{}],", texts.join(","));
        }
    }
    if let Some(url) = http {
        line += &format!("\"http\":[{}],", json_string(url));
    }
    if let Some(path) = ca {
        line += &format!("\"tls_ca\":{},", json_string(&path.to_string_lossy()));
    }
    line + &format!("\"pid\":{}}}\n", process::id())
}

fn json_string(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// The lines of Mailpit's log that tools wait for when they start it in a container.
pub(crate) fn mailpit_lines(server: &Server, http: Option<&Endpoint>) -> String {
    let at = server.stats().started_at.map(DateTime::<Local>::from);
    let at = at.map(|at| at.format("%Y/%m/%d %H:%M:%S").to_string()).unwrap_or_default();
    let line = |text: String| format!("time=\"{at}\" level=info msg=\"{text}\"\n");
    let mut lines = String::new();
    for listening in server.listeners() {
        lines += &line(format!("[smtpd] starting on {}", listening.endpoint));
    }
    if let Some(address) = http.and_then(Endpoint::inet) {
        lines += &line(format!("[http] starting on {address}"));
        let host = match reachable(address).ip() {
            ip if ip.is_loopback() => "localhost".to_owned(),
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip @ IpAddr::V4(_) => ip.to_string(),
        };
        lines += &line(format!("[http] accessible via http://{host}:{}/", address.port()));
    }
    lines
}

/// The notice for people: the addresses, how to stop the server, and how to send a first mail.
pub(crate) fn notice(listeners: &[Listening]) -> String {
    let all: Vec<_> = listeners.iter().map(|listening| listening.endpoint.to_string()).collect();
    let of = |protocol| listeners.iter().find(|listening| listening.protocol == protocol);
    let first = match (of(Protocol::Smtp), of(Protocol::Lmtp)) {
        (None, Some(lmtp)) => swaks(&lmtp.endpoint),
        (smtp, _) => {
            let target = smtp.map(|smtp| curl_target(&smtp.endpoint)).unwrap_or_default();
            format!(
                "printf 'Subject: hi\\r\\n\\r\\nHello\\r\\n' | curl -T - {target} \\\n    \
                 --mail-from ann@example.com --mail-rcpt bob@example.com"
            )
        }
    };
    format!(
        "smtpmock {version} listens on {all}; Ctrl-C stops it. A first mail, from another terminal:\n  {first}\n\
         --show prints each mail, --help lists all flags.\n",
        version = env!("CARGO_PKG_VERSION"),
        all = all.join(", "),
    )
}

/// The command that sends a first mail by LMTP, which curl does not speak.
fn swaks(endpoint: &Endpoint) -> String {
    let place = match (endpoint.inet(), endpoint.path()) {
        (None, Some(path)) => format!("--socket {}", quoted(path)),
        (address, _) => {
            format!("--server {}", address.map(|at| reachable(at).to_string()).unwrap_or_default())
        }
    };
    format!("swaks --protocol LMTP {place} --from ann@example.com --to bob@example.com")
}

/// The address as an argument for curl.
fn curl_target(endpoint: &Endpoint) -> String {
    match (endpoint.inet(), endpoint.path()) {
        (Some(address), _) => format!("smtp://{}", reachable(address)),
        (None, path) => {
            format!("--unix-socket {} smtp://localhost", path.map(quoted).unwrap_or_default())
        }
    }
}

/// A path in single quotes, within which a shell interprets nothing else.
fn quoted(path: &Path) -> String {
    let path = escape_octets(path.as_os_str().as_encoded_bytes());
    format!("'{}'", path.replace('\'', "'\\''"))
}

/// The address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, address.port()).into()
}

/// The beginning of every ready line.
const FRONT: &[u8] = b"{\"smtp\":[";

/// Removes the ready file of an earlier run. A file with other content is not removed, and is an error.
pub(crate) fn withdraw(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() && !is_ready_line(path)? => Err(io::Error::other(
            "it has other content: expected the ready file of an earlier run, or no file",
        )),
        Ok(metadata) if metadata.is_file() => fs::remove_file(path),
        // Publishing would replace the device, directory or link itself.
        Ok(_) => Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a ready file can be written: errors are known before the server starts.
pub(crate) fn probe(path: &Path) -> io::Result<()> {
    let unfinished = unfinished_name(path)?;
    create(&unfinished).and_then(|_| fs::remove_file(&unfinished))
}

/// Whether the file is a ready file or empty.
fn is_ready_line(path: &Path) -> io::Result<bool> {
    let mut front = Vec::new();
    File::open(path)?.take(FRONT.len() as u64).read_to_end(&mut front)?;
    Ok(front.is_empty() || front == FRONT)
}

/// Removes the ready file of this run when the server no longer listens, so that nobody mistakes it for that of the
/// next run.
pub(crate) fn withdraw_own(path: &Path, line: &str) {
    // Another server may have replaced the file. Failing to remove it is not an error: the next run removes it.
    if fs::read_to_string(path).is_ok_and(|text| text == line) {
        let _ = fs::remove_file(path);
    }
}

/// Writes the file atomically: a reader finds all of it or no file.
pub(crate) fn publish(path: &Path, line: &str) -> io::Result<()> {
    let unfinished = unfinished_name(path)?;
    let written = create(&unfinished)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // The first error is reported.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// The name of a temporary file in the same directory, because a rename is atomic only within one file system.
pub(super) fn unfinished_name(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "expected the path of a file"))?;
    let mut unfinished = std::ffi::OsString::from(".");
    unfinished.push(name);
    unfinished.push(format!(".{}.tmp", process::id()));
    Ok(path.with_file_name(unfinished))
}

pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use smtpmock::{Config, Server};

    use super::*;

    #[test]
    fn the_first_mail_goes_to_the_first_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("it's.sock");
        let url = format!("smtp+unix://{}", path.display());
        let server =
            Server::start(Config::default().listen(&url).listen("smtp://127.0.0.1")).expect("a server");
        let quoted = format!("'{}/it'\\''s.sock'", folder.path().display());
        let alone = Server::start(Config::default().listen("lmtp://127.0.0.1")).expect("a server");
        let lmtp = format!("swaks --protocol LMTP --server {} --from", alone.local_addr());
        assert!(notice(alone.listeners()).contains(&lmtp));
        let notice = notice(server.listeners());
        assert!(notice.contains(&format!("curl -T - --unix-socket {quoted} smtp://localhost")), "{notice}");
        assert!(notice.contains(&format!("listens on unix:{}, 127.0.0.1:", path.display())), "{notice}");
    }
}
