//! The floor: the least work a single-threaded event loop can do as an SMTP sink.
//!
//! One read and one write per command, no parsing past the first byte, the size of a chunk and the final dot, no
//! timers, no storage. It is a measuring stick, not a server: it trusts its client and does
//! not do PIPELINING. Usage: `null_sink PORT [THREADS]` (listens on 127.0.0.1 until it is ended; more threads
//! than one share the port).

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

const LISTENER: Token = Token(usize::MAX);
const READ_BUFFER: usize = 64 * 1024;
const END: &[u8; 5] = b"\r\n.\r\n";

/// A connection: whether it is inside a message, and that message's last bytes, or what is left of its chunk.
struct Peer<S> {
    stream: S,
    in_data: bool,
    tail: [u8; 5],
    chunk: usize,
}

pub(crate) fn main() -> std::io::Result<()> {
    sink(|socket| socket)
}

/// Serves clients over what `over` lays over their sockets, a short read of which has read all that was there.
pub(crate) fn sink<S: Read + Write>(
    over: impl Fn(TcpStream) -> S + Clone + Send + 'static,
) -> std::io::Result<()> {
    let argument = |index| std::env::args().nth(index).map(|text| text.parse::<u16>());
    let (Some(Ok(port)), Ok(threads)) = (argument(1), argument(2).unwrap_or(Ok(1))) else {
        return Err(std::io::Error::other("usage: null_sink PORT [THREADS]"));
    };
    for _ in 1..threads {
        let listener = listen(port, true)?;
        let over = over.clone();
        std::thread::spawn(move || run(listener, &over));
    }
    run(listen(port, threads > 1)?, &over)
}

fn listen(port: u16, is_shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(1024)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Serves all clients, on this thread.
fn run<S: Read + Write>(mut listener: TcpListener, over: &impl Fn(TcpStream) -> S) -> std::io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut peers: Vec<Option<Peer<S>>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, over, &mut peers, &mut free)?;
            } else if let Some(place) = peers.get_mut(event.token().0)
                && place.as_mut().is_some_and(|peer| !serve(peer, &mut buffer))
            {
                *place = None;
                free.push(event.token().0);
            }
        }
    }
}

fn accept<S: Write>(
    listener: &TcpListener,
    poll: &Poll,
    over: &impl Fn(TcpStream) -> S,
    peers: &mut Vec<Option<Peer<S>>>,
    free: &mut Vec<usize>,
) -> std::io::Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        let index = free.pop().unwrap_or_else(|| {
            peers.push(None);
            peers.len() - 1
        });
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        let mut peer = Peer { stream: over(stream), in_data: false, tail: [0; 5], chunk: 0 };
        say(&mut peer, b"220 Welcome\r\n");
        peers[index] = Some(peer);
    }
    Ok(())
}

/// Replies are short: a socket that does not take one is given up with its client.
fn say<S: Write>(peer: &mut Peer<S>, reply: &[u8]) {
    drop(peer.stream.write(reply));
}

/// Serves what has arrived; says whether the connection goes on.
fn serve<S: Read + Write>(peer: &mut Peer<S>, buffer: &mut [u8]) -> bool {
    loop {
        let count = match peer.stream.read(buffer) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        if peer.in_data {
            let tail = &buffer[count.saturating_sub(END.len())..count];
            peer.tail.rotate_left(tail.len());
            peer.tail[END.len() - tail.len()..].copy_from_slice(tail);
            if peer.tail == *END {
                peer.in_data = false;
                say(peer, b"250 Received\r\n");
            }
        } else if peer.chunk > 0 {
            peer.chunk = peer.chunk.saturating_sub(count);
            if peer.chunk == 0 {
                say(peer, b"250 Received\r\n");
            }
        } else {
            match buffer[0] | 32 {
                b'b' => {
                    let (line, octets) = chunk(&buffer[..count]);
                    peer.chunk = octets.saturating_sub(count - line);
                    if peer.chunk == 0 {
                        say(peer, b"250 Received\r\n");
                    }
                }
                b'd' => {
                    peer.in_data = true;
                    peer.tail = [0; 5];
                    say(peer, b"354 Ready for receive message. End data with <CR><LF>.<CR><LF>\r\n");
                }
                b'q' => {
                    say(peer, b"221 Closing connection\r\n");
                    return false;
                }
                _ => say(peer, b"250 Received\r\n"),
            }
        }
        if count < buffer.len() {
            return true;
        }
    }
}

/// The length of the line `BDAT n LAST` in front, and the number in it.
fn chunk(input: &[u8]) -> (usize, usize) {
    let line = input.iter().position(|&octet| octet == b'\n').map_or(input.len(), |at| at + 1);
    let digits = input[..line].iter().skip(5).map_while(|&digit| char::from(digit).to_digit(10));
    (line, digits.fold(0, |number, digit| number * 10 + digit as usize))
}
