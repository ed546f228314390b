//! Snapshots of open sessions for other threads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::records::Endpoint;
use crate::smtp::{Protocol, Stage};
use crate::tls::TlsSession;

/// A snapshot of an open session. See [`Server::sessions`](crate::Server::sessions).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenSession {
    /// Its number, as in the log, the capture and [`Message::session_id`](crate::Message::session_id).
    pub id: u64,
    /// The client.
    pub peer: Endpoint,
    /// The bound address of its listener, as in [`Server::listeners`](crate::Server::listeners): `0.0.0.0:25` for all
    /// addresses. The address that the client connected to is [`Message::local_addr`](crate::Message::local_addr).
    pub listener: Endpoint,
    /// The protocol.
    pub protocol: Protocol,
    /// The result of its TLS handshake; `None` in clear.
    pub tls: Option<Arc<TlsSession>>,
    /// What it waits for.
    pub state: SessionState,
    /// The stage of the last reply; [`Stage::Message`] while a message is received.
    pub stage: Stage,
    /// The argument of the last EHLO, HELO or LHLO that was accepted.
    pub helo: Option<String>,
    /// The user that the client has authenticated as.
    pub user: Option<String>,
    /// Messages accepted.
    pub messages: u32,
    /// Octets of the dialogue received, without TLS overhead.
    pub received: u64,
    /// Octets of replies that have left, without TLS overhead.
    pub sent: u64,
    /// How long it has been open.
    pub age: Duration,
    /// Time since the last octet was received.
    pub silence: Duration,
}

/// What an open session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// The handshake of TLS.
    Handshake,
    /// A command.
    Command,
    /// The rest of a message.
    Message,
    /// The end of a delay.
    Delay,
    /// The check of a password.
    Check,
    /// Nothing: a rule holds the session.
    Held,
    /// The client to read the last reply.
    End,
}

/// One of `handshake`, `command`, `message`, `delay`, `check`, `held`, `end`.
impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "handshake",
            Self::Command => "command",
            Self::Message => "message",
            Self::Delay => "delay",
            Self::Check => "check",
            Self::Held => "held",
            Self::End => "end",
        })
    }
}

/// How a session is ended by [`Server::end_session`](crate::Server::end_session). The client is not at fault: the
/// session counts as ended by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// With 421, then closed; a delayed reply is replaced by it.
    Refused,
    /// Its connection is reset (RST), without a reply.
    Reset,
}
