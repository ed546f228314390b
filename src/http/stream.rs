//! What connects hyper to the sockets and the clock of the executor: a page of code, in place of a crate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{ReadBufCursor, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

/// How long a client may take no octet of a reply.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection as hyper has it. A client that takes nothing of its reply for too long is dropped.
#[derive(Debug)]
pub(super) struct Io {
    stream: Stream,
    /// While a write waits for room.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl From<Stream> for Io {
    fn from(stream: Stream) -> Self {
        Self { stream, stalled: None }
    }
}

/// Evaluates an expression for the stream in whichever variant, pinned.
macro_rules! each {
    ($of:expr, $stream:ident => $result:expr) => {
        match &mut $of {
            Stream::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $result
            }
            Stream::Unix(stream) => {
                let $stream = Pin::new(stream);
                $result
            }
        }
    };
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper's buffer can't be handed on without unsafe code: requests are small, and so is this.
        let mut octets = [0; 4096];
        let most = cursor.remaining().min(octets.len());
        let mut buffer = ReadBuf::new(&mut octets[..most]);
        let read = each!(self.stream, stream => stream.poll_read(context, &mut buffer));
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
        let written = each!(self.stream, stream => stream.poll_write(context, octets));
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_PATIENCE)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.stream, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.stream, stream => stream.poll_shutdown(context))
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
