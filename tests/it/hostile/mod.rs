//! Clients that mean harm, or behave as if they did, over real sockets. Other sessions are served
//! meanwhile, and nothing of theirs is lost.

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
