//! A client that says what it is told to and hears what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than anything these tests wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

pub(crate) struct Client {
    stream: TcpStream,
    heard: Vec<u8>,
    /// A write failed: whoever is told of a reset there is not told again.
    was_reset: bool,
}

impl Client {
    /// Connects, and does not wait for a greeting.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, heard: Vec::new(), was_reset: false }
    }

    /// Connects and takes the greeting.
    pub(crate) fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.reply(), "220 Welcome");
        client
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("an open connection");
    }

    /// The same on a connection that may have ended.
    pub(crate) fn try_say(&mut self, text: &str) {
        self.was_reset |= self.stream.write_all(text.as_bytes()).is_err();
    }

    /// Says that nothing more will be said.
    pub(crate) fn finish_saying(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Says a line and hears the reply to it.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.say(&format!("{line}\r\n"));
        self.reply()
    }

    /// The same, and how long the reply took.
    pub(crate) fn timed(&mut self, line: &str) -> (String, Duration) {
        let start = Instant::now();
        let reply = self.ask(line);
        (reply, start.elapsed())
    }

    /// One line without its line end.
    pub(crate) fn reply(&mut self) -> String {
        loop {
            if let Some(end) = self.heard.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.heard[..end]).into_owned();
                self.heard.drain(..end + 2);
                return line;
            }
            let count = self.read().expect("a reply");
            assert!(count > 0, "closed where a reply was due, after {:?}", self.rest());
        }
    }

    /// HELO and MAIL, answered well.
    pub(crate) fn begin(&mut self, sender: &str) {
        assert_eq!(self.ask("HELO client.example"), "250 Received");
        assert_eq!(self.ask(&format!("MAIL FROM:<{sender}>")), "250 Received");
    }

    /// A mail transaction behind HELO; gives the reply to the final dot.
    pub(crate) fn send(&mut self, sender: &str, recipient: &str, text: &str) -> String {
        assert_eq!(self.ask(&format!("MAIL FROM:<{sender}>")), "250 Received");
        assert_eq!(self.ask(&format!("RCPT TO:<{recipient}>")), "250 Received");
        assert!(self.ask("DATA").starts_with("354"));
        self.ask(&format!("{text}\r\n."))
    }

    /// What is heard until the connection ends, and how it ends.
    pub(crate) fn end(&mut self) -> (String, End) {
        let end = loop {
            match self.read() {
                Ok(0) if self.was_reset => break End::Reset,
                Ok(0) => break End::Fin,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("the connection did not end: {error}; heard {:?}", self.rest()),
            }
        };
        (self.rest(), end)
    }

    /// Nothing comes, and the connection stays, for at least this long.
    pub(crate) fn is_held(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a timeout");
        let result = self.read();
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        matches!(result, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    fn read(&mut self) -> std::io::Result<usize> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes)?;
        self.heard.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}
