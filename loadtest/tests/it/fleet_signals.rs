//! How a run of several machines ends after signals.

use rustix::process::Signal;

use crate::fleet::{Coordinator, address, tokens};
use crate::fleet_ends::{agent_in, is_exact, reports_in, row};
use crate::mock::Mock;

#[test]
fn an_agent_that_a_signal_ends_is_named_with_it_and_the_run_is_not_whole() {
    for (signal, name, stops) in [(Signal::TERM, "SIGTERM", false), (Signal::INT, "SIGINT", true)] {
        let mock = Mock::start(&[]);
        let policy = if stops { "stop" } else { "continue" };
        let length = if stops { "10m" } else { "5s" };
        let load = format!(
            "--agents 2 --rate 40/s --duration {length} --seed 5 --on-lost {policy} --fail-if errors>0"
        );
        let coordinator = Coordinator::start(&address(&mock), &load);
        let [stays, goes] = ["stays", "goes"].map(|name| coordinator.agent(&["--name", name]));
        coordinator.program.line(" 2 s ");
        goes.signal(signal);
        goes.line(&format!("starts no more messages: {name}"));
        // At once, and it is not counted from then on.
        coordinator.program.line(&format!("agent goes has stopped early: {name}"));
        if !stops {
            coordinator.program.line("  1 of 2 agents");
        }
        let (stays, goes) = (stays.ended(), goes.ended());
        stays.code_is(0);
        let ordered =
            "starts no more messages: the coordinator ordered it, as agent goes did not complete its part";
        assert_eq!(stays.stderr.contains(ordered), stops, "{}", stays.stderr);
        goes.code_is(0);
        let outcome = coordinator.ended();
        outcome.code_is(1);
        let named = format!(
            "the run is not whole: agents that stopped early: goes ({name}); the servers have received "
        );
        assert!(outcome.stderr.contains(&named), "{}", outcome.stderr);
        assert!(outcome.stdout.contains(&format!("STOPPED EARLY: {name}")), "{}", outcome.stdout);
        assert_eq!(row(&outcome, "goes")["stopped"], serde_json::json!({"by": "signal", "signal": name}));
        let other = &row(&outcome, "stays")["stopped"];
        match stops {
            true => assert_eq!(*other, serde_json::json!({"by": "lost-agent", "agent": "goes"})),
            false => assert!(other.is_null(), "{other}"),
        }
        is_exact(&outcome, &mock);
    }
}

#[test]
fn the_knee_is_not_of_a_rate_that_an_agent_did_not_offer_to_the_end() {
    let mock = Mock::start(&[]);
    let load = "--agents 2 --steps 20/s:2s,40/s:2s,60/s:2s --seed 5 --fail-if errors>50%";
    let coordinator = Coordinator::start(&address(&mock), load);
    let [stays, goes] = ["stays", "goes"].map(|name| coordinator.agent(&["--name", name]));
    coordinator.program.line(" 2 s ");
    goes.signal(Signal::TERM);
    let (stays, goes) = (stays.ended(), goes.ended());
    stays.code_is(0);
    goes.code_is(0);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    let steps = outcome.report["steps"].as_array().expect("a list");
    let judged: Vec<_> = steps.iter().map(|step| (&step["kept"], step.get("not_judged"))).collect();
    let early = &serde_json::json!("parts ended early");
    let no = &serde_json::json!(false);
    assert_eq!(judged, [(&true.into(), None), (no, Some(early)), (no, Some(early))]);
    assert_eq!(outcome.report["knee"], 20.0);
    let knee = "knee        above 20/s, the highest rate that was judged (x: failed; -: not\n            judged: parts ended early)\n";
    assert!(outcome.stdout.contains(knee), "{}", outcome.stdout);
}

