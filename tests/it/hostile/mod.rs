//! Clients that are hostile, or behave as if they were, over real sockets. Other sessions are served meanwhile and lose
//! nothing.

mod bounds;
mod bystander;
mod delays;
#[cfg(feature = "cli")]
mod descriptors;
mod failure;
mod input;
mod last_words;
mod logging;
mod peers;
mod stop;
#[cfg(feature = "tls")]
mod tls;
