//! Input files: they take a bounded amount of memory, whatever their content and length.

use std::process::Command;

use crate::support::files::{json, path};
use crate::support::{Load, Outcome, Sink};

/// Runs the program with at most 1 GB of address space.
fn run_within_bounds(arguments: &[&str]) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_smtpload")]);
    Outcome::of(&command.args(arguments).output().expect("a shell"))
}

#[test]
fn what_a_report_claims_takes_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::usual();
    let file = path(&folder, "run.json");
    assert_eq!(Load::into_file(&sink, &file).with("-c 1 --count 10").run().code, 0);
    let mut report = json(&file);
    // The header of a histogram whose counts claim to take 4 GiB, compressed.
    report["latency"]["dot"]["ok"]["histogram"] = "HISTFAAAABt4nJNpmSz8HwgYIIAZSjP+hwL7DxABACc6Dm4=".into();
    std::fs::write(&file, report.to_string()).expect("a file");
    for arguments in [&["merge", &file][..], &["127.0.0.1:1", "--count", "1", "--baseline", &file]] {
        let outcome = run_within_bounds(arguments);
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("V2 form: the length of its counts"), "{}", outcome.stderr);
    }
}

#[test]
fn a_file_without_an_end_is_too_large() {
    for arguments in [
        &["merge", "/dev/zero"][..],
        &["127.0.0.1:1", "--count", "1", "--baseline", "/dev/zero"],
        &["127.0.0.1:1", "--count", "1", "--message", "/dev/zero"],
    ] {
        let outcome = run_within_bounds(arguments);
        assert_eq!(outcome.code, 2, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("/dev/zero: larger than "), "{arguments:?}: {}", outcome.stderr);
    }
}
