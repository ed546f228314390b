//! Output files: never two in one, opened before the run, and incomplete only with an error.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::files::{json, path};
use crate::support::process::{full_pipe, ignores_hangups};
use crate::support::program::{plain, program};
use crate::support::waiting::{eventually, until};
use crate::support::{Act, Load, Outcome, Sink, Verb};

/// Runs the program in a shell, which can redirect and limit it: `$0` is the program, followed by its arguments.
fn shell(script: &str, args: &[&str]) -> Outcome {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(env!("CARGO_BIN_EXE_smtpload")).args(args);
    Outcome::after(
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh runs"),
    )
}

/// Checks that the program measures nothing, leaves the file unchanged, and names both flags.
fn refuses(args: &[&str], untouched: &str, flags: [&str; 2]) {
    let before = fs::read_to_string(untouched).expect("readable");
    let outcome = plain(args);
    assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.stderr);
    for flag in flags {
        assert!(outcome.stderr.contains(flag), "{args:?}: {}", outcome.stderr);
    }
    assert_eq!(fs::read_to_string(untouched).expect("readable"), before, "{args:?}");
}

#[test]
fn a_report_in_the_file_of_another_was_lost_with_exit_code_0() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, link) = (path(&folder, "x"), path(&folder, "link"));
    fs::write(&file, "of an earlier run\n").expect("writable");
    symlink(&file, &link).expect("a link");
    let sink = Sink::usual();
    let target = sink.address();
    for second in [&file, &path(&folder, "./x"), &link] {
        refuses(&[&target, "--json", &file, "--html", second], &file, ["--report-json", "--report-html"]);
        refuses(&[&target, "--json", &file, "--hlog", second], &file, ["--report-json", "--hlog"]);
        refuses(&[&target, "--json", second, "--verify", &file], &file, ["--report-json", "--verify"]);
        refuses(&[&target, "--json", second, "--message", &file], &file, ["--report-json", "--message"]);
    }
    let outcome = plain(&[&target, "--json=-", "--html=-"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("standard output"), "{}", outcome.stderr);
    let outcome = shell(&format!("exec \"$0\" \"$@\" > {file}"), &[&target, "--json", &link]);
    assert!(outcome.code == 2 && outcome.stderr.contains("the table"), "{}", outcome.stderr);
    assert_eq!(sink.seen().lines.len(), 0, "nothing was measured");
}

#[test]
fn a_sum_or_a_comparison_is_not_written_over_what_it_is_made_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let report = path(&folder, "r.json");
    assert_eq!(Load::into_file(&sink, &report).with("-c 1 --count 5").run().code, 0);
    refuses(&["merge", &report, "--json", &report], &report, ["merge", "--report-json"]);
    let target = sink.address();
    refuses(
        &[&target, "--baseline", &report, "--html", &report, "--count=1"],
        &report,
        ["--baseline", "--report-html"],
    );
}

#[test]
fn an_output_that_can_not_be_opened_was_named_after_the_run() {
    let sink = Sink::usual();
    let target = sink.address();
    for flag in ["--json", "--hlog", "--html"] {
        let outcome = plain(&[&target, "-q", "--duration=60s", flag, "/nonexistent-directory/x"]);
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("there is no folder /nonexistent-directory"), "{}", outcome.stderr);
    }
    assert_eq!(sink.seen().lines.len(), 0, "nothing was measured");
}

#[test]
fn two_runs_at_once_do_not_share_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "r.json");
    let sink = Sink::answering(Verb::Dot, Act::Silence);
    let first = Load::into_file(&sink, &file).with("-c 1 --count 1 --timeout 60s").spawn();
    eventually("the first to run", || !sink.seen().lines.is_empty());
    let second = Load::into_file(&sink, &file).with("-c 1 --count 1").run();
    assert_eq!(second.code, 1, "{}", second.stderr);
    let pid = first.id();
    assert!(second.stderr.contains(&file) && second.stderr.contains("has it locked"), "{}", second.stderr);
    if cfg!(target_os = "linux") {
        assert!(second.stderr.contains(&format!("process {pid} (smtpload)")), "{}", second.stderr);
    }
    drop(Killed(first));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_full_disk_or_a_closed_pipe_is_an_error_whatever_is_written_to_it() {
    let sink = Sink::usual();
    let target = sink.address();
    for output in [&[][..], &["--json=-"], &["--html=-"], &["--hlog=-"]] {
        let args = [&[&*target, "-c1", "--count=2"], output].concat();
        let full = shell("exec \"$0\" \"$@\" > /dev/full", &args);
        assert_eq!(full.code, 1, "{args:?}: {}", full.stderr);
        assert!(full.stderr.contains("to standard output: No space left"), "{args:?}: {}", full.stderr);
        let (reader, closed) = std::io::pipe().expect("a pipe");
        drop(reader);
        let closed =
            Outcome::after(program().args(&args).stdout(closed).spawn().expect("the program starts"));
        assert_eq!(closed.code, 1, "{args:?}: {}", closed.stderr);
        assert!(closed.stderr.contains("to standard output: Broken pipe"), "{args:?}: {}", closed.stderr);
    }
    for flag in ["--json", "--html", "--hlog"] {
        let outcome = plain(&[&target, "-q", "-c1", "--count=2", flag, "/dev/full"]);
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("to /dev/full: No space left"), "{}", outcome.stderr);
    }
    for flag in ["--help", "--version", "help", "merge --help", "man", "completions bash"] {
        let outcome = shell("exec \"$0\" $1 > /dev/full", &[flag]);
        assert_eq!(outcome.code, 1, "{flag}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("to standard output: No space left"), "{flag}: {}", outcome.stderr);
    }
    // Of a failed standard error only the exit code remains.
    assert_eq!(shell("exec \"$0\" \"$@\" 2> /dev/full", &[&target, "--count=2", "-c1"]).code, 1);
}

