//! An SMTP server that follows a test's script, with one blocking thread per session.
//!
//! It shares no code with the program under test: lines are read by the standard library.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the server answers next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Banner,
    Ehlo,
    Helo,
    Starttls,
    Auth,
    /// A response to a 334.
    Response,
    Mail,
    Rcpt,
    Data,
    /// A chunk that is not the last one of its message.
    Bdat,
    Dot,
    Rset,
    Quit,
}

/// A reply that is due.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) verb: Verb,
    /// The number of the session, from 0.
    pub(crate) session: usize,
    /// How often this verb occurred before, in all sessions.
    pub(crate) nth: usize,
    /// The command; with LMTP at the end of a message, the RCPT of the recipient.
    pub(crate) line: String,
}

/// The server's answer.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The usual reply.
    Usual,
    /// These bytes, in one write.
    Say(&'static str),
    /// These bytes, each piece in its own packet.
    Pieces(&'static [&'static str]),
    /// The usual reply after a delay.
    After(Duration),
    /// 220, and these bytes after the first ones of the client's hello.
    AfterHello(&'static [u8]),
    /// These bytes, then the end of the connection.
    SayAndClose(&'static str),
    Close,
    /// No reply.
    Silence,
}

/// What the server has received.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Accepted messages without dot-stuffing, with their envelopes.
    pub(crate) messages: Vec<Message>,
    pub(crate) verbs: HashMap<Verb, usize>,
    /// Command lines in order of arrival.
    pub(crate) lines: Vec<String>,
}

/// One accepted message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

type Script = dyn Fn(&Turn) -> Act + Send + Sync;

struct Inner {
    script: Box<Script>,
    seen: Mutex<Seen>,
    sessions: AtomicUsize,
}

/// A running server; its threads end with the test's process.
pub(crate) struct Sink {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl Sink {
    /// A server that accepts everything.
    pub(crate) fn usual() -> Sink {
        Sink::start(|_| Act::Usual)
    }

    /// A server that accepts everything, but answers `verb` with `act`.
    pub(crate) fn answering(verb: Verb, act: Act) -> Sink {
        Sink::start(move |turn| if turn.verb == verb { act.clone() } else { Act::Usual })
    }

    /// A server that answers EHLO and LHLO with `offer`, and everything else by the script.
    pub(crate) fn offering(
        offer: &'static str,
        script: impl Fn(&Turn) -> Act + Send + Sync + 'static,
    ) -> Sink {
        Sink::start(move |turn| if turn.verb == Verb::Ehlo { Act::Say(offer) } else { script(turn) })
    }

    /// A server that follows the script.
    pub(crate) fn start(script: impl Fn(&Turn) -> Act + Send + Sync + 'static) -> Sink {
        Sink::listen("127.0.0.1:0", script)
    }

    pub(crate) fn listen(on: &str, script: impl Fn(&Turn) -> Act + Send + Sync + 'static) -> Sink {
        let listener = TcpListener::bind(on).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::new(Inner {
            script: Box::new(script),
            seen: Mutex::new(Seen::default()),
            sessions: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A client that goes away is no error of the server.
                    let _ = serve(&inner, stream);
                });
            }
        });
        Sink { address, inner }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.inner.sessions.load(Ordering::SeqCst)
    }
}

struct Session<'a> {
    inner: &'a Inner,
    stream: TcpStream,
    number: usize,
    /// With LMTP: the recipients of the transaction that were accepted.
    taken: Option<Vec<String>>,
    is_challenged: bool,
}

