//! Sockets, and the reactor threads that serve them: the only room with either. `LIFECYCLE.md` beside this file follows
//! a connection from accept to close.

mod buffer;
mod connection;
pub(crate) mod context;
pub(crate) mod control;
pub(crate) mod counters;
mod listener;
pub(crate) mod overflow;
mod reactor;
mod resources;
pub(crate) mod shard;
#[cfg(test)]
mod simulation;
mod stream;
mod wheel;

pub use listener::Listening;
pub(crate) use listener::bind;
pub(crate) use stream::Listener;
