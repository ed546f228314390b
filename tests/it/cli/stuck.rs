//! Readers that do not read, or too slowly, and a lack of threads: the program still ends.

use std::fs::{self, File};
use std::io::{PipeReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::client::{Client, MESSAGE};
use crate::support::process::{Ended, Process, Signal, full_pipe, signal};
use crate::support::program::{command, run, start};
use crate::support::waiting::{eventually, until};

/// A program whose standard streams belong to this test.
struct Program {
    child: Child,
    folder: TempDir,
}

impl Program {
    /// Waits until it listens.
    fn start(arguments: &[&str], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready.json");
        let child = command(arguments)
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        eventually("it to listen", || ready.exists());
        Self { child, folder }
    }

    fn address(&self) -> SocketAddr {
        let line = fs::read_to_string(self.folder.path().join("ready.json")).expect("a ready file");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        ready["smtp"][0].as_str().expect("text").parse().expect("an address")
    }

    fn signal(&self, name: Signal) {
        signal(self.child.id(), name);
    }

    fn ended(mut self) -> ExitStatus {
        until(|| self.child.try_wait().expect("a child").ok_or("it hangs"))
    }

    fn stopped(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fifo(folder: &TempDir) -> String {
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    path.display().to_string()
}

/// Reads everything from a full pipe.
fn rest(mut reader: PipeReader) -> String {
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("readable");
    String::from_utf8_lossy(&text).into_owned()
}

const OUTPUTS: [&str; 4] = ["--capture", "--report-json", "--report-html", "--hlog"];

#[test]
fn with_an_unread_fifo_it_could_not_be_stopped() {
    for flag in OUTPUTS {
        let folder = tempfile::tempdir().expect("a folder");
        let ended = run([flag, &fifo(&folder), "--exit-after=50ms"]);
        assert_eq!(ended.code(), Some(1), "{flag}: {ended:?}");
        assert!(ended.complaint().contains("no process has opened it for reading"), "{flag}: {ended:?}");
    }
}

#[test]
fn a_signal_ends_it_while_it_waits_for_the_reader_of_a_fifo() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = command(["--capture", &fifo(&folder)]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    // No event shows that it waits. A signal that arrives too early ends it by its default action.
    let caught = || fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process on Linux");
    let bits = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask").trim();
        u64::from_str_radix(mask, 16).expect("a mask")
    };
    eventually("it to hear signals", || bits(&caught()) & 1 << (15 - 1) != 0);
    signal(child.id(), Signal::TERM);
    let status = until(|| child.try_wait().expect("a child").ok_or("it hangs"));
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_reader_may_open_a_fifo_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(&folder);
    let reader = thread::spawn({
        let path = path.clone();
        move || fs::read_to_string(path).expect("readable")
    });
    let program = start(["--capture", &path]);
    Client::greeted(program.address()).deliver(MESSAGE);
    assert_eq!(program.stopped().code(), Some(0));
    assert_eq!(reader.join().expect("a thread").lines().count(), 1);
}

/// The remaining output is lost, and that is reported where possible.
#[test]
fn an_unread_standard_output_delayed_the_end() {
    // Each takes as long as the longest wait for a reader.
    thread::scope(|scope| {
        for (arguments, signals) in [
            (&["--log"][..], &[][..]),
            (&["--show"], &[]),
            (&["--report"], &[]),
            (&["--report-html=-"], &[]),
            (&["--report-json=-"], &[]),
            (&["--hlog=-"], &[]),
            (&[], &[Signal::USR1, Signal::USR1]),
        ] {
            scope.spawn(move || ends_unread(arguments, signals));
        }
    });
}

fn ends_unread(arguments: &[&str], signals: &[Signal]) {
    let (reader, full) = full_pipe();
    let (errors, stderr) = std::io::pipe().expect("a pipe");
    let program = Program::start(arguments, full, stderr);
    signals.iter().for_each(|&name| program.signal(name));
    Client::greeted(program.address()).deliver(MESSAGE);
    assert_eq!(program.stopped().code(), Some(1), "{arguments:?}");
    let errors = rest(errors);
    assert!(errors.contains("to standard output: its reader took nothing for 5s"), "{arguments:?}: {errors}");
    drop(reader);
}

#[test]
fn output_without_a_run_waited_for_a_reader_for_ever() {
    thread::scope(|scope| {
        for (arguments, to_errors) in
            [("--help", false), ("--print-config", false), ("--version", false), ("--prot", true)]
        {
            scope.spawn(move || {
                let ((reader, full), (other, writer)) = (full_pipe(), std::io::pipe().expect("a pipe"));
                let mut command = command([arguments]);
                match to_errors {
                    true => command.stdout(writer).stderr(full),
                    false => command.stdout(full).stderr(writer),
                };
                let mut child = command.spawn().expect("the program starts");
                drop(command);
                let status = until(|| child.try_wait().expect("a child").ok_or("it hangs"));
                assert_eq!(status.code(), Some(if to_errors { 2 } else { 1 }), "{arguments}");
                let words = if to_errors { "" } else { "to standard output: its reader took nothing for 5s" };
                assert!(rest(other).contains(words), "{arguments}");
                drop(reader);
            });
        }
    });
}

#[test]
fn an_unread_standard_error_delayed_the_end_and_the_reports() {
    let (reader, full) = full_pipe();
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    let arguments =
        ["--progress", "--expect=messages == 1", "--report-json", report.to_str().expect("UTF-8")];
    let program = Program::start(&arguments, Stdio::null(), full);
    Client::greeted(program.address()).deliver(MESSAGE);
    assert_eq!(program.stopped().code(), Some(1));
    let report = fs::read_to_string(&report).expect("a report");
    assert!(report.contains("\"messages\": 1"), "{report}");
    drop(reader);
}

/// A terminal may be stopped: mails are still served, and those that were not shown are counted.
#[test]
fn an_unread_display_delays_no_session() {
    let (mut reader, writer) = full_pipe();
    let program = Program::start(&["--show"], writer, Stdio::inherit());
    let mut client = Client::greeted(program.address());
    // First more displayed text than the output's queue holds, then more messages than the display's queue holds.
    let escapes = format!("Subject: hi\r\n\r\n{}", format!("{}\r\n", "\x1b".repeat(150)).repeat(12));
    let large = format!("Subject: hi\r\n\r\n{}\r\n", "x".repeat(1 << 20));
    let mails = std::iter::repeat_n(&escapes, 1_000).chain(std::iter::repeat_n(&large, 50));
    let count = mails.map(|text| client.deliver(text)).count();
    client.quit();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(program.stopped().code(), Some(0));
    let text = reading.join().expect("a thread").expect("UTF-8");
    let shown = text.matches("Subject: hi").count();
    let lost = text
        .lines()
        .filter_map(|line| line.strip_suffix(" mails are not shown: this output did not keep up"));
    let lost: usize =
        lost.map(|count| count.trim_start_matches('.').parse::<usize>().expect("a count")).sum();
    assert!(shown > 0 && lost > 0, "{shown} shown, {lost} lost");
    assert_eq!(shown + lost, count);
}

#[test]
fn a_second_signal_ends_it_whatever_output_is_blocked() {
    let (reader, full) = full_pipe();
    let (error_reader, full_error) = full_pipe();
    let program = Program::start(&["--log", "--progress", "--shutdown-timeout=1h"], full, full_error);
    let client = Client::greeted(program.address());
    program.signal(Signal::TERM);
    program.signal(Signal::INT);
    let status = program.ended();
    assert!(matches!(status.code(), Some(130 | 143)), "{status:?}");
    drop((client, reader, error_reader));
}

/// 20 KB per second without a pause, for longer than a reader may pause.
#[test]
fn a_slow_reader_of_the_capture_was_treated_as_blocked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(&folder);
    let reader = thread::spawn({
        let path = path.clone();
        move || {
            let mut pipe = File::open(path).expect("a FIFO");
            let (mut captured, mut piece) = (Vec::new(), [0; 1000]);
            loop {
                match pipe.read(&mut piece).expect("readable") {
                    0 => return captured,
                    count => captured.extend_from_slice(&piece[..count]),
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let program = start(["--records=message", "--capture", &path]);
    let mut client = Client::greeted(program.address());
    client.deliver(&format!("{}\r\n", "x".repeat(240_000)));
    client.quit();
    let ended = program.stopped();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    let captured = reader.join().expect("a thread");
    assert!(captured.len() > 240_000 && captured.ends_with(b"}\n"), "{} bytes", captured.len());
}

/// Without root's privileges and with a limit at the current number of threads: the end needs no thread.
/// More than 64 MiB wait: sessions wait for the capture, which is given up, and is not waited for again at the end.
#[test]
fn a_stop_waited_for_a_capture_that_sessions_had_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(&folder);
    let _reader = File::options().read(true).write(true).open(&path).expect("a FIFO");
    let program = start(["--records=message", "--capture", &path]);
    let (address, large) = (program.address(), format!("{}\r\n", "x".repeat(998)).repeat(9000));
    let sender = thread::spawn(move || {
        let mut client = Client::greeted(address);
        let envelope = "HELO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n";
        let mail = format!("{envelope}{large}.\r\n");
        // Until the server ends.
        while client.try_send(&mail).is_ok() {}
    });
    let ended = program.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    let _ = sender.join();
}

#[test]
fn an_end_without_a_free_thread_lost_the_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((user, mut unprivileged)) = unprivileged(&folder, 0) else { return };
    let (capture, report) = (folder.path().join("s.jsonl"), folder.path().join("r.json"));
    unprivileged.args(["--ready", "--records=message", "--exit-after=5messages", "--expect=messages == 5"]);
    unprivileged.arg("--capture").arg(&capture).arg("--report-json").arg(&report);
    let program = Process::start(&mut unprivileged);
    let pid = format!("--pid={}", program.pid());
    let limited = Command::new("setpriv").args(&user).args(["prlimit", &pid, "--nproc=1"]).output();
    let limited = limited.expect("setpriv runs");
    assert!(limited.status.success(), "{limited:?}");
    let mut client = Client::greeted(program.address());
    (0..5).for_each(|_| client.deliver(MESSAGE));
    let ended = program.ended();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("panic"), "{ended:?}");
    assert_eq!(fs::read_to_string(&capture).expect("a capture").lines().count(), 5);
    assert!(fs::metadata(&report).expect("a report").len() > 0);
}

#[test]
fn a_start_without_a_free_thread_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    for limit in 1..16 {
        let Some((_, unprivileged)) = unprivileged(&folder, 1) else { return };
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--nproc={limit}")).arg(unprivileged.get_program()).args(unprivileged.get_args());
        limited.args(["--exit-after=1ms", "--log", "--capture=/dev/null", "--report-json=/dev/null"]);
        let ended = Ended::of(&mut limited);
        assert!(!ended.stderr.contains("panic"), "{limit}: {ended:?}");
        match ended.code() {
            Some(0) => return,
            code => assert!(code == Some(1) && ended.complaint().contains("thread"), "{limit}: {ended:?}"),
        }
    }
    panic!("it needs more than 16 threads");
}

/// The program as an unprivileged user, whose threads are limited; `None` if that is not possible.
fn unprivileged(folder: &TempDir, user: u32) -> Option<([String; 3], Command)> {
    // A user of no other process.
    let user = 61_000 + std::process::id() % 4000 + user;
    let flags = [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
    let can = Command::new("setpriv").args(&flags).arg("true").status().is_ok_and(|status| status.success());
    if !can || Command::new("prlimit").arg("--version").output().is_err() {
        println!("skipped: only root with setpriv(1) and prlimit(1) can have fewer threads than it needs");
        return None;
    }
    // Copied to a place where that user can execute it.
    let program = folder.path().join("smtpmock");
    // Copied by another process: if a process that is being started had a copy of the open file, it could not be executed.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_smtpmock")).arg(&program).status();
    assert!(copied.expect("cp runs").success());
    let open = Command::new("chmod").args(["777"]).arg(folder.path()).status();
    assert!(open.expect("chmod runs").success());
    let mut command = Command::new("setpriv");
    command.args(&flags).arg(program);
    Some((flags, command))
}
