//! Files that the program reads: its memory is bounded, whatever their contents and length.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::support::process::Ended;
use crate::support::program::run;

/// Runs the program with at most 1 GB of address space.
fn run_within_bounds(arguments: &[String]) -> Ended {
    let program = env!("CARGO_BIN_EXE_smtpmock");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\"", program]).args(arguments);
    Ended::of(&mut command)
}

#[test]
fn sizes_claimed_by_a_report_take_no_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report.json");
    let ended = run(["--exit-after=10ms", "--report-json=-"]);
    let mut report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    // The header of a histogram whose counts claim to take 4 GiB, compressed.
    let claims = "HISTFAAAABt4nJNpmSz8HwgYIIAZSjP+hwL7DxABACc6Dm4=";
    report["metrics"]["think.mail"]["histogram"] = claims.into();
    fs::write(&path, report.to_string()).expect("a file");
    let ended = run_within_bounds(&[format!("--merge-reports={}", path.display())]);
    assert_eq!(ended.code(), Some(2), "{ended:?}");
    let reason = "metrics.think.mail.histogram: the histogram is not in HdrHistogram's V2 form: the length of its counts";
    assert!(ended.complaint().contains(reason), "{ended:?}");
}

#[test]
fn an_endless_file_is_too_large() {
    for flag in ["--merge-reports=/dev/zero", "--config=/dev/zero"] {
        let ended = run_within_bounds(&[flag.to_owned()]);
        assert_eq!(ended.code(), Some(2), "{flag}: {ended:?}");
        assert!(
            ended.complaint().contains("expected a readable file: larger than 64 MiB"),
            "{flag}: {ended:?}"
        );
    }
}

/// It waited for a writer without a word, and without end.
#[test]
fn a_pipe_without_a_writer_is_refused_and_so_is_what_is_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().expect("mkfifo runs").success());
    let _listener = UnixListener::bind(path("socket")).expect("a socket");
    let fifo = ["--auth-file", "--config", "--merge-reports", "--tls-ca-cert"].map(|flag| {
        let beside = if flag == "--tls-ca-cert" { "--tls-ca-key=nowhere" } else { "--expect=messages == 0" };
        let arguments = [flag.to_owned(), path("fifo"), beside.to_owned()];
        thread::spawn(move || (flag, run(arguments)))
    });
    for (what, reason) in [("socket", "a socket"), ("", "a directory")] {
        for flag in ["--auth-file", "--config"] {
            let ended = run([flag, &path(what)]);
            assert_eq!(ended.code(), Some(2), "{flag} {what}: {ended:?}");
            let reason = format!("for {flag}: expected a readable file: {reason} (");
            assert!(ended.complaint().contains(&reason), "{ended:?}");
        }
    }
    for ended in fifo {
        let (flag, ended) = ended.join().expect("it runs");
        assert_eq!(ended.code(), Some(2), "{flag}: {ended:?}");
        let reason = "expected a readable file: a pipe that has had no writer for 5s";
        assert!(ended.complaint().contains(reason), "{flag}: {ended:?}");
    }
}

/// The shell has `--auth-file <(secrets ann)` for it.
#[test]
fn a_pipe_is_read_to_its_end() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smtpmock"))
        .args(["--auth-file=/dev/stdin", "--auth-mechanisms=PLAIN", "--exit-after=10ms"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program");
    let users: String = (0..50_000).map(|user| format!("user{user}:secret\n")).collect();
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), users.as_bytes()).expect("read");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
