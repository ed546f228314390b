//! `smtpmock ready URL`: asks a running server whether it is ready, for health checks of containers without a shell.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crate::program::cli::{Failure, ReadyTarget, ReadyWhere};

/// How long one attempt may take, and how long the next one waits.
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// Octets of a reply that are read.
const REPLY: u64 = 4096;

/// Asks until the answer is yes, or the time is up.
///
/// # Errors
/// The last answer, if it is not yes.
pub(crate) fn ask(target: &ReadyTarget) -> Result<ExitCode, Failure> {
    // Each round takes at least its pause, so that the number of them is a clock that is late rather than early.
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
    let ReadyTarget { at, path, .. } = target;
    let (mut stream, host): (Box<dyn Stream>, &str) = match at {
        ReadyWhere::Tcp(authority) => (Box::new(connect(authority)?), authority),
        ReadyWhere::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(ATTEMPT))?;
            stream.set_write_timeout(Some(ATTEMPT))?;
            (Box::new(stream), "localhost")
        }
    };
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut reply = Vec::new();
    stream.take(REPLY).read_to_end(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply);
    Ok(reply.lines().next().unwrap_or_default().to_owned())
}

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

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
