//! HTTP/1.1 over the executor's sockets: requests with a body of JSON, each with a bounded reply.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use smtpmock::units::duration;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a body may make no progress. What arrives restores some of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets per second at or above which a body never takes too long: that of a slow link. A report of 5 MB has five minutes.
const SLOWEST: u32 = 16 << 10;

/// How long sent octets may be unacknowledged: a peer that is gone is noticed by then, however long the request.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// The time that so many octets may take on a slow link.
pub(super) fn allowed(octets: usize) -> Duration {
    Duration::from_secs(1) * u32::try_from(octets).unwrap_or(u32::MAX) / SLOWEST
}

/// A body that is there already.
#[derive(Debug, Default)]
pub(super) struct Whole(Bytes);

impl From<Vec<u8>> for Whole {
    fn from(octets: Vec<u8>) -> Whole {
        Whole(octets.into())
    }
}

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let octets = std::mem::take(&mut self.0);
        Poll::Ready((!octets.is_empty()).then(|| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// Reads a body of at most `most` octets; calls `on_progress` with each piece of it.
///
/// # Errors
/// It is longer, makes too little progress, or the connection broke.
pub(super) async fn read(
    mut body: Incoming,
    most: usize,
    mut on_progress: impl FnMut(),
) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::InvalidData, format!("more than {most} octets"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut octets = Vec::new();
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let frame = tokio::time::timeout_at(deadline, frame).await;
        let Some(frame) = frame.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it stalls"))? else {
            return Ok(octets);
        };
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            if octets.len() + data.len() > most {
                return Err(too_large());
            }
            octets.extend_from_slice(&data);
            deadline = (deadline + allowed(data.len())).min(Instant::now() + PATIENCE);
            on_progress();
        }
    }
}

/// The authority of an HTTP URL, and its path: `127.0.0.1:7000` and `/v1/report` of `http://127.0.0.1:7000/v1/report`.
///
/// # Errors
/// What is right instead.
pub(crate) fn parse_url(url: &str) -> Result<(String, String), String> {
    let uri: Uri = url.parse().map_err(|error| format!("`{url}`: expected http://HOST:PORT: {error}"))?;
    if uri.scheme_str() == Some("https") {
        return Err(format!(
            "`{url}`: https is not supported: use http://HOST:PORT, through a tunnel, like ssh -L, where others can listen"
        ));
    }
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("`{url}`: expected http://HOST:PORT"));
    };
    let has_more = authority.as_str().contains('@') || uri.query().is_some() || url.contains('#');
    if authority.host().is_empty() || authority.port_u16().is_none_or(|port| port == 0) || has_more {
        return Err(format!("`{url}`: expected a host and a port, like http://192.0.2.1:7000"));
    }
    Ok((authority.to_string(), uri.path().to_owned()))
}

/// A client's connection to one server, made when it is needed.
#[derive(Debug)]
pub(super) struct Link {
    authority: String,
    /// Where it connects, if that is not looked up.
    address: Option<SocketAddr>,
    /// The value of `Authorization`.
    authorization: Option<HeaderValue>,
    open: Option<Open>,
}

/// The requests of a connection, and its end.
type Open = (SendRequest<Whole>, JoinHandle<hyper::Result<()>>);

impl Link {
    pub(super) fn new(authority: String, authorization: Option<HeaderValue>) -> Link {
        Link { authority, address: None, authorization, open: None }
    }

    /// Connects there, whatever addresses the name has.
    pub(super) fn to(mut self, address: SocketAddr) -> Link {
        self.address = Some(address);
        self
    }

    /// Sends a request, and returns status and body of the reply. After an error the next one connects anew.
    ///
    /// # Errors
    /// There was no whole reply in time.
    pub(super) async fn ask(
        &mut self,
        (method, path): (Method, &str),
        body: Vec<u8>,
        most: usize,
        timeout: Duration,
    ) -> io::Result<(StatusCode, Vec<u8>)> {
        let mut open = self.open.take();
        let asked = async {
            let (mut sender, connection) = match open.take().filter(|(sender, _)| !sender.is_closed()) {
                Some(open) => open,
                None => self.connect().await?,
            };
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, &self.authority)
                .header(CONTENT_TYPE, "application/json");
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            let request = request.body(Whole::from(body)).map_err(io::Error::other)?;
            let reply = async {
                sender.ready().await?;
                sender.send_request(request).await
            };
            let reply = match reply.await {
                Ok(reply) => reply,
                Err(error) => return Err(explained(error, connection).await),
            };
            let status = reply.status();
            Ok::<_, io::Error>((status, read(reply.into_body(), most, || ()).await?, (sender, connection)))
        };
        let silent =
            |_| io::Error::new(io::ErrorKind::TimedOut, format!("no reply in {}", duration(timeout)));
        let (status, octets, open) = tokio::time::timeout(timeout, asked).await.map_err(silent)??;
        self.open = Some(open);
        Ok((status, octets))
    }

    async fn connect(&self) -> io::Result<Open> {
        let stream = match self.address {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect(&self.authority).await?,
        };
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok((sender, tokio::spawn(connection)))
    }
}

