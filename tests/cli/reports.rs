//! What is told of a run: reports in the end and on demand, progress, interval logs.

use std::process::Command;

use crate::program::Running;

#[test]
fn a_report_so_far_is_printed_on_demand_and_the_run_goes_on() {
    let mut program = Running::start::<&str>(&[]);
    program.client().mail();
    program.signal("USR1");
    program.wait_for_output("messages");
    program.client().mail();
    program.signal("USR1");
    program.wait_for_output("messages");
    assert_eq!(program.stopped().code(), Some(0));
}

#[test]
fn progress_is_a_line_on_standard_error_while_it_runs() {
    let mut program = Running::start(&["--progress"]);
    program.client().mail();
    let line = program.wait_for_error("1 messages");
    assert!(!line.contains(['\r', '\x1b']), "{line:?}");
    assert_eq!(program.stopped().code(), Some(0));
}

#[test]
fn progress_on_a_terminal_is_one_line_that_is_rewritten() {
    let on_terminal = |command: &str| Command::new("script").args(["-qec", command, "/dev/null"]).output();
    if !on_terminal("true").is_ok_and(|output| output.status.success()) {
        println!("skipped: this machine has no script(1) that runs a command on a terminal");
        return;
    }
    let program = env!("CARGO_BIN_EXE_smtpmock");
    let ended = on_terminal(&format!("{program} --progress --exit-after=10ms --expect messages==0"));
    let shown = String::from_utf8(ended.expect("script runs").stdout).expect("UTF-8");
    let (lines, verdict) = shown.split_once('\n').expect("a line end behind the progress");
    assert!(lines.starts_with('\r') && lines.trim_end().ends_with("\x1b[K"), "{shown:?}");
    assert_eq!(verdict.trim_end(), "smtpmock: expected messages==0: kept, 0");
}

#[test]
fn an_output_that_can_not_be_written_any_more_is_a_failure() {
    for flag in ["--report-json=/dev/full", "--report-html=/dev/full", "--hlog=/dev/full"] {
        let ended = Running::start(&[flag, "--exit-after=10ms"]).ended();
        assert_eq!(ended.code(), Some(1), "{flag}: {ended:?}");
        assert!(ended.complaint().contains("to /dev/full: "), "{flag}: {ended:?}");
    }
}
