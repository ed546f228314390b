//! Sockets and the reactors that serve them; no other module has either. All of it runs on reactor threads, one for
//! each shard, except the mailbox for other threads (`control`), slow checks (`verifier`) and the binding of listeners.
//! Imports `config`, `log`, `measure`, `process`, `records`, `smtp`, `stats`, `time` and `tls`. `LIFECYCLE.md` in this
//! folder follows a connection from accept to close.

mod buffer;
mod connection;
pub(crate) mod context;
pub(crate) mod control;
pub(crate) mod counters;
mod listener;
mod open_session;
pub(crate) mod overflow;
pub(crate) mod passages;
mod reactor;
mod resources;
pub(crate) mod shard;
#[cfg(test)]
mod simulation;
mod stream;
pub(crate) mod verifier;
mod wheel;

pub use listener::Listening;
#[cfg(feature = "http")]
pub(crate) use listener::bind_plain;
pub(crate) use listener::{ListeningSocket, bind};
pub use open_session::{Farewell, OpenSession, SessionState};
#[cfg(feature = "http")]
pub(crate) use stream::{PlainListener, SocketFile};
