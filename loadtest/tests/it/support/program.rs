//! Runs the program and reads its report.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::Sink;

/// A run of the program.
pub(crate) struct Load {
    command: Command,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// The JSON report; null if there is none.
    pub(crate) report: Value,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program itself, without arguments.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtpload"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A listener with a full queue, and its address: connections get no answer.
pub(crate) fn full_listener() -> ((Socket, Vec<TcpStream>), String) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200));
    let queued: Vec<TcpStream> = std::iter::from_fn(|| connect().ok()).take(10).collect();
    assert!(queued.len() < 10, "the queue fills up");
    ((listener, queued), address.to_string())
}

/// Runs with exactly these arguments.
pub(crate) fn plain(args: &[&str]) -> Outcome {
    Outcome::of(&program().args(args).output().expect("the program starts"))
}

impl Load {
    /// A load on `sink` whose report comes as JSON.
    pub(crate) fn on(sink: &Sink) -> Load {
        Load::at(&sink.address())
    }

    pub(crate) fn at(target: &str) -> Load {
        let mut command = program();
        command.args([target, "--json", "-"]);
        Load { command }
    }

    /// A load on `sink` that prints nothing and writes its report to a file.
    pub(crate) fn into_file(sink: &Sink, file: &str) -> Load {
        let mut command = program();
        command.args([&sink.address(), "--quiet", "--json", file]);
        Load { command }
    }

    /// Adds arguments, separated by blanks.
    pub(crate) fn with(mut self, args: &str) -> Load {
        self.command.args(args.split_ascii_whitespace());
        self
    }

    pub(crate) fn arg(mut self, arg: &str) -> Load {
        self.command.arg(arg);
        self
    }

    /// Starts it. On a busy machine the generator may well be late: only tests that say when it is find out.
    pub(crate) fn spawn(mut self) -> Child {
        let says = |argument: &OsStr| argument.as_encoded_bytes().starts_with(b"--late-after");
        if !self.command.get_args().any(says) {
            self.command.arg("--late-after=60s");
        }
        self.command.spawn().expect("the program starts")
    }

    pub(crate) fn run(self) -> Outcome {
        Outcome::after(self.spawn())
    }
}

impl Outcome {
    /// Waits for the end of a running program.
    pub(crate) fn after(child: Child) -> Outcome {
        Outcome::of(&child.wait_with_output().expect("the program ends"))
    }

    pub(crate) fn of(output: &Output) -> Outcome {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            report: serde_json::from_str(&stdout).unwrap_or(Value::Null),
            stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The number at a JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        let found = self.report.pointer(pointer).and_then(Value::as_u64);
        found.unwrap_or_else(|| {
            panic!("no number at {pointer}; the program printed {}{}", self.stdout, self.stderr)
        })
    }

    /// A count of the measured messages.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.number(&format!("/accounting/measured/{name}"))
    }

    /// A percentile in milliseconds, like `at("message", "ok", "p99")`.
    pub(crate) fn millis(&self, latency: &str, outcome: &str, percentile: &str) -> f64 {
        self.number(&format!("/latency/{latency}/{outcome}/{percentile}_ns")) as f64 / 1e6
    }

    /// Fails unless the code is `code`.
    pub(crate) fn code_is(&self, code: i32) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
    }

    /// Fails unless the code is `code` and the counts add up.
    pub(crate) fn expect(self, code: i32) -> Outcome {
        assert_eq!(
            self.code, code,
            "{}{}{}",
            self.stderr, self.report["accounting"], self.report["generator"]
        );
        self.check_sum();
        self
    }

    /// Checks the sum that always holds.
    pub(crate) fn check_sum(&self) {
        let ends = ["accepted", "refused_4xx", "refused_5xx", "aborted", "timed_out", "in_flight"];
        let sum: u64 = ends.iter().map(|end| self.count(end)).sum();
        assert_eq!(self.count("started"), sum, "{}", self.report["accounting"]);
    }
}
