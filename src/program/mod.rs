//! The program `smtpmock`: arguments to settings to a server, outputs, signals, exit codes. Imports the library, as any
//! user of it.

pub(crate) mod cli;
pub(crate) mod interrupts;
pub(crate) mod lifetime;
pub(crate) mod outcome;
pub(crate) mod ready;
pub(crate) mod reporter;
