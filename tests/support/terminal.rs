//! A terminal, if the machine has script(1).

use std::process::Command;

/// The output of a command on a terminal; `None` if the machine has no script(1), which is printed.
pub(crate) fn on_terminal(command: &str) -> Option<String> {
    let shown = |command: &str| Command::new("script").args(["-qec", command, "/dev/null"]).output();
    if !shown("true").is_ok_and(|output| output.status.success()) {
        println!("skipped: this machine has no script(1) that runs a command on a terminal");
        return None;
    }
    Some(String::from_utf8(shown(command).expect("script runs").stdout).expect("UTF-8"))
}
