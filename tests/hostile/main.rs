//! Clients that mean harm, or behave as if they did, over real sockets. Other sessions are served
//! meanwhile, and nothing of theirs is lost.

mod client;

mod bounds;
mod delays;
mod descriptors;
mod failure;
mod input;
mod logging;
mod peers;
mod program;
mod stop;
