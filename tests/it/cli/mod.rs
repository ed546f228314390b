//! The program, run as by its users: arguments and variables in; output, exit code and SMTP out.

mod auth;
mod certificates;
mod compat;
mod endings;
mod failures;
mod flags;
mod http;
mod inputs;
mod lifetime;
mod listeners;
mod lists;
mod manual;
mod output;
mod outputs;
mod readiness;
mod replies;
mod reports;
mod show;
mod snippets;
mod stuck;
mod tls;
