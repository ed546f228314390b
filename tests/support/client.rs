//! The SMTP client of the tests: a blocking socket that says what it is told to and hears what comes.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::SockRef;

use super::waiting::{PATIENCE, now};

/// Who mails to whom where it does not matter.
const SENDER: &str = "ann@example.com";
const RECIPIENT: &str = "bob@example.com";

/// What is mailed where it does not matter.
pub(crate) const MESSAGE: &str = "Subject: hi\r\n\r\nHello\r\n";

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// A write failed: whoever is told of a reset there is not told again.
    was_reset: bool,
}

/// Connecting.
impl Client {
    /// Connects and does not wait for the greeting.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream: BufReader::new(stream), was_reset: false }
    }

    /// Connects and reads the greeting.
    pub(crate) fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.reply(), "220 Welcome");
        client
    }

    /// Connects to a Unix socket and reads the greeting.
    pub(crate) fn greeted_at(path: &Path) -> Self {
        let mut client = Self::connect_at(path);
        assert_eq!(client.reply(), "220 Welcome");
        client
    }

    /// The same, and does not wait for the greeting.
    pub(crate) fn connect_at(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("connect {path:?}: {error}"));
        // What is asked of the socket here is the same whatever it is connected over.
        let stream = TcpStream::from(OwnedFd::from(stream));
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream: BufReader::new(stream), was_reset: false }
    }

    /// Connects and goes as far as an accepted RCPT.
    pub(crate) fn with_envelope(address: SocketAddr) -> Self {
        let mut client = Self::greeted(address);
        client.ehlo();
        client.envelope(SENDER, RECIPIENT);
        client
    }

    /// Connects and will not read: it has little room for replies, and waits no longer than this for the server to
    /// take what it sends.
    pub(crate) fn deaf(address: SocketAddr, patience: Duration) -> Self {
        let client = Self::greeted(address);
        SockRef::from(client.socket()).set_recv_buffer_size(4096).expect("a small buffer");
        client.socket().set_write_timeout(Some(patience)).expect("a write timeout");
        client
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.socket().local_addr().expect("a connected socket")
    }

    fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// Octets, as they are.
impl Client {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("send: {error}"));
    }

    /// The same on a connection that may have ended.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let result = self.stream.get_mut().write_all(bytes.as_ref());
        self.was_reset |= result.is_err();
        result
    }

    /// Sends until the server has had enough, or this many bytes. Returns how many bytes it took.
    pub(crate) fn flood(&mut self, chunk: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            match self.stream.get_mut().write(chunk) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }

    /// The sending side, for another thread.
    pub(crate) fn writer(&self) -> TcpStream {
        self.socket().try_clone().expect("another descriptor")
    }

    /// This many bytes, or what came instead.
    pub(crate) fn exactly(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let (mut bytes, mut at) = (vec![0; count], 0);
        while at < count {
            match self.stream.read(&mut bytes[at..]) {
                Ok(0) => return Err(format!("closed after {:?}", text(&bytes[..at]))),
                Ok(more) => at += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("{error} after {:?}", text(&bytes[..at]))),
            }
        }
        Ok(bytes)
    }

    /// Listens for this long; `Ok` when nothing came and the connection stayed open.
    pub(crate) fn silence(&mut self, duration: Duration) -> Result<(), String> {
        self.socket().set_read_timeout(Some(duration)).expect("a read timeout");
        let mut bytes = [0; 256];
        let result = self.stream.read(&mut bytes);
        self.socket().set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        match result {
            Ok(0) => Err("closed instead of silent".into()),
            Ok(count) => Err(format!("{:?} instead of silence", text(&bytes[..count]))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(format!("{error} instead of silence")),
        }
    }
}

/// Commands and replies.
impl Client {
    /// Sends a line and reads one line of reply.
    pub(crate) fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// The same, and how long the reply took.
    pub(crate) fn timed(&mut self, line: &str) -> (String, Duration) {
        let start = now();
        let reply = self.command(line);
        (reply, start.elapsed())
    }

    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        assert_eq!(self.command(line), reply, "{line}");
    }

    /// One line of a reply, without its CRLF.
    pub(crate) fn reply(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            match self.stream.read_until(b'\n', &mut line) {
                Ok(0) => panic!("closed where a reply was due, after {:?}", text(&line)),
                Ok(_) => {}
                Err(error) => panic!("{error} where a reply was due, after {:?}", text(&line)),
            }
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("a reply in UTF-8")
    }

    pub(crate) fn ehlo(&mut self) {
        self.expect("EHLO client.example", "250 Received");
    }

    pub(crate) fn mail(&mut self, from: &str) {
        self.expect(&format!("MAIL FROM:<{from}>"), "250 Received");
    }

    pub(crate) fn rcpt(&mut self, to: &str) {
        self.expect(&format!("RCPT TO:<{to}>"), "250 Received");
    }

    pub(crate) fn envelope(&mut self, from: &str, to: &str) {
        self.mail(from);
        self.rcpt(to);
    }

    pub(crate) fn data(&mut self) {
        let reply = self.command("DATA");
        assert!(reply.starts_with("354 "), "{reply}");
    }

    /// Sends a message behind an accepted RCPT; the text ends with CRLF.
    pub(crate) fn message(&mut self, text: &str) {
        self.data();
        assert_eq!(self.command(&format!("{text}.")), "250 Received");
    }

    /// A mail transaction behind EHLO; gives the reply to the final dot. The text ends with CRLF.
    pub(crate) fn transaction(&mut self, from: &str, to: &str, text: &str) -> String {
        self.envelope(from, to);
        self.data();
        self.command(&format!("{text}."))
    }

    /// Sends a message from EHLO on; the text ends with CRLF.
    pub(crate) fn deliver(&mut self, text: &str) {
        self.ehlo();
        self.envelope(SENDER, RECIPIENT);
        self.message(text);
    }
}

/// The end of the connection.
impl Client {
    pub(crate) fn quit(mut self) {
        self.expect("QUIT", "221 Closing connection");
        assert_eq!(self.rest(), "");
    }

    /// Everything up to the close by the server, which is no reset.
    pub(crate) fn rest(&mut self) -> String {
        let (rest, end) = self.end();
        assert_eq!(end, End::Fin, "after {rest:?}");
        rest
    }

    /// What comes until the connection ends, and how it ends.
    pub(crate) fn end(&mut self) -> (String, End) {
        let mut bytes = Vec::new();
        let end = match self.stream.read_to_end(&mut bytes) {
            Ok(_) if self.was_reset => End::Reset,
            Ok(_) => End::Fin,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
            Err(error) => panic!("the connection did not end: {error}, after {:?}", text(&bytes)),
        };
        (text(&bytes), end)
    }

    /// The same where a reset or an endless wait is an error.
    pub(crate) fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).map(|_| bytes)
    }

    pub(crate) fn half_close(&mut self) {
        // Fails when the server has closed already, which is as good.
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Leaves without reading what is there to read.
    pub(crate) fn leave(self) {
        // Dropping alone shows late where another process has a copy of the socket.
        let _ = self.socket().shutdown(Shutdown::Both);
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(self.socket()).set_linger(Some(Duration::ZERO)).expect("no lingering");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