#[test]
fn a_signal_to_the_coordinator_ends_all_agents_and_is_no_failure() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 2 --rate 40/s --duration 10m --seed 5");
    let agents = ["a", "b"].map(|name| coordinator.agent(&["--name", name]));
    coordinator.program.line(" 2 s ");
    coordinator.program.signal(Signal::INT);
    coordinator
        .program
        .line("received SIGINT: stops the agents, and waits for their messages in flight and reports");
    for agent in agents {
        agent.line("starts no more messages: the coordinator received SIGINT");
        agent.ended().code_is(0);
    }
    let outcome = coordinator.ended().expect(0);
    for name in ["a", "b"] {
        let expected = serde_json::json!({"by": "coordinator-signal", "signal": "SIGINT"});
        assert_eq!(row(&outcome, name)["stopped"], expected);
    }
    is_exact(&outcome, &mock);
}

#[test]
fn a_signal_to_the_coordinator_and_its_agents_is_no_failure_whichever_it_reaches_first() {
    // Messages in flight leave the agents time while the others receive it.
    let mock = Mock::start(&["--response-delay-message", "2s"]);
    for (policy, is_first) in [("continue", true), ("continue", false), ("stop", false)] {
        let load = "--agents 2 --rate 40/s -c 100 --duration 10m --grace 20s --fail-if errors>0";
        let load = format!("{load} --on-lost {policy}");
        let coordinator = Coordinator::start(&address(&mock), &load);
        let agents = ["a", "b"].map(|name| coordinator.agent(&["--name", name]));
        coordinator.program.line(" 3 s ");
        let programs = [&agents[0], &agents[1], &coordinator.program];
        match is_first {
            true => programs.iter().rev().for_each(|program| program.signal(Signal::INT)),
            false => programs.iter().for_each(|program| program.signal(Signal::INT)),
        }
        agents.into_iter().for_each(|agent| agent.ended().code_is(0));
        let outcome = coordinator.ended().expect(0);
        assert!(!outcome.stderr.contains("not whole"), "{}", outcome.stderr);
        assert_eq!(outcome.number("/delivered/at_least"), outcome.number("/delivered/at_most"));
        // The verdict is in the report.
        if !is_first {
            assert_eq!(
                row(&outcome, "a")["stopped"],
                serde_json::json!({"by": "signal", "signal": "SIGINT"})
            );
            assert_eq!(row(&outcome, "a")["coordinator_signal"], "SIGINT");
            let right = "STOPPED EARLY: SIGINT (the coordinator received SIGINT as well)";
            assert!(outcome.stdout.contains(right), "{}", outcome.stdout);
        }
    }
}

#[test]
fn an_agent_that_a_signal_ends_before_the_start_signs_off_and_another_takes_its_place() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 2 --rate 40/s --duration 1s --seed 5");
    let leaves = coordinator.agent(&["--name", "leaves"]);
    coordinator.program.line("agent leaves is there, 1 of 2");
    leaves.signal(Signal::TERM);
    // At once: the run does not start with a silent one.
    coordinator.program.line("agent leaves has signed off: SIGTERM");
    let left = leaves.ended();
    left.code_is(1);
    let right = "this agent received SIGTERM before its run began; nothing was sent";
    assert!(left.stderr.contains(right), "{}", left.stderr);
    let agents = ["a", "b"].map(|name| coordinator.agent(&["--name", name]));
    agents.into_iter().for_each(|agent| agent.ended().code_is(0));
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 40);
}

#[test]
fn an_agent_that_a_signal_ends_shortly_before_the_start_is_named_as_well() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 2 --rate 40/s --duration 2s --seed 5");
    let [stays, goes] = ["stays", "goes"].map(|name| coordinator.agent(&["--name", name]));
    coordinator.program.line("starts at ");
    goes.signal(Signal::TERM);
    stays.ended().code_is(0);
    drop(goes.ended());
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(
        outcome.stderr.contains("the run is not whole: ") && outcome.stderr.contains("SIGTERM"),
        "{}",
        outcome.stderr
    );
    is_exact(&outcome, &mock);
}