/// The error of a request for people: that of its connection, if it has ended by one.
async fn explained(error: hyper::Error, connection: JoinHandle<hyper::Result<()>>) -> io::Error {
    let error = match connection.await {
        Ok(Err(of_connection)) if error.is_closed() || error.is_canceled() => of_connection,
        _ => error,
    };
    // A request that was not sent yet when its connection failed is canceled, with the reason as its source.
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<hyper::Error>());
    let reason = source.filter(|_| error.is_canceled()).unwrap_or(&error);
    // What comes unasked, like the greeting of an SMTP server, is an error of its own without a name.
    let is_cut = reason.is_closed() || reason.is_canceled() || reason.is_incomplete_message();
    let is_unasked = std::error::Error::source(reason).is_none() && !is_cut;
    if reason.is_parse() || is_unasked {
        return io::Error::new(io::ErrorKind::InvalidData, "what listens there does not speak HTTP");
    }
    if is_cut {
        return io::Error::other("the connection ended before a reply came");
    }
    let mut cause: &dyn std::error::Error = reason;
    while let Some(source) = cause.source() {
        cause = source;
    }
    io::Error::other(cause.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use hyper::rt::{Read, ReadBufCursor, Write};

    use super::*;

    /// A server that sends these octets once that is set: empty ones end the connection, none reset it.
    struct Unasked(Arc<AtomicBool>, Option<&'static [u8]>);

    impl Read for Unasked {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            mut into: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.0.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
            let Some(octets) = self.1 else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            into.put_slice(octets);
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Unasked {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(octets.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Before the request is made, and before it is sent, which is canceled then.
    #[test]
    fn what_comes_unasked_is_explained_whenever_it_comes() {
        let greeting = b"220 mx.example ESMTP\r\n".as_slice();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (is_early, octets, right) in [
            (true, Some(greeting), "what listens there does not speak HTTP"),
            (false, Some(greeting), "what listens there does not speak HTTP"),
            (true, Some(b""), "the connection ended before a reply came"),
            (false, Some(b""), "the connection ended before a reply came"),
            (true, None, "connection reset"),
            (false, None, "connection reset"),
        ] {
            let error = runtime.block_on(async {
                let greeting = Unasked(Arc::default(), octets);
                let comes = Arc::clone(&greeting.0);
                comes.store(is_early, Ordering::Relaxed);
                let (mut sender, connection) = handshake(greeting).await.unwrap();
                let connection = tokio::spawn(connection);
                let ready = sender.ready().await;
                comes.store(true, Ordering::Relaxed);
                let asked = async {
                    ready?;
                    sender.send_request(Request::new(Whole::default())).await
                };
                explained(asked.await.expect_err("no reply"), connection).await
            });
            assert_eq!(error.to_string(), right, "early: {is_early}");
        }
    }

    #[test]
    fn a_url_is_a_host_a_port_and_maybe_a_path() {
        let parsed = |url: &str| parse_url(url).map(|(authority, path)| format!("{authority} {path}"));
        for (url, expected) in [
            ("http://127.0.0.1:7000", "127.0.0.1:7000 /"),
            ("http://[::1]:7000/", "[::1]:7000 /"),
            ("http://a.example:80/v1/report", "a.example:80 /v1/report"),
        ] {
            assert_eq!(parsed(url).as_deref(), Ok(expected));
        }
        for (url, right) in [
            ("https://a:1", "https is not supported: use http://HOST:PORT"),
            ("ftp://a:1", "expected http://HOST:PORT"),
            ("127.0.0.1:9", "expected http://HOST:PORT"),
            ("", "expected http://HOST:PORT"),
            ("http://", "expected http://HOST:PORT"),
            ("http://a b:1", "expected http://HOST:PORT"),
            ("http://a", "expected a host and a port"),
            ("http://:7", "expected a host and a port"),
            ("http://a:0", "expected a host and a port"),
            ("http://a:65536", "expected a host and a port"),
            ("http://a:x", "expected a host and a port"),
            ("http://u:p@a:1", "expected a host and a port"),
            ("http://a:1/?x", "expected a host and a port"),
            ("http://a:1/#x", "expected a host and a port"),
        ] {
            let refused = parsed(url).expect_err(url);
            assert!(refused.contains(right), "{url}: {refused}");
        }
    }
}
