//! The guard: server CPU per message of `smtpmock` and of the floor, a null sink that does not even parse, driven in
//! turn by the same client. Both are separate processes, whose CPU times are compared round by round, so that the
//! machine's drift cancels.
//!
//! The floor of sessions within TLS is the same sink over plain rustls, with the same certificate and provider.
//!
//! Fails if the median ratio of a shape is above [`ALARM`], which noise does not reach. Linux only; `FLOOR_ROUNDS` sets
//! the number of rounds.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustls::HandshakeKind;
use smtpmock::{Config, Tls};

use tls_sink::{Encrypted, Identity};

mod mail;
#[path = "../loadtest/examples/null_sink.rs"]
mod null_sink;
mod tls_sink;

/// Ratio above which the guard fails. Measured on a busy two-core machine: medians up to 1.33.
const ALARM: f64 = 1.6;
const CLIENTS: usize = 16;
/// The server to run, set in a server process.
const ROLE: &str = "SMTPMOCK_BENCH_ROLE";
const NULL_SINK: &str = "null sink";
const SMTPMOCK: &str = "smtpmock";
/// The certificate and key of a server process with TLS, in PEM.
const CERTIFICATE: &str = "SMTPMOCK_BENCH_CERTIFICATE";
const KEY: &str = "SMTPMOCK_BENCH_KEY";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One way to send messages.
struct Shape {
    name: &'static str,
    size: usize,
    reuses_session: bool,
    /// With BDAT, in one chunk (RFC 3030).
    is_chunk: bool,
    /// Messages that each client sends in one round.
    messages: usize,
    /// Threads of either server: more threads also cost the floor more.
    threads: usize,
    /// Within TLS 1.3 from the start, with these handshakes.
    handshakes: Option<HandshakeKind>,
}

const REUSED: Shape = Shape {
    name: "1 KiB, session reused",
    size: 1024,
    reuses_session: true,
    is_chunk: false,
    messages: 1000,
    threads: 1,
    handshakes: None,
};

const ENCRYPTED: Shape =
    Shape { name: "TLS, 1 KiB, reused", handshakes: Some(HandshakeKind::Full), ..REUSED };

const SHAPES: [Shape; 10] = [
    REUSED,
    Shape { name: "1 KiB, session per message", reuses_session: false, messages: 300, ..REUSED },
    Shape { name: "64 KiB, session reused", size: 64 * 1024, messages: 500, ..REUSED },
    Shape { name: "1 KiB in a chunk, reused", is_chunk: true, ..REUSED },
    Shape { name: "64 KiB in a chunk, reused", is_chunk: true, size: 64 * 1024, messages: 500, ..REUSED },
    Shape { name: "1 KiB, reused, two shards", threads: 2, ..REUSED },
    ENCRYPTED,
    Shape { name: "TLS, 64 KiB, reused", size: 64 * 1024, messages: 300, ..ENCRYPTED },
    Shape { name: "TLS, full handshake each", reuses_session: false, messages: 60, ..ENCRYPTED },
    Shape {
        name: "TLS, resumed each",
        reuses_session: false,
        messages: 60,
        handshakes: Some(HandshakeKind::Resumed),
        ..ENCRYPTED
    },
];

fn main() -> ExitCode {
    let ran = match std::env::var(ROLE).as_deref() {
        Ok(NULL_SINK) => floor(),
        Ok(_) => smtpmock(),
        Err(_) => compare(),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The certificate of a server process, if it has TLS.
fn identity() -> Option<Identity> {
    let [certificate, key] = [CERTIFICATE, KEY].map(|name| std::env::var(name).ok());
    Some(Identity { certificate: certificate?, key: key? })
}

fn floor() -> Result<()> {
    let Some(identity) = identity() else { return Ok(null_sink::main()?) };
    let config = identity.server()?;
    Ok(null_sink::sink(move |socket| Encrypted::new(socket, &config))?)
}

/// `PORT SHARDS EXTENDED`: a server like the program's without a capture, with Extended SMTP if the last is 1, until
/// killed.
fn smtpmock() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u16>());
    let (Some(port), Some(shards), Some(extended)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: PORT SHARDS EXTENDED".into());
    };
    let port = port?;
    let config = Config::default().keep_records(false).shards(shards?.into());
    let config = match identity() {
        None => config.port(port),
        Some(Identity { certificate, key }) => {
            config.listen(format!("smtps://127.0.0.1:{port}")).tls(Tls::from_pem(certificate, key))
        }
    };
    let config = if extended? == 1 { config.esmtp() } else { config };
    let _server = smtpmock::Server::start(config)?;
    loop {
        std::thread::park();
    }
}

