//! The run of `loadtest/kubernetes`, small and on one machine: the arguments of its manifests.

use std::process::Command;

use crate::fleet::{Running, address};
use crate::mock::Mock;
use crate::support::program::program;

/// The arguments in a manifest, with these replacements.
fn arguments(manifest: &str, replacements: &[(&str, &str)]) -> Vec<String> {
    let path = format!("{}/kubernetes/{manifest}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a manifest");
    let (_, after) = text.split_once(" args:\n").expect("arguments");
    let lines = after.lines().map(str::trim).take_while(|line| line.starts_with(['-', '#']));
    let of = |line: &str| {
        let replace = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        line.strip_prefix("- ").map(|text| replacements.iter().fold(text.to_owned(), replace))
    };
    lines.filter_map(of).collect()
}

/// A program with the token of the Secret.
fn with_token(arguments: &[String]) -> Command {
    let mut command = program();
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).args(arguments);
    command.env("SMTPLOAD_TOKEN", "secret").env("SMTPLOAD_SINK_TOKEN", "secret");
    command
}

#[test]
fn the_arguments_of_the_manifests_are_a_run_on_which_both_sides_agree() {
    let ports = [("0.0.0.0", "127.0.0.1"), ("2525", "0"), ("8025", "0")];
    let server = arguments("smtpmock.yaml", &ports);
    let server: Vec<&str> = server.iter().map(String::as_str).chain(["--http-token", "secret"]).collect();
    let mock = Mock::start(&server);
    let (target, plane) = (address(&mock), mock.ready()["http"][0].as_str().expect("a URL").to_owned());
    let load = [("$(RATE)", "40/s"), ("$(DURATION)", "1s"), ("$(CONNECTIONS)", "4"), ("$(THREADS)", "1")];
    let names = [("0.0.0.0:7000", "0"), ("smtpmock:2525", &target), ("http://smtpmock:8025", &plane)];
    let numbers = [("$(AGENTS)", "2"), ("$(SERVERS)", "1")];
    let flags = arguments("coordinator.yaml", &[&names[..], &load, &numbers].concat());
    let coordinator = Running::start(with_token(&flags).args(["--late-after", "60s"]));
    let line = coordinator.line("waits for 2 agents at http://");
    let url = &line[line.find("http://").expect("a URL")..];
    let agents = ["0", "1"].map(|index| {
        let flags = arguments("agents.yaml", &[("http://coordinator:7000", url), ("$(INDEX)", index)]);
        Running::start(&mut with_token(&flags))
    });
    agents.into_iter().for_each(|agent| agent.ended().code_is(0));
    let outcome = coordinator.ended();
    outcome.code_is(0);
    let shown = outcome.stdout.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("servers 40 messages received (40 by "), "{shown}");
    assert!(shown.contains("both sides agree") && shown.contains("agent agent-1: part "), "{shown}");
}
