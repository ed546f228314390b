//! Requests to the control plane of a running server: its readiness, for health checks of containers without a shell,
//! and its report.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::program::cli::{Failure, ReadyTarget, ReadyWhere};

/// Longest time of one attempt, without a report, and the pause before the next.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Longest time of a reply with a report.
const REPORT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// Most octets read of a reply.
const REPLY: u64 = 4096;
/// How a reply begins.
const HTTP: &[u8] = b"HTTP/";

/// Asks until the server is ready, or the time is up.
///
/// # Errors
/// The last answer, if the server is not ready.
pub(crate) fn ask(target: &ReadyTarget) -> Result<ExitCode, Failure> {
    // Each round takes at least its pause, so counting rounds measures time, rather late than early.
    let mut left = target.wait.unwrap_or_default();
    loop {
        let problem = match attempt(target) {
            Ok(status) if status.starts_with("HTTP/1.1 200 ") => return Ok(ExitCode::SUCCESS),
            Ok(status) => format!("it answers {status:?}"),
            Err(error) => error.to_string(),
        };
        if left.is_zero() {
            return Err(Failure::Server(format!("{} is not ready: {problem}", target.url)));
        }
        let pause = PAUSE.min(left);
        thread::sleep(pause);
        left -= pause;
    }
}

/// The status line of the reply.
fn attempt(target: &ReadyTarget) -> io::Result<String> {
    let reply = get(&target.at, &target.path, "", REPLY, ATTEMPT)?;
    let reply = String::from_utf8_lossy(&reply);
    Ok(reply.lines().next().unwrap_or_default().to_owned())
}

/// The report of a running server, at most `most` octets.
///
/// # Errors
/// The server can't be reached, requires a token, or has no report at this path.
pub(crate) fn report(at: &ReadyWhere, path: &str, token: Option<&str>, most: u64) -> io::Result<String> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let authorization = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let reply = get(at, path, &authorization, most.saturating_add(REPLY), REPORT)?;
    let reply = String::from_utf8(reply).map_err(|_| invalid("it is not UTF-8".to_owned()))?;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.lines().next().unwrap_or_default();
    let length = head.lines().filter_map(|line| line.split_once(':'));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> = length.filter_map(|(_, value)| value.trim().parse().ok()).next();
    if status.starts_with("HTTP/1.1 401 ") {
        return Err(invalid("it wants its token: set SMTPMOCK_HTTP_TOKEN".to_owned()));
    }
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(invalid(format!("it answers {status:?}")));
    }
    if length != Some(body.len()) {
        return Err(invalid("the report is not complete".to_owned()));
    }
    Ok(body.to_owned())
}

/// Sends a request with these header fields, and reads at most `most` octets of the reply. What has not come within `limit` is
/// missing.
fn get(at: &ReadyWhere, path: &str, fields: &str, most: u64, limit: Duration) -> io::Result<Vec<u8>> {
    let (mut stream, host): (Box<dyn Stream>, &str) = match at {
        ReadyWhere::Tcp(authority) => (Box::new(connect(authority)?), authority),
        ReadyWhere::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(ATTEMPT))?;
            stream.set_write_timeout(Some(ATTEMPT))?;
            (Box::new(stream), "localhost")
        }
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // A server that sends an octet now and then ends no read by its timeout.
    let end = stream.ender()?;
    let (reading, is_read) = mpsc::channel::<()>();
    thread::spawn(move || {
        if is_read.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            end();
        }
    });
    let mut reply = Vec::new();
    let read = stream.take(most).read_to_end(&mut reply);
    drop(reading);
    let beginning = &reply[..reply.len().min(HTTP.len())];
    if !reply.is_empty() && beginning != &HTTP[..beginning.len()] {
        let line = String::from_utf8_lossy(&reply);
        let line = line.lines().next().unwrap_or_default().to_owned();
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it does not speak HTTP: {line:?}")));
    }
    match read {
        // What a read returns when its time is over.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            let part = if reply.is_empty() { "no reply" } else { "nothing more of the reply" };
            let seconds = ATTEMPT.as_secs();
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("{part} in {seconds} s")))
        }
        Err(error) => Err(error),
        Ok(_) => Ok(reply),
    }
}

trait Stream: Read + Write {
    /// Ends the connection, from another thread.
    fn ender(&self) -> io::Result<Box<dyn FnOnce() + Send>>;
}

impl Stream for TcpStream {
    fn ender(&self) -> io::Result<Box<dyn FnOnce() + Send>> {
        let stream = self.try_clone()?;
        Ok(Box::new(move || drop(stream.shutdown(Shutdown::Both))))
    }
}

impl Stream for UnixStream {
    fn ender(&self) -> io::Result<Box<dyn FnOnce() + Send>> {
        let stream = self.try_clone()?;
        Ok(Box::new(move || drop(stream.shutdown(Shutdown::Both))))
    }
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && !port.contains(']') => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    for address in with_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ATTEMPT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ATTEMPT))?;
                stream.set_write_timeout(Some(ATTEMPT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
