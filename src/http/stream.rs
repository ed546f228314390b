//! The sockets of the control plane, as hyper sees them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::ReadBufCursor;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

use crate::http::places::Place;

/// How long writes may wait for a client in total. Octets that the client reads restore some of it.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Octets per second at or above which a client is never dropped. Each client that reads more slowly on purpose would retain a
/// reply.
const SLOWEST: u32 = 64 << 10;

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TokioIo<TcpStream>),
    Unix(TokioIo<UnixStream>),
}

/// A connection as hyper sees it. A client that reads its replies too slowly is dropped.
#[derive(Debug)]
pub(super) struct Io {
    stream: Stream,
    place: Arc<Place>,
    /// How long the next writes may wait.
    patience: Duration,
    /// Present while a write waits for room; fires when the patience is exhausted.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Io {
    pub(super) fn new(stream: Stream, place: Arc<Place>) -> Self {
        Self { stream, place, patience: WRITE_PATIENCE, stalled: None }
    }
}

/// The remaining patience after a client has taken `octets`.
fn restored(left: Duration, octets: usize) -> Duration {
    let octets = u32::try_from(octets).unwrap_or(u32::MAX);
    (left + Duration::from_secs(1) * octets / SLOWEST).min(WRITE_PATIENCE)
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
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.stream, stream => stream.poll_read(context, cursor))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = each!(self.stream, stream => stream.poll_write(context, octets));
        if let Poll::Ready(result) = &written {
            if let Some(stalled) = self.stalled.take() {
                self.patience = stalled.deadline().saturating_duration_since(tokio::time::Instant::now());
            }
            self.patience = restored(self.patience, result.as_ref().map_or(0, |count| *count));
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = each!(self.stream, stream => stream.poll_flush(context));
        if flushed.is_ready() {
            self.place.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.stream, stream => stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds for which a client is waited for that takes so many octets each second; `None` for more than an hour.
    fn endured(octets_per_second: usize) -> Option<u32> {
        let mut patience = WRITE_PATIENCE;
        (1..3600).find(|_| {
            patience = patience.saturating_sub(Duration::from_secs(1));
            let is_over = patience.is_zero();
            patience = restored(patience, octets_per_second);
            is_over
        })
    }

    #[test]
    fn a_client_must_read_at_the_least_rate() {
        assert_eq!(endured(0), Some(30));
        assert_eq!(endured(1), Some(31));
        let least = SLOWEST as usize;
        assert!(endured(least / 2).is_some_and(|seconds| seconds <= 60));
        assert_eq!(endured(least), None);
        assert_eq!(restored(Duration::from_secs(1), usize::MAX), WRITE_PATIENCE);
    }
}
