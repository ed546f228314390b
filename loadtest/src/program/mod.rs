//! The program: from the command line to the exit code. Imports all rooms that it puts together; runs on the main
//! thread, but for signals (`interrupt`), which are received on one of their own.

pub(crate) mod cli;
pub(crate) mod command;
pub(crate) mod exit;
#[cfg(feature = "fleet")]
pub(crate) mod fleet;
pub(crate) mod help;
pub(crate) mod input;
pub(crate) mod interrupt;
pub(crate) mod outputs;
pub(crate) mod plan_error;
pub(crate) mod stop;
pub(crate) mod tls;
pub(crate) mod values;