fn serve(inner: &Inner, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let number = inner.sessions.fetch_add(1, Ordering::SeqCst);
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut session = Session { inner, stream, number, taken: None, is_challenged: false };
    let mut message = Message { from: String::new(), to: Vec::new(), text: String::new() };
    if !session.answer(Verb::Banner, "")? {
        return Ok(());
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        let verb = if session.is_challenged { Verb::Response } else { verb_of(&line) };
        match verb {
            Verb::Ehlo if line.starts_with("LHLO") => session.taken = Some(Vec::new()),
            Verb::Mail => {
                message = Message { from: line.clone(), to: Vec::new(), text: String::new() };
                session.taken.iter_mut().for_each(Vec::clear);
            }
            Verb::Rcpt => message.to.push(line.clone()),
            _ => {}
        }
        let goes_on = match verb {
            Verb::Data => match session.begin_data(&line)? {
                None => false,
                Some(false) => true,
                Some(true) => {
                    message.text = read_message(&mut reader)?;
                    session.end_data(&message)?
                }
            },
            Verb::Bdat => {
                let is_last = read_chunk(&mut reader, &line, &mut message.text)?;
                if is_last {
                    session.note(&line);
                    session.end_data(&message)?
                } else {
                    session.answer(verb, &line)?
                }
            }
            // No line follows a 220: all of the client's hello is dropped.
            Verb::Starttls => {
                if session.answer_starttls(&line)? {
                    std::io::copy(&mut reader, &mut std::io::sink())?;
                    return Ok(());
                }
                true
            }
            Verb::Rcpt => session.answer_rcpt(&line)?,
            Verb::Auth | Verb::Response => session.answer_auth(verb, &line)?,
            _ => session.answer(verb, &line)? && verb != Verb::Quit,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

fn verb_of(line: &str) -> Verb {
    match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
        "EHLO" | "LHLO" => Verb::Ehlo,
        "HELO" => Verb::Helo,
        "STAR" => Verb::Starttls,
        "AUTH" => Verb::Auth,
        "MAIL" => Verb::Mail,
        "RCPT" => Verb::Rcpt,
        "DATA" => Verb::Data,
        "BDAT" => Verb::Bdat,
        "RSET" => Verb::Rset,
        "QUIT" => Verb::Quit,
        _ => panic!("the client sent {line:?}"),
    }
}

fn read_message(reader: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        text.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

/// Reads the octets of a chunk; returns whether it is the last.
fn read_chunk(reader: &mut BufReader<TcpStream>, line: &str, into: &mut String) -> std::io::Result<bool> {
    let mut words = line.split(' ').skip(1);
    let size: usize = words.next().and_then(|size| size.parse().ok()).expect("the size of a chunk");
    let mut octets = vec![0; size];
    reader.read_exact(&mut octets)?;
    into.push_str(std::str::from_utf8(&octets).expect("text in UTF-8"));
    let last = words.next();
    assert!(matches!(last, None | Some("LAST")), "{line}");
    Ok(last.is_some())
}

fn usual(verb: Verb) -> &'static str {
    match verb {
        Verb::Banner => "220 sink ready\r\n",
        Verb::Ehlo => "250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
        Verb::Data => "354 go on\r\n",
        Verb::Quit => "221 bye\r\n",
        Verb::Auth | Verb::Response => "235 2.7.0 welcome\r\n",
        _ => "250 ok\r\n",
    }
}

impl Session<'_> {
    fn note(&self, line: &str) {
        if !line.is_empty() {
            let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.lines.push(line.to_owned());
        }
    }

    fn act(&self, verb: Verb, line: &str) -> Act {
        self.note(line);
        self.act_at(verb, line)
    }

    fn act_at(&self, verb: Verb, line: &str) -> Act {
        let nth = {
            let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.verbs.entry(verb).or_default();
            *count += 1;
            *count - 1
        };
        let turn = Turn { verb, session: self.number, nth, line: line.to_owned() };
        (self.inner.script)(&turn)
    }

    /// Performs an act; returns the text that was sent, `None` when the session is over.
    fn perform(&mut self, verb: Verb, act: &Act) -> std::io::Result<Option<String>> {
        let (text, goes_on) = match act {
            Act::Usual => (usual(verb), true),
            Act::After(delay) => {
                std::thread::sleep(*delay);
                (usual(verb), true)
            }
            Act::Say(text) => (*text, true),
            Act::Pieces(pieces) => {
                for piece in *pieces {
                    self.stream.write_all(piece.as_bytes())?;
                    std::thread::sleep(Duration::from_millis(2));
                }
                return Ok(Some(pieces.concat()));
            }
            Act::AfterHello(bytes) => {
                self.stream.write_all(b"220 go\r\n")?;
                let _ = self.stream.read(&mut [0; 1024])?;
                self.stream.write_all(bytes)?;
                return Ok(Some(String::new()));
            }
            Act::SayAndClose(text) => (*text, false),
            Act::Close => ("", false),
            Act::Silence => return Ok(Some(String::new())),
        };
        #[cfg(target_os = "linux")]
        if !goes_on {
            // In one packet with the end: the client sees both in one event.
            socket2::SockRef::from(&self.stream).set_tcp_cork(true)?;
        }
        self.stream.write_all(text.as_bytes())?;
        if goes_on {
            return Ok(Some(text.to_owned()));
        }
        self.stream.shutdown(Shutdown::Both)?;
        Ok(None)
    }

    fn answer(&mut self, verb: Verb, line: &str) -> std::io::Result<bool> {
        let act = self.act(verb, line);
        Ok(self.perform(verb, &act)?.is_some())
    }

    /// Whether a handshake follows.
    fn answer_starttls(&mut self, line: &str) -> std::io::Result<bool> {
        let act = self.act(Verb::Starttls, line);
        let sent = self.perform(Verb::Starttls, &act)?;
        Ok(sent.is_none_or(|text| text.is_empty() || text.starts_with("220")))
    }

    /// Whether a message follows; `None` when the session is over.
    fn begin_data(&mut self, line: &str) -> std::io::Result<Option<bool>> {
        let act = self.act(Verb::Data, line);
        Ok(self.perform(Verb::Data, &act)?.map(|sent| sent.starts_with('3')))
    }

    fn answer_auth(&mut self, verb: Verb, line: &str) -> std::io::Result<bool> {
        let act = self.act(verb, line);
        let sent = self.perform(verb, &act)?;
        self.is_challenged = sent.as_deref().is_some_and(|text| text.starts_with("334"));
        Ok(sent.is_some())
    }

    fn answer_rcpt(&mut self, line: &str) -> std::io::Result<bool> {
        let act = self.act(Verb::Rcpt, line);
        let sent = self.perform(Verb::Rcpt, &act)?;
        if let Some(taken) = &mut self.taken
            && sent.as_deref().is_some_and(|text| text.starts_with('2'))
        {
            taken.push(line.to_owned());
        }
        Ok(sent.is_some())
    }

    /// Answers the end of a message, with LMTP for each recipient. A message is recorded before its first 250 is sent.
    fn end_data(&mut self, message: &Message) -> std::io::Result<bool> {
        let mut recipients = self.taken.clone().unwrap_or_else(|| vec![String::new()]);
        if recipients.is_empty() {
            recipients.push(String::new());
        }
        let mut is_recorded = false;
        for recipient in recipients {
            let act = self.act_at(Verb::Dot, &recipient);
            let accepts = match &act {
                Act::Usual | Act::After(_) => true,
                Act::Say(text) | Act::SayAndClose(text) => text.starts_with('2'),
                Act::Pieces(pieces) => pieces.concat().starts_with('2'),
                Act::AfterHello(_) | Act::Close | Act::Silence => false,
            };
            if accepts && !std::mem::replace(&mut is_recorded, true) {
                let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.messages.push(message.clone());
            }
            if self.perform(Verb::Dot, &act)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
