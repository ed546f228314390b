//! What is told of a run: reports in the end and on demand, progress, interval logs.

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
fn an_output_that_can_not_be_written_any_more_is_a_failure() {
    for flag in ["--report-json=/dev/full", "--report-html=/dev/full", "--hlog=/dev/full"] {
        let ended = Running::start(&[flag, "--exit-after=10ms"]).ended();
        assert_eq!(ended.code(), Some(1), "{flag}: {ended:?}");
        assert!(ended.complaint().contains("to /dev/full: "), "{flag}: {ended:?}");
    }
}
