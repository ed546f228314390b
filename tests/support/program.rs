//! The built program, run as its users run it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::Value;

/// A running `smtpmock`; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    addresses: Vec<SocketAddr>,
}

/// What a program that has ended left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts it with these arguments and waits until it listens.
    pub(crate) fn start<T: AsRef<str>>(arguments: impl IntoIterator<Item = T>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtpmock"));
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        Self::run(command.arg("--ready"))
    }

    /// The same with at most this many file descriptors.
    pub(crate) fn start_with_descriptors(limit: usize, arguments: &str) -> Self {
        let script =
            format!("ulimit -n {limit} && exec {} {arguments} --ready", env!("CARGO_BIN_EXE_smtpmock"));
        Self::run(Command::new("sh").args(["-c", &script]))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("standard output in UTF-8");
        let Some(addresses) = ready_addresses(&line) else {
            let _ = child.kill();
            panic!("{line:?} instead of a line of readiness: {:?}", child.wait_with_output());
        };
        Self { child, output, addresses }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &script]).status().expect("a shell").success());
    }

    /// Waits for its end, which something else must bring about.
    pub(crate) fn wait(mut self) -> Ended {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.output.read_to_string(&mut stdout).expect("UTF-8");
        self.child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
        Ended { status: self.child.wait().expect("a child of ours"), stdout, stderr }
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready_addresses(line: &str) -> Option<Vec<SocketAddr>> {
    let ready: Value = serde_json::from_str(line).ok()?;
    ready["smtp"].as_array()?.iter().map(|address| address.as_str()?.parse().ok()).collect()
}
