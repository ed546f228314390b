//! A program in a separate process: waiting for its output, stopping it, and measuring it from outside.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::waiting::PATIENCE;

/// The result of a process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs a command that ends by itself.
    pub(crate) fn of(command: &mut Command) -> Self {
        Process::spawn(command).ended()
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The only line of standard error.
    pub(crate) fn complaint(&self) -> &str {
        let (line, rest) = self.stderr.split_once('\n').expect("a line on standard error");
        assert!(rest.is_empty() && line.starts_with("smtpmock: "), "{self:?}");
        line
    }
}

/// A running server. It is killed when this is dropped, and when a wait for it exceeds the limit.
#[derive(Debug)]
pub(crate) struct Process {
    child: Killed,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
    /// The ready line, as it was printed.
    pub(crate) ready_line: String,
}

impl Process {
    /// Starts a command that prints a ready line, and waits for it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = Self::spawn(command);
        process.ready_line = within_patience(process.pid(), || ready_line(&mut process.output));
        if process.ready_line.is_empty() {
            panic!("it ended before it was ready: {:?}", process.ended());
        }
        process
    }

    fn spawn(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = Killed(child.expect("the program starts"));
        let output = BufReader::new(child.0.stdout.take().expect("piped"));
        let errors = BufReader::new(child.0.stderr.take().expect("piped"));
        Self { child, output, errors, ready_line: String::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The addresses of the ready line.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let ready: Value = serde_json::from_str(&self.ready_line).expect("JSON");
        let addresses = ready["smtp"].as_array().expect("an array").iter();
        addresses.map(|address| address.as_str().expect("text").parse().expect("an address")).collect()
    }

    /// The first of its addresses.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// Waits for a line on standard output that contains this text.
    pub(crate) fn wait_for_output(&mut self, text: &str) -> String {
        within_patience(self.pid(), || find_line(&mut self.output, text))
    }

    /// Waits for a line on standard error that contains this text.
    pub(crate) fn wait_for_error(&mut self, text: &str) -> String {
        within_patience(self.pid(), || find_line(&mut self.errors, text))
    }

    pub(crate) fn signal(&self, name: Signal) {
        signal(self.pid(), name);
    }

    /// Waits until it ends, which something else must cause. The output is the part after the lines that were waited
    /// for.
    pub(crate) fn ended(mut self) -> Ended {
        within_patience(self.pid(), || self.drain())
    }

    /// The same without reading its standard output.
    pub(crate) fn ended_unread(mut self) -> Ended {
        within_patience(self.pid(), || {
            self.child.0.wait().expect("a child");
            self.drain()
        })
    }

    /// Requests its end and waits until it has ended.
    pub(crate) fn stopped(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    fn drain(&mut self) -> Ended {
        let Self { child, output, errors, .. } = self;
        // Both are read concurrently: the process must not wait until one of them is read.
        let (stdout, stderr) = thread::scope(|scope| {
            let stderr = scope.spawn(|| rest(errors));
            (rest(output), stderr.join().expect("readable"))
        });
        Ended { status: child.0.wait().expect("a child"), stdout, stderr }
    }

    /// The processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = self.proc_file("stat");
        let fields: Vec<&str> =
            stat.rsplit(')').next().expect("fields after the name").split_whitespace().collect();
        // proc_pid_stat(5): utime and stime are fields 14 and 15, the state after the name is field 3.
        let ticks = [14, 15].map(|field: usize| fields[field - 3].parse::<u64>().expect("a number"));
        // A tick is a hundredth of a second on every Linux.
        Duration::from_millis(ticks.iter().sum::<u64>() * 10)
    }

    /// Its resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("a size").parse().expect("a number")
    }

    fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.pid())).expect("a running process on Linux")
    }
}

/// Kills the process when dropped, so that a failed test leaves none behind.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same command with this limit on file descriptors.
pub(crate) fn limited(descriptors: usize, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

/// A pipe that is full until its reader is read.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // If the pipe had another capacity it might not be full, and a test would fail.
    const SIZE: usize = 64 * 1024;
    writer.write_all(&[b'.'; SIZE]).expect("room in an empty pipe");
    (reader, writer)
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {pid:?}: {error}"));
}

/// Calls a function that waits for a process, and kills the process after the longest wait, so that the function
/// returns.
fn within_patience<T>(pid: u32, work: impl FnOnce() -> T) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(move |scope| {
        let watch = scope.spawn(move || {
            let hangs = is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            if hangs {
                eprintln!("process {pid} hangs");
                signal(pid, Signal::KILL);
            }
            hangs
        });
        let result = work();
        drop(done);
        assert!(!watch.join().expect("a watch"), "the program hangs");
        result
    })
}

/// The ready line, or an empty string if the output ends without one.
fn ready_line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    // With --log the start is logged before or after it.
    while output.read_line(&mut line).expect("UTF-8") > 0 && !line.starts_with('{') {
        line.clear();
    }
    line
}

/// Reads until a line contains this text.
fn find_line(input: &mut impl BufRead, text: &str) -> String {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(input.read_line(&mut line).expect("UTF-8") > 0, "it ended without {text:?}");
    }
    line
}

fn rest(input: &mut impl Read) -> String {
    let mut text = String::new();
    input.read_to_string(&mut text).expect("UTF-8");
    text
}

/// Whether SIGHUP was ignored before this process began, as under `nohup`. Its child processes inherit that.
pub(crate) fn ignores_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("a process on Linux");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask").trim();
    let is_ignored = u64::from_str_radix(mask, 16).expect("a mask") & 1 != 0;
    if is_ignored {
        println!("skipped: SIGHUP is ignored here");
    }
    is_ignored
}
