//! The built program as a child process: started with flags and variables, waited for by events.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest that anything here may take: only a program that hangs needs it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The only line on standard error.
    pub(crate) fn complaint(&self) -> &str {
        let (line, rest) = self.stderr.split_once('\n').expect("a line on standard error");
        assert!(rest.is_empty() && line.starts_with("smtpmock: "), "{self:?}");
        line
    }
}

/// The program with the arguments, without variables of the surroundings that it would read.
pub(crate) fn command<A: AsRef<OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtpmock"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SMTPMOCK_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a program that ends by itself.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: &[A]) -> Ended {
    finish(command(arguments))
}

pub(crate) fn finish(mut command: Command) -> Ended {
    let mut child = command.spawn().expect("the program starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let errors = child.stderr.take().expect("piped");
    wait(child, output, errors)
}

/// A program that was started with `--ready` and is listening.
pub(crate) struct Running {
    child: Option<Child>,
    output: Option<BufReader<ChildStdout>>,
    /// Its ready line, as it was printed.
    pub(crate) ready_line: String,
}

impl Running {
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: &[A]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts it with variables as well.
    pub(crate) fn start_with<A: AsRef<OsStr>>(arguments: &[A], variables: &[(&str, &str)]) -> Self {
        // In front: it might stand behind an argument that ends the flags.
        let mut command = command(&["--ready"]);
        command.args(arguments).envs(variables.iter().copied());
        let mut child = command.spawn().expect("the program starts");
        let output = child.stdout.take().expect("piped");
        let (output, ready_line) = within_patience(move || read_ready_line(output));
        let running = Self { child: Some(child), output: Some(output), ready_line };
        if running.ready_line.is_empty() {
            panic!("it ended before it was ready: {:?}", running.ended());
        }
        running
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// The addresses of the ready line.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let ready: serde_json::Value = serde_json::from_str(&self.ready_line).expect("JSON");
        let addresses = ready["smtp"].as_array().expect("an array");
        addresses
            .iter()
            .map(|address| address.as_str().and_then(|text| text.parse().ok()).expect("an address"))
            .collect()
    }

    /// A client that has read the greeting.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addresses()[0])
    }

    /// Waits for a line on standard output that has this in it.
    pub(crate) fn wait_for_output(&mut self, text: &'static str) -> String {
        let output = self.output.take().expect("running");
        let (output, line) = within_patience(move || find_line(output, text));
        self.output = Some(output);
        line
    }

    /// Waits for a line on standard error that has this in it. What the pipe brought with it is lost.
    pub(crate) fn wait_for_error(&mut self, text: &'static str) -> String {
        let errors = self.child.as_mut().and_then(|child| child.stderr.take()).expect("running");
        let (errors, line) = within_patience(move || find_line(BufReader::new(errors), text));
        self.child.as_mut().expect("running").stderr = Some(errors.into_inner());
        line
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .expect("sh runs");
        assert!(status.success(), "kill -{name}");
    }

    /// Waits until it ends; standard output is what followed the ready line.
    pub(crate) fn ended(mut self) -> Ended {
        let mut child = self.child.take().expect("running");
        let output = self.output.take().expect("running");
        let errors = child.stderr.take().expect("piped");
        wait(child, output, errors)
    }

    /// Waits until it ends while nobody reads its standard output.
    pub(crate) fn ended_unread(mut self) -> Ended {
        let mut child = self.child.take().expect("running");
        let output = self.output.take().expect("running");
        let errors = child.stderr.take().expect("piped");
        within_patience(move || {
            let status = child.wait().expect("a child");
            Ended { status, ..wait(child, output, errors) }
        })
    }

    /// Sends SIGTERM and waits.
    pub(crate) fn stopped(self) -> Ended {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A failed test leaves nothing behind; one that has ended is no matter.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The ready line, or nothing if the output ends without one.
fn read_ready_line(output: ChildStdout) -> (BufReader<ChildStdout>, String) {
    let mut output = BufReader::new(output);
    let mut line = String::new();
    // With --log the start is logged before or behind it.
    while output.read_line(&mut line).expect("UTF-8") > 0 && !line.starts_with('{') {
        line.clear();
    }
    (output, line)
}

/// Reads up to a line that has this in it.
fn find_line<T: Read>(mut input: BufReader<T>, text: &str) -> (BufReader<T>, String) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(input.read_line(&mut line).expect("UTF-8") > 0, "it ended without {text:?}");
    }
    (input, line)
}

fn wait(mut child: Child, mut output: BufReader<ChildStdout>, mut errors: ChildStderr) -> Ended {
    within_patience(move || {
        let reader = thread::spawn(move || {
            let mut stderr = String::new();
            errors.read_to_string(&mut stderr).expect("UTF-8");
            stderr
        });
        let mut stdout = String::new();
        output.read_to_string(&mut stdout).expect("UTF-8");
        Ended { status: child.wait().expect("a child"), stdout, stderr: reader.join().expect("readable") }
    })
}

fn within_patience<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).expect("the program hangs")
}

/// One SMTP session, a line at a time.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    pub(crate) greeting: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut client = Self { stream: BufReader::new(stream), greeting: String::new() };
        client.greeting = client.reply();
        client
    }

    /// The next line, without its CRLF; empty at the end of the stream.
    pub(crate) fn reply(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a reply");
        line.trim_end_matches("\r\n").to_owned()
    }

    /// Sends a line and returns the reply.
    pub(crate) fn send(&mut self, line: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("a connection");
        self.reply()
    }

    /// Sends one mail, and asks for a 250 to its final dot.
    pub(crate) fn mail(&mut self) {
        self.mail_with("Subject: hi\r\n\r\nHello");
    }

    /// The same with this message.
    pub(crate) fn mail_with(&mut self, message: &str) {
        self.send("HELO client.example.com");
        self.send("MAIL FROM:<ann@example.com>");
        self.send("RCPT TO:<bob@example.com>");
        assert!(self.send("DATA").starts_with("354"));
        assert!(self.send(&format!("{message}\r\n.")).starts_with("250"));
    }
}

/// The signal that ended a process, if one did.
pub(crate) fn signal_of(ended: &Ended) -> Option<i32> {
    ended.status.signal()
}
