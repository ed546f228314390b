//! Files that the program reads: its memory is bounded, whatever their contents and length.

use std::fs;
use std::process::Command;

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