/// Fails when a shape is above the alarm.
fn compare() -> Result<()> {
    let rounds: usize = std::env::var("FLOOR_ROUNDS").map_or(Ok(5), |text| text.parse())?;
    let identity = Identity::new()?;
    let mut is_fine = true;
    for shape in &SHAPES {
        let mut floor = Vec::new();
        let mut mock = Vec::new();
        for _ in 0..rounds {
            floor.push(Server::start(NULL_SINK, shape, &identity)?.cpu_per_message(shape, &identity)?);
            mock.push(Server::start(SMTPMOCK, shape, &identity)?.cpu_per_message(shape, &identity)?);
        }
        let ratio = median(mock.iter().zip(&floor).map(|(mock, floor)| mock / floor).collect());
        is_fine &= ratio <= ALARM;
        println!(
            "{:27} floor {:6.1} us  smtpmock {:6.1} us  ratio {ratio:.2}",
            shape.name,
            median(floor),
            median(mock),
        );
    }
    if is_fine { Ok(()) } else { Err(format!("more than {ALARM} times the floor").into()) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server process, ended when dropped.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(role: &str, shape: &Shape, identity: &Identity) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?);
        if shape.handshakes.is_some() {
            command.env(CERTIFICATE, &identity.certificate).env(KEY, &identity.key);
        }
        let process = command
            .env(ROLE, role)
            .args(
                [usize::from(address.port()), shape.threads, usize::from(shape.is_chunk)]
                    .map(|number| number.to_string()),
            )
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { process, address };
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("the server does not listen".into())
    }

    /// Microseconds of CPU, user and system, that the server spent on each message.
    fn cpu_per_message(self, shape: &Shape, identity: &Identity) -> Result<f64> {
        let before = self.cpu()?;
        send_all(self.address, shape, identity)?;
        let used = self.cpu()? - before;
        Ok(used.as_secs_f64() * 1e6 / (CLIENTS * shape.messages) as f64)
    }

    /// CPU time of all threads of the process, to the nanosecond.
    fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let statistics = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = statistics.split(' ').next().ok_or("an empty schedstat")?;
            nanoseconds += on_cpu.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client's side of a session.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

type Client = Box<dyn Stream>;

/// All clients take each step together: first all write, then all read.
fn send_all(address: SocketAddr, shape: &Shape, identity: &Identity) -> Result<()> {
    let text = b"x".repeat(shape.size);
    let (message, envelope) = match shape.is_chunk {
        true => (mail::chunk(&text), &mail::ENVELOPE[..2]),
        false => (mail::data(&text), &mail::ENVELOPE[..]),
    };
    let greeting: &[u8] = if shape.is_chunk { mail::EHLO } else { b"HELO client.example.com\r\n" };
    let (sessions, messages) = if shape.reuses_session { (1, shape.messages) } else { (shape.messages, 1) };
    let connectors = (0..CLIENTS).map(|_| connector(address, shape, identity)).collect::<Result<Vec<_>>>()?;
    for number in 0..sessions {
        let connect = |connect: &Connector| connect(number);
        let mut clients = connectors.iter().map(connect).collect::<Result<Vec<_>>>()?;
        step(&mut clients, b"", b"220")?;
        step(&mut clients, greeting, b"250")?;
        for _ in 0..messages {
            for (request, code) in envelope {
                step(&mut clients, request, code)?;
            }
            step(&mut clients, &message, b"250")?;
        }
        step(&mut clients, b"QUIT\r\n", b"221")?;
    }
    Ok(())
}

/// Begins the session with this number.
type Connector = Box<dyn Fn(usize) -> Result<Client>>;

/// Begins the sessions of one client. The first has no ticket to resume with.
fn connector(address: SocketAddr, shape: &Shape, identity: &Identity) -> Result<Connector> {
    let Some(kind) = shape.handshakes else {
        return Ok(Box::new(move |_| Ok(Box::new(connect(address)?))));
    };
    let config = identity.client(kind == HandshakeKind::Resumed)?;
    Ok(Box::new(move |number| {
        let kind = if number == 0 { HandshakeKind::Full } else { kind };
        Ok(Box::new(tls_sink::handshake(&config, connect(address)?, kind)?))
    }))
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let client = TcpStream::connect(address)?;
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(client)
}

fn step(clients: &mut [Client], request: &[u8], code: &[u8]) -> Result<()> {
    for client in &mut *clients {
        client.write_all(request)?;
    }
    clients.iter_mut().try_for_each(|client| mail::expect(client, code))
}
