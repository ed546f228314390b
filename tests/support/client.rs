//! The SMTP client of the tests: a blocking socket that sends given octets and reads the replies.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::SockRef;

use super::waiting::{PATIENCE, now};

/// The envelope of a mail where its contents do not matter.
const SENDER: &str = "ann@example.com";
const RECIPIENT: &str = "bob@example.com";

/// The message text where its contents do not matter.
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
    /// A write failed: a reset that was reported there is not reported again.
    was_reset: bool,
}

/// Connecting.
impl Client {
    /// Connects without waiting for the greeting.
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

    /// The same without waiting for the greeting.
    pub(crate) fn connect_at(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("connect {path:?}: {error}"));
        // The socket options set here are the same for every address family.
        let stream = TcpStream::from(OwnedFd::from(stream));
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream: BufReader::new(stream), was_reset: false }
    }

    /// Connects and continues up to an accepted RCPT.
    pub(crate) fn with_envelope(address: SocketAddr) -> Self {
        let mut client = Self::greeted(address);
        client.ehlo();
        client.envelope(SENDER, RECIPIENT);
        client
    }

    /// Connects and reads the reply to EHLO, which offers extensions.
    pub(crate) fn extended(address: SocketAddr) -> Self {
        let mut client = Self::greeted(address);
        let last = client.last_line("EHLO client.example");
        assert!(last.starts_with("250 "), "{last}");
        client
    }

    /// Connects as a client that does not read: it has little room for replies, and each of its writes waits at most
    /// this long for the server to read.
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

/// Raw octets.
impl Client {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("send: {error}"));
    }

    /// The same for a connection that may have ended.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let result = self.stream.get_mut().write_all(bytes.as_ref());
        self.was_reset |= result.is_err();
        result
    }

    /// Sends up to this many bytes, as far as the server accepts them. Returns how many it accepted.
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

    /// Reads this many bytes, or returns what arrived instead.
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

    /// Waits for this long; `Ok` if nothing arrived and the connection stayed open.
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

    /// Sends a line and reads all lines of its reply. Returns the last.
    pub(crate) fn last_line(&mut self, line: &str) -> String {
        let mut reply = self.command(line);
        while reply.as_bytes().get(3) == Some(&b'-') {
            reply = self.reply();
        }
        reply
    }

    /// Sends a line and reads one of its reply, with the time that this took.
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
                Ok(0) => panic!("closed instead of a reply, after {:?}", text(&line)),
                Ok(_) => {}
                Err(error) => panic!("{error} instead of a reply, after {:?}", text(&line)),
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

    /// Sends a message after an accepted RCPT; the text ends with CRLF.
    pub(crate) fn message(&mut self, text: &str) {
        self.data();
        let reply = self.command(&format!("{text}."));
        assert!(reply == "250 Received" || reply.starts_with("250 Ok: queued as "), "{reply}");
    }

    /// Sends octets by BDAT, with `" LAST"` or nothing after their number, and reads the reply.
    pub(crate) fn bdat(&mut self, octets: impl AsRef<[u8]>, last: &str) -> String {
        let octets = octets.as_ref();
        self.send([format!("BDAT {}{last}\r\n", octets.len()).as_bytes(), octets].concat());
        self.reply()
    }

    /// Performs a mail transaction after EHLO and returns the reply to the final dot. The text ends with CRLF.
    pub(crate) fn transaction(&mut self, from: &str, to: &str, text: &str) -> String {
        self.envelope(from, to);
        self.data();
        self.command(&format!("{text}."))
    }

    /// Sends EHLO and a whole mail transaction; the text ends with CRLF.
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

    /// The same under Extended SMTP.
    pub(crate) fn quit_extended(mut self) {
        self.expect("QUIT", "221 2.0.0 Closing connection");
        assert_eq!(self.rest(), "");
    }

    /// Reads everything until the server closes the connection, which must not be a reset.
    pub(crate) fn rest(&mut self) -> String {
        let (rest, end) = self.end();
        assert_eq!(end, End::Fin, "after {rest:?}");
        rest
    }

    /// Reads everything until the connection ends, and returns how it ended.
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

    /// The same, with a reset or an exceeded wait as an error.
    pub(crate) fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).map(|_| bytes)
    }

    pub(crate) fn half_close(&mut self) {
        // Fails if the server has closed already, which has the same effect.
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Closes the connection without reading the remaining octets.
    pub(crate) fn leave(self) {
        // Dropping is not enough: the peer notices it late if another process has a copy of the socket.
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
