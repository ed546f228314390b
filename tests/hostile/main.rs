//! Clients that mean harm, or behave as if they did, over real sockets. Other sessions are served
//! meanwhile, and nothing of theirs is lost.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod bystander;
mod delays;
mod descriptors;
mod failure;
mod input;
mod last_words;
mod logging;
mod peers;
mod stop;
