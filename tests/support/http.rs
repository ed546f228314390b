//! The HTTP client of the tests: a blocking socket that sends given octets and reads replies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;
use smtpmock::{Config, ControlPlane, HttpSettings, Server};

use super::server::start;
use super::waiting::PATIENCE;

/// A server with a control plane, which is stopped with it, and where that listens.
pub(crate) struct Plane {
    pub(crate) server: Arc<Server>,
    _control: ControlPlane,
    pub(crate) http: SocketAddr,
}

/// A server with this configuration, and a control plane on a free port.
pub(crate) fn plane(config: Config) -> Plane {
    plane_with(config, &HttpSettings::at("0"))
}

/// The same with these settings of the control plane, over TCP.
pub(crate) fn plane_with(config: Config, settings: &HttpSettings) -> Plane {
    let server = Arc::new(start(config));
    let control = ControlPlane::start(&server, settings).expect("a control plane on a free port");
    let http = control.local_addr();
    Plane { server, _control: control, http }
}

impl Plane {
    pub(crate) fn smtp(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The reply to GET.
    pub(crate) fn get(&self, target: &str) -> Reply {
        HttpClient::connect(self.http).request("GET", target, &[])
    }

    /// The JSON of a reply to GET, which must be 200.
    pub(crate) fn json(&self, target: &str) -> Value {
        self.get(target).json_as(200)
    }

    /// The JSON of a reply to DELETE, which must be 200.
    pub(crate) fn delete(&self, target: &str) -> Value {
        HttpClient::connect(self.http).request("DELETE", target, &[]).json_as(200)
    }
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The value of a field, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON, if it has this status.
    pub(crate) fn json_as(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The `reason` of an error with this status, which is one of those that are described.
    pub(crate) fn reason(&self, status: u16) -> String {
        /// Of other interfaces than ours.
        const OF_FACADES: [&str; 2] = ["off", "release"];
        let reason = self.json_as(status)["error"]["reason"].as_str().expect("a reason").to_owned();
        let described = &DESCRIPTION["components"]["schemas"]["Fault"]["properties"]["reason"]["enum"];
        let described = described.as_array().expect("reasons");
        assert!(described.contains(&reason.as_str().into()) || OF_FACADES.contains(&&*reason), "{reason}");
        reason
    }
}

/// The description of the interface.
static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../src/http/api/openapi.json")).expect("a description in JSON")
});

/// Panics unless the data of this event has the fields that are described.
fn check_event(name: &str, data: &Value) {
    let events =
        &DESCRIPTION["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    let reference =
        events["schema"]["x-events"][name]["$ref"].as_str().unwrap_or_else(|| panic!("no event {name}"));
    let schema = DESCRIPTION.pointer(&reference[1..]).expect("a schema");
    let described = schema["properties"].as_object().expect("fields");
    let fields = data.as_object().expect("an object");
    assert!(fields.keys().all(|field| described.contains_key(field)), "{name}: {data}");
    let mut required = schema["required"].as_array().expect("names").iter();
    assert!(required.all(|field| data.get(field.as_str().expect("a name")).is_some()), "{name}: {data}");
}

/// A server-sent event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct HttpClient {
    stream: BufReader<TcpStream>,
    host: String,
}

impl HttpClient {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"));
        Self::over(stream, address.to_string())
    }

    /// Connects to a Unix socket.
    pub(crate) fn connect_at(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("connect {path:?}: {error}"));
        Self::over(TcpStream::from(OwnedFd::from(stream)), "anything.example".to_owned())
    }

    fn over(stream: TcpStream, host: String) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream: BufReader::new(stream), host }
    }

    /// Sends a request with these fields, and `Host` unless it is among them, and reads the reply.
    pub(crate) fn request(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Reply {
        self.begin(method, target, fields);
        self.reply_to(method).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// The same with a body.
    pub(crate) fn request_with(&mut self, method: &str, target: &str, body: &str) -> Reply {
        let length = body.len().to_string();
        self.begin(method, target, &[("Content-Type", "application/json"), ("Content-Length", &length)]);
        // One that is too large is refused while it is sent.
        let _ = self.try_send(body);
        self.reply_to(method).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Sends a request without reading the reply.
    pub(crate) fn begin(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.host);
        }
        fields.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        self.send(head + "\r\n");
    }

    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.try_send(octets).expect("an open connection");
    }

    /// The same for a connection that may have ended.
    pub(crate) fn try_send(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(octets.as_ref())
    }

    /// Reads the reply to a request.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        self.reply_to("GET")
    }

    fn reply_to(&mut self, method: &str) -> io::Result<Reply> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if method != "HEAD" {
            reply.body = vec![0; length];
            self.stream.read_exact(&mut reply.body)?;
        }
        Ok(reply)
    }

    /// The next event of an endless reply. Comments and the borders of chunks are between events.
    pub(crate) fn event(&mut self) -> Event {
        let mut event = Event { name: String::new(), id: None, data: Value::Null };
        loop {
            let line = self.line().unwrap_or_else(|error| panic!("an event: {error}"));
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("data", data)) => {
                    event.data = serde_json::from_str(data).expect("JSON");
                    check_event(&event.name, &event.data);
                    return event;
                }
                _ => {}
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// Exactly this many octets of its output.
    pub(crate) fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = vec![0; count];
        self.stream.read_exact(&mut octets).expect("an open connection");
        octets
    }

    /// What has arrived of a reply that is not read.
    pub(crate) fn peeked(&self) -> Vec<u8> {
        let mut octets = vec![0; 64];
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("a socket");
        let count = stream.peek(&mut octets).unwrap_or(0);
        stream.set_nonblocking(false).expect("a socket");
        octets.truncate(count);
        octets
    }

    /// What the server sends until it closes the connection, or sends nothing for so long.
    pub(crate) fn rest_within(&mut self, silence: Duration) -> String {
        self.stream.get_ref().set_read_timeout(Some(silence)).expect("a read timeout");
        let mut octets = Vec::new();
        // A reset and silence end it as well.
        let _ = self.stream.read_to_end(&mut octets);
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Waits until the server closes the connection, and returns what it has sent.
    pub(crate) fn rest(&mut self) -> String {
        let mut octets = Vec::new();
        match self.stream.read_to_end(&mut octets) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection did not end: {error}"),
        }
        String::from_utf8_lossy(&octets).into_owned()
    }
}

/// A text as a value in a query.
pub(crate) fn encoded(text: &str) -> String {
    let encode = |octet: u8| match octet.is_ascii_alphanumeric() {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    };
    text.bytes().map(encode).collect()
}
