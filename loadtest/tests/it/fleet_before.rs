//! What happens before the start of a run of several machines.

use std::fs::File;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fleet::{Coordinator, Running, address};
use crate::mock::Mock;
use crate::support::files::path;
use crate::support::program::program;

/// A coordinator of one agent, and that agent, which waits for the message of its plan as long as the file is open.
fn with_a_plan_that_takes_long(mock: &Mock, args: &str) -> (Coordinator, Running, File, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut serve, mut agent) = (program(), program());
    std::fs::write(path(&folder, "message"), "Subject: a\n\nhello\n").expect("a file");
    serve.current_dir(&folder).args(["serve", &address(mock), "--listen", "0", "--message", "message"]);
    let program = Running::start(serve.args(["--agents", "1"]).args(args.split_ascii_whitespace()));
    let line = program.line("http://");
    let url = line[line.find("http://").expect("a URL")..].to_owned();
    let machine = tempfile::tempdir_in(&folder).expect("a folder");
    let fifo = path(&machine, "message");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let agent = Running::start(agent.current_dir(&machine).args(["agent", &url, "--name", "slow"]));
    // Returns when the agent reads.
    let message = File::options().write(true).open(fifo).expect("the agent builds its plan");
    (Coordinator { program, url, folder }, agent, message, machine)
}

#[test]
fn an_agent_that_still_builds_its_plan_is_there_and_named_when_the_time_is_over() {
    let mock = Mock::start(&[]);
    // Longer than the time after which a silent agent is dropped.
    let (coordinator, agent, _message, _machine) =
        with_a_plan_that_takes_long(&mock, "--count 4 --agents-timeout 7s");
    let stopped = agent.ended();
    stopped.code_is(1);
    let right = "the coordinator has stopped this agent: not all agents were ready in time";
    assert!(stopped.stderr.contains(right), "{}", stopped.stderr);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(!outcome.stderr.contains("is gone"), "{}", outcome.stderr);
    let right = "not ready within 7 s: slow (it builds its plan); --agents-timeout sets the time";
    assert!(outcome.stderr.contains(right), "{}", outcome.stderr);
}

#[test]
fn a_signal_ends_an_agent_that_still_builds_its_plan() {
    let mock = Mock::start(&[]);
    let (coordinator, agent, _message, _machine) = with_a_plan_that_takes_long(&mock, "--count 4");
    agent.signal(Signal::TERM);
    coordinator.program.line("agent slow has signed off: SIGTERM");
    let outcome = agent.ended();
    outcome.code_is(1);
    let right = "this agent received SIGTERM before its run began; nothing was sent";
    assert!(outcome.stderr.contains(right), "{}", outcome.stderr);
    coordinator.program.signal(Signal::INT);
    coordinator.ended().code_is(1);
}
