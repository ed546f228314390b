//! Accepting connections.

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixListener};

use crate::http::stream::Stream;
use crate::net::{PlainListener, SocketFile};

/// The listening socket of the control plane.
#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp(TcpListener),
    /// The file is removed first, so that no client finds it without a listener.
    Unix {
        _file: Arc<SocketFile>,
        socket: UnixListener,
    },
}

impl Acceptor {
    /// Registers it with the executor, in whose context this is called.
    pub(super) fn new(listener: PlainListener) -> io::Result<Self> {
        Ok(match listener {
            PlainListener::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket)?),
            PlainListener::Unix(file, socket) => {
                Self::Unix { _file: file, socket: UnixListener::from_std(socket)? }
            }
        })
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => {
                let (stream, _) = socket.accept().await?;
                // A reply is written at once.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(TokioIo::new(stream)))
            }
            Self::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                Ok(Stream::Unix(TokioIo::new(stream)))
            }
        }
    }
}
