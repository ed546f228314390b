//! The built program, run as by its users.

use std::ffi::OsStr;
use std::process::Command;

use super::process::{Ended, Process};

/// The program with these arguments, and without the environment variables that it would read.
pub(crate) fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtpmock"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("SMTPMOCK_") || name.starts_with("MP_") {
            command.env_remove(&*name);
        }
    }
    command.args(arguments);
    command
}

/// Runs it until it ends by itself.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    Ended::of(&mut command(arguments))
}

/// Starts it and waits until it listens.
pub(crate) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Process {
    start_command(&mut command(arguments))
}

/// The same with other properties of a command: variables, limits.
pub(crate) fn start_command(command: &mut Command) -> Process {
    // A variable and not a flag, since an argument may end the flags.
    Process::start(command.env("SMTPMOCK_READY", "true"))
}