#[test]
fn a_signal_after_the_run_of_an_agent_is_named_and_ends_it_at_once_while_its_coordinator_stands_still() {
    let mock = Mock::start(&[]);
    let mut coordinator =
        Coordinator::start(&address(&mock), "--agents 2 --rate 40/s --duration 2s --seed 5");
    let folder = tempfile::tempdir().expect("a folder");
    let [waits, mut other] = ["waits", "other"].map(|name| agent_in(&folder, &coordinator, name));
    coordinator.program.line(" 1 s ");
    // It delays the end of the run.
    other.signal(Signal::STOP);
    waits.line("the coordinator has received the report of this part, and has not written the run's yet");
    coordinator.program.signal(Signal::STOP);
    waits.line("can't reach the coordinator");
    waits.signal(Signal::INT);
    let waits = waits.ended();
    waits.code_is(1);
    assert!(waits.stderr.contains("this agent received SIGINT before"), "{}", waits.stderr);
    assert_eq!(reports_in(&folder).len(), 1);
    for program in [&mut other, &mut coordinator.program] {
        program.child.kill().expect("it is there");
        program.child.wait().expect("it ends");
    }
}

#[test]
fn an_agent_that_a_signal_ends_does_not_wait_for_the_end_of_a_long_run() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 2 --rate 40/s --duration 10m --seed 5");
    let folder = tempfile::tempdir().expect("a folder");
    let [stays, goes] = ["stays", "goes"].map(|name| agent_in(&folder, &coordinator, name));
    coordinator.program.line(" 1 s ");
    goes.signal(Signal::TERM);
    let goes = goes.ended();
    goes.code_is(1);
    for right in [
        "the coordinator has received the report of this part, and has not written the run's yet",
        "this agent received SIGTERM before the coordinator at ",
    ] {
        assert!(goes.stderr.contains(right), "{right}: {}", goes.stderr);
    }
    assert!(goes.stderr.contains("if it is not in the coordinator's"), "{}", goes.stderr);
    // The coordinator has it as well.
    coordinator.program.signal(Signal::INT);
    stays.ended().code_is(0);
    // As that one received a signal as well, the run may be shorter.
    let outcome = coordinator.ended().expect(0);
    assert!(row(&outcome, "goes")["lost"].is_null());
    assert_eq!(row(&outcome, "goes")["coordinator_signal"], "SIGINT");
    is_exact(&outcome, &mock);
    assert_eq!(reports_in(&folder).len(), 1);
}

#[test]
fn after_a_signal_the_report_of_an_agent_is_soon_written_where_its_coordinator_does_not_answer() {
    let mock = Mock::start(&[]);
    let target = address(&mock);
    // One that is gone, and one that stands still and accepts connections.
    for end in [Signal::KILL, Signal::STOP] {
        let mut coordinator = Coordinator::start(&target, "--agents 1 --rate 40/s --duration 10m --seed 5");
        let folder = tempfile::tempdir().expect("a folder");
        let agent = agent_in(&folder, &coordinator, "alone");
        coordinator.program.line(" 1 s ");
        coordinator.program.signal(end);
        agent.signal(Signal::TERM);
        // At once, and it warns of what a second one does.
        let line = agent.line(
            "received SIGTERM: waits for messages in flight, and then for the coordinator, 10 s at most",
        );
        assert!(
            line.contains("it is written here. A second signal ends this agent without its report"),
            "{line}"
        );
        let agent = agent.ended();
        agent.code_is(1);
        let report = std::fs::read(&reports_in(&folder)[0]).expect("a report");
        let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
        assert_eq!(report["agents"][0]["stopped"], serde_json::json!({"by": "signal", "signal": "SIGTERM"}));
        let (run, all) = (report["settings"]["runs"][0].as_str().expect("an id"), tokens(&mock));
        let sent = all.iter().filter(|token| token.starts_with(run)).count() as u64;
        assert_eq!(report["accounting"]["measured"]["accepted"], sent);
        coordinator.program.child.kill().expect("it is there");
        drop(coordinator.ended());
    }
}
