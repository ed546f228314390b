//! The only place with sockets and clocks, and the threads that serve. `LIFECYCLE.md` beside this file follows a
//! connection from accept to close.

mod buffer;
pub(crate) mod census;
pub(crate) mod clock;
mod connection;
mod listener;
pub(crate) mod overflow;
mod reactor;
mod readings;
mod resources;
pub(crate) mod shard;
#[cfg(test)]
mod simulation;
mod wheel;

pub(crate) use listener::bind;
