//! A client that can do anything, and one that just goes on delivering mail.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smtpmock::smtp::RecordMode;
use smtpmock::{Config, Server};
use socket2::SockRef;

/// Longer than anything takes that is to succeed, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Messages a bystander delivers at least.
const LEAST: usize = 20;

#[expect(clippy::disallowed_methods, reason = "a client measures what it experiences")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nothing accepted is erased, so all can be counted.
pub(crate) fn config() -> Config {
    Config::default().records(RecordMode::Message).session_timeout(PATIENCE)
}

pub(crate) fn start(config: Config) -> Server {
    Server::start(config).expect("a server")
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still waiting: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects and does not wait for the greeting.
    pub(crate) fn rush(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let reader = BufReader::new(stream.try_clone().expect("a second handle"));
        Self { stream, reader }
    }

    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut client = Self::rush(address);
        assert_eq!(client.reply(), "220 Welcome");
        client
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// One reply without its CRLF; empty when the server has closed.
    pub(crate) fn reply(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a reply");
        line.trim_end_matches("\r\n").to_owned()
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// The code of the reply to each of these lines.
    pub(crate) fn ask_all(&mut self, lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| self.ask(line).chars().take(3).collect()).collect()
    }

    /// Everything up to DATA's 354.
    pub(crate) fn open_data(&mut self) {
        let lines = ["EHLO a.example", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>", "DATA"];
        assert_eq!(self.ask_all(&lines), ["250", "250", "250", "354"]);
    }

    pub(crate) fn deliver(&mut self, text: &str) {
        self.open_data();
        assert_eq!(self.ask(&format!("{text}\r\n.")), "250 Received");
    }

    /// All that is still to be read. A reset ends it too.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("no end: {error}"),
            _ => String::from_utf8(rest).expect("replies are text here"),
        }
    }

    /// Writes until the server has had enough. Returns how many bytes it took.
    pub(crate) fn flood(&mut self, chunk: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            match self.stream.write(chunk) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }

    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a half-close");
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("no lingering");
    }

    pub(crate) fn reader(&mut self) -> &mut impl Read {
        &mut self.reader
    }
}

/// A client that delivers one message after the other, now and then in a new session.
pub(crate) struct Bystander {
    leaves: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Bystander {
    pub(crate) fn at(address: SocketAddr) -> Self {
        let leaves = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&leaves);
        let thread = thread::spawn(move || {
            let mut delivered = 0;
            while delivered < LEAST || !flag.load(Ordering::SeqCst) {
                let mut client = Client::connect(address);
                for _ in 0..LEAST / 2 {
                    client.deliver(&format!("bystander {delivered}"));
                    delivered += 1;
                }
                assert_eq!(client.ask("QUIT"), "221 Closing connection");
                assert_eq!(client.rest(), "");
            }
            delivered
        });
        Self { leaves, thread }
    }

    /// Its messages are all there, in order and once.
    pub(crate) fn leave(self, server: &Server) -> usize {
        self.leaves.store(true, Ordering::SeqCst);
        let delivered = self.thread.join().expect("the bystander was served");
        let texts: Vec<String> = server
            .messages()
            .iter()
            .filter(|message| message.msg() && message.body().starts_with(b"bystander"))
            .map(|message| message.msg_request().trim_end().to_owned())
            .collect();
        assert!(texts.into_iter().eq((0..delivered).map(|number| format!("bystander {number}"))));
        delivered
    }
}
