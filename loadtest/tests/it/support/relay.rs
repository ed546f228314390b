//! A relay between an agent and its coordinator.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A relay to an address. It ends with the process.
pub(crate) struct Relay {
    pub(crate) url: String,
    link: Arc<Mutex<Link>>,
}

#[derive(Default)]
struct Link {
    state: State,
    streams: Vec<TcpStream>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Whole,
    /// Requests are answered with status 502, as by a proxy without its server.
    OutOfOrder,
    /// Nothing passes, and nothing is accepted.
    Cut,
}

impl Relay {
    pub(crate) fn to(address: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let link = Arc::<Mutex<Link>>::default();
        let (shared, address) = (Arc::clone(&link), address.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut link = shared.lock().expect("a lock");
                if link.state == State::Cut {
                    return;
                }
                let Ok(far) = TcpStream::connect(&address) else { continue };
                link.streams.extend([&near, &far].map(|stream| stream.try_clone().expect("a descriptor")));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(pass_on(near, far, &shared)));
            }
        });
        Relay { url, link }
    }

    pub(crate) fn is_out_of_order(&self, is_out_of_order: bool) {
        let state = if is_out_of_order { State::OutOfOrder } else { State::Whole };
        self.link.lock().expect("a lock").state = state;
    }

    pub(crate) fn cut(&self) {
        let mut link = self.link.lock().expect("a lock");
        link.state = State::Cut;
        link.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }
}

/// Passes on what comes from either side, while the link is whole.
fn pass_on(mut near: TcpStream, mut far: TcpStream, link: &Mutex<Link>) -> io::Result<()> {
    let (mut replies, mut client) = (far.try_clone()?, near.try_clone()?);
    std::thread::spawn(move || io::copy(&mut replies, &mut client));
    let mut buffer = [0; 65536];
    loop {
        let length = near.read(&mut buffer)?;
        if length == 0 {
            return far.shutdown(Shutdown::Both);
        }
        if link.lock().expect("a lock").state == State::OutOfOrder {
            let reply = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return near.write_all(reply).and_then(|()| far.shutdown(Shutdown::Both));
        }
        far.write_all(&buffer[..length])?;
    }
}

/// The address of a relay to a server of SMTP. Of every other connection, beginning with the first, it withholds the replies
/// after this many, and goes on with what the client sends.
pub(crate) fn withholding(address: &str, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("an address").to_string();
    let address = address.to_owned();
    std::thread::spawn(move || {
        for (nth, near) in listener.incoming().map_while(Result::ok).enumerate() {
            let far = TcpStream::connect(&address).expect("a server");
            let limit = if nth % 2 == 0 { after } else { usize::MAX };
            let (client, server) =
                [&near, &far].map(|stream| stream.try_clone().expect("a descriptor")).into();
            std::thread::spawn(move || drop(replies(far, near, limit)));
            std::thread::spawn(move || drop(commands(client, server)));
        }
    });
    at
}

fn commands(mut client: TcpStream, mut server: TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut client, &mut server);
    server.shutdown(Shutdown::Write).and(copied.map(drop))
}

/// Passes on so many replies, and reads the others.
fn replies(server: TcpStream, mut client: TcpStream, limit: usize) -> io::Result<()> {
    let mut passed = 0;
    for line in BufReader::new(server).lines() {
        let line = line?;
        if passed < limit {
            client.write_all(format!("{line}\r\n").as_bytes())?;
            passed += usize::from(line.as_bytes().get(3) != Some(&b'-'));
        }
    }
    client.shutdown(Shutdown::Both)
}
