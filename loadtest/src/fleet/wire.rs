//! HTTP/1.1 over the executor's sockets: requests with a body of JSON, each with a bounded reply.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::rt::{ReadBufCursor, Timer};
use hyper::{Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A connection as hyper sees it.
#[derive(Debug)]
pub(super) struct Io(pub(super) TcpStream);

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper's buffer can't be passed on without unsafe code.
        let mut octets = [0; 16 << 10];
        let most = cursor.remaining().min(octets.len());
        let mut buffer = ReadBuf::new(&mut octets[..most]);
        let read = Pin::new(&mut self.0).poll_read(context, &mut buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            cursor.put_slice(buffer.filled());
        }
        read
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The executor's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExecutorTimer;

impl Timer for ExecutorTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Alarm(Box::pin(tokio::time::sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Alarm(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }
}

struct Alarm(Pin<Box<Sleep>>);

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for Alarm {}

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

/// Reads a body of at most `most` octets.
///
/// # Errors
/// It is longer, or the connection broke.
pub(super) async fn read(mut body: Incoming, most: usize) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::InvalidData, format!("more than {most} octets"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut octets = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            if octets.len() + data.len() > most {
                return Err(too_large());
            }
            octets.extend_from_slice(&data);
        }
    }
    Ok(octets)
}

/// The authority of an HTTP URL, and its path: `127.0.0.1:7000` and `/v1/report` of `http://127.0.0.1:7000/v1/report`.
///
/// # Errors
/// What is right instead.
pub(crate) fn parse_url(url: &str) -> Result<(String, String), String> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(format!(
            "`{url}`: expected http://HOST:PORT; what is not in one network goes through a tunnel, like ssh -L"
        ));
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let port = authority.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
    match port {
        Some((host, Ok(_))) if !host.is_empty() && !authority.contains('@') => {
            Ok((authority.to_owned(), path.to_owned()))
        }
        _ => Err(format!("`{url}`: expected a host and a port, like http://192.0.2.1:7000")),
    }
}

/// A client's connection to one server, made when it is needed.
#[derive(Debug)]
pub(super) struct Link {
    authority: String,
    /// The value of `Authorization`.
    authorization: Option<HeaderValue>,
    sender: Option<SendRequest<Whole>>,
}

impl Link {
    pub(super) fn new(authority: String, authorization: Option<HeaderValue>) -> Link {
        Link { authority, authorization, sender: None }
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
        let mut sender = self.sender.take();
        let asked = async {
            let mut sender = match sender.take().filter(|sender| !sender.is_closed()) {
                Some(sender) => sender,
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
            sender.ready().await.map_err(io::Error::other)?;
            let reply = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = reply.status();
            Ok::<_, io::Error>((status, read(reply.into_body(), most).await?, sender))
        };
        let (status, octets, sender) =
            tokio::time::timeout(timeout, asked).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.sender = Some(sender);
        Ok((status, octets))
    }

    async fn connect(&self) -> io::Result<SendRequest<Whole>> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(Io(stream)).await.map_err(io::Error::other)?;
        // It ends with its sender, or by an error that its requests have as well.
        drop(tokio::spawn(connection));
        Ok(sender)
    }
}
