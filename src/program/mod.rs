//! The program `smtpmock`: command line, outputs, signals, exit codes. Imports only the library's public interface.

pub(crate) mod ca_file;
pub(crate) mod cli;
pub(crate) mod interrupts;
pub(crate) mod lifetime;
pub(crate) mod outcome;
pub(crate) mod probe;
pub(crate) mod ready;
pub(crate) mod reporter;
