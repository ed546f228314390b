//! The control plane with 10,000 messages of 8 KiB: a list, a first search and later ones, and how long after a message
//! its wait is answered. Over loopback sockets, with clients in this process.
//!
//! ```text
//! cargo bench --package smtpmock-benches --features http --bench plane
//! ```

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use smtpmock::{Config, ControlPlane, HttpSettings, Server};

mod mail;

const MESSAGES: usize = 10_000;
const OCTETS: usize = 8 << 10;
/// Requests per median.
const SAMPLES: usize = 101;

/// The content of the mails.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One ASCII text.
    Plain,
    /// A text and HTML, both quoted-printable.
    Alternative,
}

impl Kind {
    fn data(self, number: usize) -> Vec<u8> {
        let head =
            format!("From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: mail {number}\r\n");
        let text = match self {
            Self::Plain => [&*head.into_bytes(), b"\r\n", &mail::text_lines(OCTETS)].concat(),
            Self::Alternative => {
                let (text, html) = (
                    "Gr=C3=BC=C3=9Fe an alle, und noch mehr.\r\n",
                    "<p>Gr=C3=BC=C3=9Fe an <b>alle</b></p>\r\n",
                );
                let part = |subtype: &str, line: &str| {
                    let lines = line.repeat(OCTETS / 2 / line.len());
                    format!(
                        "--b\r\nContent-Type: text/{subtype}; charset=utf-8\r\n\
                        Content-Transfer-Encoding: quoted-printable\r\n\r\n{lines}\r\n"
                    )
                };
                let (text, html) = (part("plain", text), part("html", html));
                let kind = "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n";
                format!("{head}{kind}\r\n{text}{html}--b--\r\n").into_bytes()
            }
        };
        mail::data(&text)
    }
}

/// Sends mails, one after the other.
struct Sender(TcpStream);

impl Sender {
    fn connect(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        mail::expect(&mut stream, b"220")?;
        let mut sender = Self(stream);
        sender.exchange(mail::EHLO, b"250")?;
        Ok(sender)
    }

    fn exchange(&mut self, request: &[u8], code: &[u8]) -> Result<(), Box<dyn Error>> {
        self.0.write_all(request)?;
        mail::expect(&mut self.0, code)
    }

    fn send(&mut self, data: &[u8]) -> Result<(), Box<dyn Error>> {
        for (request, code) in mail::ENVELOPE {
            self.exchange(request, code)?;
        }
        self.exchange(data, b"250")
    }
}

/// Requests, one after the other.
struct Asker(BufReader<TcpStream>);

impl Asker {
    fn connect(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn begin(&mut self, target: &str) -> Result<(), Box<dyn Error>> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Ok(self.0.get_mut().write_all(request.as_bytes())?)
    }

    /// The body of the next reply, which must be 200.
    fn end(&mut self) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut length = 0;
        let mut status = String::new();
        self.0.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse()?
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        match status.starts_with("HTTP/1.1 200") {
            true => Ok(body),
            false => Err(format!("{status}{}", String::from_utf8_lossy(&body)).into()),
        }
    }

    /// Measures the time to the reply.
    fn timed(&mut self, target: &str) -> Result<Duration, Box<dyn Error>> {
        let begun = Instant::now();
        self.begin(target)?;
        self.end()?;
        Ok(begun.elapsed())
    }

    fn median(&mut self, target: &str) -> Result<Duration, Box<dyn Error>> {
        let samples: Result<Vec<_>, _> = (0..SAMPLES).map(|_| self.timed(target)).collect();
        Ok(median(samples?))
    }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

/// How long after its final dot was sent a message answers the wait for it.
fn wait(smtp: SocketAddr, http: SocketAddr, data: &[u8]) -> Result<Duration, Box<dyn Error>> {
    let mut sender = Sender::connect(smtp)?;
    let (waits, answers) = (mpsc::channel::<String>(), mpsc::channel::<Instant>());
    let (begin, begun) = waits;
    let (answer, answered) = answers;
    let waiting = thread::spawn(move || {
        let mut asker = Asker::connect(http).expect("it listens");
        for target in begun {
            asker.begin(&target).expect("sent");
            asker.end().expect("a message");
            answer.send(Instant::now()).expect("it is awaited");
        }
    });
    let mut asker = Asker::connect(http)?;
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let newest: String =
            String::from_utf8(asker.begin("/v1/messages?limit=1").and_then(|()| asker.end())?)?;
        let id = newest.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).ok_or("no id")?;
        begin.send(format!("/v1/messages/wait?limit=1&after={id}"))?;
        // Gives the wait time to begin.
        thread::sleep(Duration::from_millis(5));
        for (request, code) in mail::ENVELOPE {
            sender.exchange(request, code)?;
        }
        let sent = Instant::now();
        sender.exchange(data, b"250")?;
        samples.push(answered.recv()?.saturating_duration_since(sent));
    }
    drop(begin);
    waiting.join().map_err(|_| "a wait failed")?;
    Ok(median(samples))
}

/// CPU time of all threads of this process, if the system reports it.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Ok(Duration::ZERO) };
    let mut nanoseconds = 0;
    for task in tasks {
        let times = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += times.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn run(kind: Kind) -> Result<(), Box<dyn Error>> {
    let server = Arc::new(Server::start(Config::default())?);
    let plane = ControlPlane::start(&server, &HttpSettings::at("0"))?;
    let http = plane.endpoint().inet().ok_or("no TCP")?;
    let mut sender = Sender::connect(server.local_addr())?;
    for number in 0..MESSAGES {
        sender.send(&kind.data(number))?;
    }
    let mut asker = Asker::connect(http)?;
    // Only the newest: no other mail is parsed.
    let list = asker.median("/v1/messages")?;
    let before = cpu()?;
    let first = asker.timed("/v1/messages?query=nowhere-to-be-found")?;
    let work = cpu()?.saturating_sub(before);
    let next = asker.median("/v1/messages?query=nowhere-to-be-found")?;
    let subject = asker.median("/v1/messages?query=subject:%22mail%205000%22")?;
    let wait = wait(server.local_addr(), http, &kind.data(MESSAGES))?;
    println!(
        "{kind:?}, {MESSAGES} mails of {OCTETS} octets: list of 50 {list:.1?}, first search {first:.1?} \
         ({work:.1?} of CPU), next search {next:.1?}, search in a field {subject:.1?}, wait answered {wait:.1?} after the final dot (medians of {SAMPLES})"
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    [Kind::Plain, Kind::Alternative].into_iter().try_for_each(run)
}
