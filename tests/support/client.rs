//! A plain SMTP client on a blocking socket, and the clock of the client's side.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest wait for anything that must come: far beyond every configured delay, so that a hang fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The client's time.
#[expect(clippy::disallowed_methods, reason = "the client under test keeps its own time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream }
    }

    /// Connects and reads the greeting.
    pub(crate) fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.line(), "220 Welcome");
        client
    }

    /// Connects and goes as far as an accepted RCPT.
    pub(crate) fn with_envelope(address: SocketAddr) -> Self {
        let mut client = Self::greeted(address);
        client.expect("EHLO client.example", "250 Received");
        client.envelope("ann@example.com", "bob@example.com");
        client
    }

    pub(crate) fn envelope(&mut self, from: &str, to: &str) {
        self.expect(&format!("MAIL FROM:<{from}>"), "250 Received");
        self.expect(&format!("RCPT TO:<{to}>"), "250 Received");
    }

    /// Sends a message after an accepted RCPT; the text ends with CRLF.
    pub(crate) fn message(&mut self, text: &str) {
        assert!(self.command("DATA").starts_with("354 "));
        self.send(format!("{text}.\r\n").as_bytes());
        assert_eq!(self.line(), "250 Received");
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("send: {error}"));
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a line and reads one line of reply.
    pub(crate) fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.line()
    }

    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        assert_eq!(self.command(line), reply, "{line}");
    }

    pub(crate) fn quit(mut self) {
        self.expect("QUIT", "221 Closing connection");
        assert_eq!(self.rest(), b"");
    }

    /// One line without its CRLF.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let next = self.exactly(1).unwrap_or_else(|problem| panic!("after {line:?}: {problem}"));
            line.extend(next);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("a reply in UTF-8")
    }

    /// This many bytes, or what came instead.
    pub(crate) fn exactly(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let (mut bytes, mut at) = (vec![0; count], 0);
        while at < count {
            match self.stream.read(&mut bytes[at..]) {
                Ok(0) => return Err(format!("closed after {:?}", String::from_utf8_lossy(&bytes[..at]))),
                Ok(more) => at += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(format!("{error} after {:?}", String::from_utf8_lossy(&bytes[..at])));
                }
            }
        }
        Ok(bytes)
    }

    /// Everything up to the close by the server.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.try_rest().unwrap_or_else(|error| panic!("instead of the close: {error}"))
    }

    pub(crate) fn try_rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).map(|_| bytes)
    }

    /// Listens for this long; `Ok` when nothing came and the connection stayed open.
    pub(crate) fn silence(&mut self, duration: Duration) -> Result<(), String> {
        self.stream.set_read_timeout(Some(duration)).expect("a read timeout");
        let mut bytes = [0; 256];
        let result = self.stream.read(&mut bytes);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        match result {
            Ok(0) => Err("closed instead of silent".into()),
            Ok(count) => Err(format!("{:?} instead of silence", String::from_utf8_lossy(&bytes[..count]))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(format!("{error} instead of silence")),
        }
    }

    /// The same connection, for another thread.
    pub(crate) fn try_clone(&self) -> Self {
        Self { stream: self.stream.try_clone().expect("another descriptor") }
    }

    pub(crate) fn half_close(&mut self) {
        // Fails when the server has closed already, which is as good.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Leaves without reading what is there to read.
    pub(crate) fn leave(self) {
        // Dropping alone shows late where another process has a copy of the socket.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }
}