#[test]
fn a_limit_of_file_sizes_ended_it_without_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let file = path(&folder, "r.html");
    let args = [&sink.address(), "-c1", "--count=2", "-q", "--html", &file];
    let outcome = shell("ulimit -f 8; exec \"$0\" \"$@\"", &args);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("File too large"), "{}", outcome.stderr);
}

#[test]
fn a_report_that_was_removed_before_it_was_written_passed_as_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "r.json");
    let removed = file.clone();
    let sink = Sink::start(move |turn| {
        if turn.verb == Verb::Dot {
            fs::remove_file(&removed).expect("it is created at the start");
        }
        Act::Usual
    });
    let outcome = Load::into_file(&sink, &file).with("-c 1 --count 1").run();
    assert!(outcome.code == 1 && outcome.stderr.contains("removed"), "{}", outcome.stderr);
}

#[test]
fn unread_standard_streams_delayed_the_run_and_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "r.json");
    let sink = Sink::usual();
    let (reader, out) = full_pipe();
    let (error_reader, err) = full_pipe();
    let target = sink.address();
    let args = [&target, "-c1", "--rate=10/s", "--duration=1200ms", "--late-after=9s", "--json", &file];
    let child = program().args(args).stdout(out).stderr(err).spawn().expect("the program starts");
    let mut child = Killed(child);
    let status = until(|| child.0.try_wait().expect("a child").ok_or("it hangs"));
    assert_eq!(status.code(), Some(1));
    assert_eq!(json(&file)["accounting"]["measured"]["accepted"], 12);
    drop((reader, error_reader));
}

#[test]
fn a_fifo_that_nobody_reads_ends_with_a_signal_and_its_reader_may_come_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = path(&folder, "fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let sink = Sink::usual();
    let child = Load::into_file(&sink, &fifo).with("-c 1 --count 3").spawn();
    let report = fs::read_to_string(&fifo).expect("readable");
    assert_eq!(Outcome::after(child).code, 0);
    assert!(serde_json::from_str::<serde_json::Value>(&report).is_ok(), "{report}");

    // Another one: a process that another test starts has a copy of the reader for a moment.
    let fifo = path(&folder, "unread");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let child = Load::into_file(&sink, &fifo).with("-c 1 --count 3").spawn();
    // An earlier signal would end the program by its default action.
    let pid = child.id();
    let hears = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process on Linux");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask").trim();
        u64::from_str_radix(mask, 16).expect("a mask") & 1 << (15 - 1) != 0
    };
    eventually("it to hear signals", hears);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("a signal is sent");
    let outcome = Outcome::after(child);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("no process has opened it for reading"), "{}", outcome.stderr);
}

/// Sends signals while a message is in flight, which is answered later.
fn signalled(signals: &[Signal], gap: Duration) -> Outcome {
    let sink = Sink::answering(Verb::Dot, Act::After(Duration::from_secs(2)));
    let child = Load::on(&sink).with("-c 1 --count 1 --grace 60s").spawn();
    eventually("a message in flight", || sink.seen().lines.iter().any(|line| line.starts_with("DATA")));
    for signal in signals {
        kill_process(Pid::from_child(&child), *signal).expect("a signal is sent");
        std::thread::sleep(gap);
    }
    Outcome::after(child)
}

#[test]
fn a_hangup_lost_the_report() {
    if ignores_hangups() {
        return;
    }
    let outcome = signalled(&[Signal::HUP], Duration::ZERO).expect(0);
    assert_eq!((outcome.count("accepted"), &outcome.report["interrupted"]), (1, &true.into()));
}

#[test]
fn the_same_signal_twice_at_once_is_one() {
    let outcome = signalled(&[Signal::TERM, Signal::TERM], Duration::ZERO).expect(0);
    assert_eq!((outcome.count("accepted"), &outcome.report["interrupted"]), (1, &true.into()));
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let outcome = signalled(&[Signal::TERM, Signal::TERM], Duration::from_millis(600));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (128 + 15, ""));
    let outcome = signalled(&[Signal::TERM, Signal::INT], Duration::ZERO);
    assert!(matches!(outcome.code, 130 | 143), "either may come first: {}", outcome.code);
}

#[test]
fn signals_that_mean_something_to_the_server_did_not_end_the_run() {
    let outcome = signalled(&[Signal::USR1, Signal::USR2], Duration::ZERO).expect(0);
    assert_eq!((outcome.count("accepted"), &outcome.report["interrupted"]), (1, &false.into()));
}
