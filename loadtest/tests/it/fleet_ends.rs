//! How a run of several machines ends when one of them does not do its part.

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fleet::{Coordinator, Running, address, agent, tokens};
use crate::mock::Mock;
use crate::parts::ahead;
use crate::support::Outcome;
use crate::support::files::path;
use crate::support::program::{plain, program};
use crate::support::relay::Relay;

/// The row of an agent in a report.
pub(crate) fn row<'r>(outcome: &'r Outcome, name: &str) -> &'r serde_json::Value {
    let rows = outcome.report["agents"].as_array().expect("a list");
    rows.iter().find(|row| row["name"] == name).expect("its row")
}

/// Checks that the servers' count is the range, which is one number.
pub(crate) fn is_exact(outcome: &Outcome, mock: &Mock) {
    let received = tokens(mock).len() as u64;
    let range = ["/delivered/at_least", "/delivered/at_most"].map(|field| outcome.number(field));
    assert_eq!(range, [received, received]);
}

/// A system that is short of threads at the end of a run does not cost the report: none is started then.
#[cfg(target_os = "linux")]
#[test]
fn the_thread_that_answers_agents_while_the_report_is_written_is_there_before_the_run() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --rate 40/s --duration 1s --seed 5");
    // A thread has its name a moment after its start: the run is decided only after many exchanges, and begins 3 s later.
    let agent = coordinator.agent(&[]);
    coordinator.program.line("starts at ");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", coordinator.program.child.id())).expect("threads");
    let names =
        tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")).expect("a name"));
    let names: Vec<String> = names.collect();
    assert!(names.iter().any(|name| name.trim_end() == "smtpload-agents"), "{names:?}");
    agent.ended().code_is(0);
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 40);
}

#[test]
fn an_agent_without_a_place_waits_for_one() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --rate 40/s --duration 1s --seed 5");
    let hello = coordinator.hello("silent", 7);
    // It takes the only place, and is never ready.
    assert!(coordinator.ask("POST /v1/agents HTTP/1.1", &hello).starts_with("HTTP/1.1 200"));
    let waits = coordinator.agent(&["--name", "waits"]);
    waits.line("waits for a place in the run: this run has its 1 agent: silent");
    coordinator.program.line("agent silent is gone");
    let waits = waits.ended();
    waits.code_is(0);
    assert_eq!(waits.stderr.matches("waits for a place").count(), 1, "{}", waits.stderr);
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 40);
}

#[test]
fn a_run_that_needs_all_agents_does_not_start_without_one() {
    let mock = Mock::start(&[]);
    let load = "--agents 2 --rate 40/s --duration 10m --seed 5 --on-lost stop";
    let coordinator = Coordinator::start(&address(&mock), load);
    let [stays, goes] = ["stays", "goes"].map(|name| coordinator.agent(&["--name", name]));
    coordinator.program.line("starts at ");
    goes.signal(Signal::TERM);
    let stays = stays.ended();
    stays.code_is(1);
    drop(goes.ended());
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(outcome.stderr.contains("SIGTERM") && outcome.stderr.contains("goes"), "{}", outcome.stderr);
    assert_eq!(tokens(&mock).len(), 0);
}

/// An agent that works in a folder.
pub(crate) fn agent_in(folder: &TempDir, coordinator: &Coordinator, name: &str) -> Running {
    let mut command = program();
    Running::start(command.current_dir(folder).args(["agent", &coordinator.url, "--name", name]))
}

/// The reports in a folder.
pub(crate) fn reports_in(folder: &TempDir) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut files: Vec<String> = files.map(|file| file.path().to_str().expect("UTF-8").to_owned()).collect();
    files.sort();
    files
}

#[test]
fn a_part_that_was_handed_in_is_not_lost_with_its_coordinator() {
    let mock = Mock::start(&[]);
    let mut coordinator =
        Coordinator::start(&address(&mock), "--agents 2 --rate 40/s --duration 3s --seed 5");
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [first, second] = [0, 1].map(|index| agent_in(&folders[index], &coordinator, &format!("m{index}")));
    coordinator.program.line(" 1 s ");
    // The second one delays the end of the run.
    second.signal(Signal::STOP);
    first.line("the coordinator has received the report of this part, and has not written the run's yet");
    coordinator.program.child.kill().expect("it runs");
    first.line("can't reach the coordinator");
    second.signal(Signal::CONT);
    second.line("can't reach the coordinator");
    for agent in [first, second] {
        agent.signal(Signal::TERM);
        let outcome = agent.ended();
        outcome.code_is(1);
        let right = "this agent received SIGTERM before the coordinator at ";
        assert!(outcome.stderr.contains(right), "{}", outcome.stderr);
    }
    let files: Vec<String> = folders.iter().flat_map(reports_in).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    let mut args = vec!["merge", "--json", "-"];
    args.extend(files.iter().map(String::as_str));
    assert_eq!(plain(&args).expect(0).count("accepted"), tokens(&mock).len() as u64);
}

#[test]
fn agents_have_the_reports_of_a_coordinator_that_can_not_write_its_own() {
    let mock = Mock::start(&[]);
    let load = "--agents 2 --rate 40/s --duration 1s --seed 5 --report-html /dev/full";
    let coordinator = Coordinator::start(&address(&mock), load);
    let folder = tempfile::tempdir().expect("a folder");
    for agent in ["a", "b"].map(|name| agent_in(&folder, &coordinator, name)) {
        let outcome = agent.ended();
        outcome.code_is(1);
        assert!(outcome.stderr.contains("could not write its report"), "{}", outcome.stderr);
    }
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(outcome.stderr.contains("can't write the page to"), "{}", outcome.stderr);
    assert_eq!(reports_in(&folder).len(), 2);
}

#[test]
fn an_agent_finds_out_before_it_joins_that_its_report_can_not_be_written() {
    let outcome = plain(&["agent", "http://127.0.0.1:1", "--report-json", "/nonexistent/x.json"]);
    outcome.code_is(1);
    assert!(
        outcome.stderr.contains("can't write the JSON report to /nonexistent/x.json"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("no reply"), "{}", outcome.stderr);
}

#[test]
fn an_undelivered_report_is_in_a_new_file_or_on_standard_output() {
    let mock = Mock::start(&[]);
    let load = "--agents 4 --rate 80/s --duration 1s --seed 5 --report-html /dev/full";
    let coordinator = Coordinator::start(&address(&mock), load);
    let folders = [(); 4].map(|()| tempfile::tempdir().expect("a folder"));
    let [named, taken, gone, piped] = &folders;
    let start = |folder: &TempDir, args: &[&str]| {
        let mut command = program();
        Running::start(command.current_dir(folder).args(["agent", &coordinator.url]).args(args))
    };
    std::fs::write(path(named, "part.json"), "an earlier report").expect("written");
    let agents = [
        start(named, &["--report-json", "part.json"]),
        start(taken, &[]),
        start(gone, &[]),
        start(piped, &["--report-json", "-"]),
    ];
    // The name of the file is known, and is taken.
    let armed = agents[1].line("of run ");
    let (part, run) =
        (armed.split(['/', ' ']).nth(1).expect("a part"), armed.split([' ', ':']).nth(4).expect("an id"));
    let first = path(taken, &format!("smtpload-{run}-{part}.json"));
    std::fs::write(&first, "of someone else").expect("written");
    // As on a read-only file system, for any user.
    agents[2].line("of run ");
    std::fs::remove_dir(gone).expect("it is empty");

    let outcomes = agents.map(Running::ended);
    coordinator.ended().code_is(1);
    outcomes.iter().for_each(|outcome| outcome.code_is(1));
    let says = |index: usize, text: &str| {
        let Outcome { stderr, .. } = &outcomes[index];
        assert!(stderr.contains(&format!("the report of this part is {text}: `smtpload merge`")), "{stderr}");
    };
    says(0, "in part.json");
    says(1, &format!("in smtpload-{run}-{part}-2.json"));
    says(2, "on standard output, in one line of JSON");
    says(3, "on standard output");
    assert_eq!(std::fs::read_to_string(&first).expect("it is there"), "of someone else");
    assert_eq!(outcomes[2].stdout.lines().count(), 1);
    assert!(outcomes[2].stderr.contains(".json: No such file or directory"), "{}", outcomes[2].stderr);

    // Together they are the run.
    let all = tempfile::tempdir().expect("a folder");
    let printed = [2, 3].map(|index| {
        let file = path(&all, &format!("{index}.json"));
        std::fs::write(&file, &outcomes[index].stdout).expect("written");
        file
    });
    let second = path(taken, &format!("smtpload-{run}-{part}-2.json"));
    let merged =
        plain(&["merge", "--json", "-", &path(named, "part.json"), &second, &printed[0], &printed[1]]);
    assert_eq!(merged.expect(0).count("accepted"), tokens(&mock).len() as u64);
}

#[test]
fn an_agent_that_has_delivered_does_not_fail_because_nobody_reads_its_standard_error() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --rate 40/s --duration 1s --seed 5");
    let mut agent = program().args(["agent", &coordinator.url]).spawn().expect("the program starts");
    drop(agent.stderr.take());
    assert_eq!(agent.wait().expect("it ends").code(), Some(0));
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 40);
}

#[test]
fn an_agent_that_has_delivered_and_can_not_write_its_own_report_says_that_the_part_is_not_lost() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --rate 40/s --duration 1s --seed 5");
    let agent = coordinator.agent(&["--report-json", "/dev/full"]).ended();
    agent.code_is(1);
    let right = "smtpload: the report of the coordinator has this part (exit 1)";
    assert!(agent.stderr.contains("can't write") && agent.stderr.contains(right), "{}", agent.stderr);
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 40);
}

#[test]
fn outputs_of_a_run_that_does_not_start_stay_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let [json, hlog, html] = ["run.json", "run.hlog", "run.html"].map(|name| path(&folder, name));
    let outputs = ["--report-json", &json, "--hlog", &hlog, "--report-html", &html];
    let signalled = |args: &[&str], waits: &str| {
        std::fs::write(&json, "an earlier report").expect("written");
        let mut command = program();
        let running = Running::start(command.args(args).args(outputs));
        running.line(waits);
        running.signal(Signal::TERM);
        let outcome = running.ended();
        outcome.code_is(1);
        assert!(outcome.stderr.contains("the run did not start"), "{}", outcome.stderr);
        assert_eq!(std::fs::read_to_string(&json).expect("it is there"), "an earlier report");
        assert_eq!(
            reports_in(&folder),
            std::slice::from_ref(&json),
            "a file that was not there is not there"
        );
    };
    signalled(&["serve", "127.0.0.1:1", "--listen", "0", "--agents", "2"], "waits for");
    signalled(&["127.0.0.1:1", "--start-at", &ahead(3000)], "starts at ");
    // Shortly before the start, with agents.
    let mock = Mock::start(&[]);
    let mut command = program();
    std::fs::write(&json, "an earlier report").expect("written");
    let serve =
        ["serve", &address(&mock), "--listen", "0", "--agents", "3", "--rate", "9/s", "--duration", "9s"];
    let running = Running::start(command.args(serve).args(outputs));
    let line = running.line("http://");
    let url = &line[line.find("http://").expect("a URL")..];
    let agents = ["a", "b", "c"].map(|name| agent(url, &["--name", name]));
    running.line("starts at ");
    running.signal(Signal::TERM);
    let outcome = running.ended();
    outcome.code_is(1);
    // No agent is called lost, and nothing is in doubt.
    let right = "error: the run did not start: it was ended by SIGTERM; nothing was sent";
    assert!(outcome.stderr.contains(right) && !outcome.stderr.contains("lost"), "{}", outcome.stderr);
    agents.into_iter().for_each(|agent| agent.ended().code_is(1));
    assert_eq!(std::fs::read_to_string(&json).expect("it is there"), "an earlier report");
    assert_eq!(tokens(&mock).len(), 0);
}

#[test]
fn the_status_of_a_proxy_is_like_no_reply() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --rate 40/s --duration 6s --seed 5");
    let proxy = Relay::to(coordinator.address());
    proxy.is_out_of_order(true);
    let agent = agent(&proxy.url, &[]);
    let says = "no coordinator of smtpload answers there, but with status 502 Bad Gateway; trying again";
    agent.line(says);
    proxy.is_out_of_order(false);
    coordinator.program.line(" 1 s ");
    proxy.is_out_of_order(true);
    agent.line(says);
    proxy.is_out_of_order(false);
    let agent = agent.ended();
    agent.code_is(0);
    assert!(!agent.stderr.contains("starts no more messages"), "{}", agent.stderr);
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 240);
    // What is no coordinator at all is the wrong address.
    let sink = Mock::start(&["--http", "0"]);
    let http = sink.ready()["http"][0].as_str().expect("a URL").to_owned();
    let lost = plain(&["agent", &http]);
    lost.code_is(1);
    assert!(lost.stderr.contains("no coordinator of smtpload answers there"), "{}", lost.stderr);
}

#[test]
fn an_agent_whose_coordinator_was_started_anew_says_what_that_one_replied() {
    let mock = Mock::start(&[]);
    let target = address(&mock);
    let mut coordinator = Coordinator::start(&target, "--agents 1 --rate 40/s --duration 10m --seed 5");
    let folder = tempfile::tempdir().expect("a folder");
    let agent = agent_in(&folder, &coordinator, "alone");
    coordinator.program.line(" 1 s ");
    coordinator.program.child.kill().expect("it runs");
    coordinator.program.child.wait().expect("it ends");
    let mut command = program();
    let anew = command.args(["serve", &target, "--listen", coordinator.address(), "--agents", "1"]);
    let mut anew = Running::start(anew);
    anew.line("waits for 1 agent at");
    agent.line("starts no more messages: the coordinator refused it: this coordinator has no such agent");
    let agent = agent.ended();
    agent.code_is(1);
    let right = "refuses the report of this part: this coordinator has no such agent";
    assert!(agent.stderr.contains(right) && !agent.stderr.contains("went away"), "{}", agent.stderr);
    anew.child.kill().expect("it runs");
    drop(anew.ended());
    let merged = plain(&["merge", "--json", "-", &reports_in(&folder)[0]]);
    // The run is not whole, and its file says why.
    let merged = merged.expect(1);
    assert!(
        merged.stderr.contains("agents that stopped early: alone (the coordinator refused it"),
        "{}",
        merged.stderr
    );
    assert_eq!(merged.count("accepted"), tokens(&mock).len() as u64);
}

#[test]
fn an_agent_that_stood_still_until_its_run_was_over_sends_nothing_after_that() {
    // When it stops, messages are due, and others wait for the reply to DATA.
    let mock = Mock::start(&["--response-delay-data", "500ms"]);
    let load = "--agents 2 --rate 200/s --duration 5s --seed 5 -c 200 --grace 10s";
    let coordinator = Coordinator::start(&address(&mock), load);
    let folder = tempfile::tempdir().expect("a folder");
    let [stays, stops] = ["stays", "stops"].map(|name| agent_in(&folder, &coordinator, name));
    coordinator.program.line(" 2 s ");
    stops.signal(Signal::STOP);
    stays.ended().code_is(0);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    let received = tokens(&mock).len();
    stops.signal(Signal::CONT);
    stops.line("starts no more messages: no exchange with the coordinator for ");
    stops.signal(Signal::TERM);
    stops.ended().code_is(1);
    assert_eq!(tokens(&mock).len(), received);
    let range = ["/delivered/at_least", "/delivered/at_most"].map(|field| outcome.number(field));
    assert!((range[0]..=range[1]).contains(&(received as u64)), "{received} of {range:?}");
    // Its own report has what was accepted before, and the rest is in doubt.
    let part: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&reports_in(&folder)[0]).expect("a report")).expect("JSON");
    assert_eq!(part["agents"][0]["stopped"]["by"], "no-coordinator");
    assert!(part["accounting"]["measured"]["in_flight"].as_u64().expect("a count") > 0);
}

#[test]
fn a_run_that_has_begun_is_reported_although_no_message_was_due() {
    let load = "--agents 1 --rate 0.01/s --arrivals poisson --duration 1h --seed 3";
    // Ended by the coordinator: the outputs were emptied, and have the report.
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), load);
    let agent = coordinator.agent(&[]);
    coordinator.program.line(" 1 s ");
    coordinator.program.signal(Signal::INT);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    let why = "the run was ended by a signal before its first message";
    assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    assert_eq!((outcome.count("started"), outcome.report["interrupted"].as_bool()), (0, Some(true)));
    assert!(outcome.report["agents"][0]["lost"].is_null(), "{}", outcome.report["agents"]);
    is_exact(&outcome, &mock);
    agent.ended().code_is(0);

    // Its agent writes its part, too, where the coordinator is gone.
    let coordinator = Coordinator::start(&address(&mock), load);
    let folder = tempfile::tempdir().expect("a folder");
    let agent = coordinator.agent(&["--report-json", &path(&folder, "part.json")]);
    coordinator.program.line(" 1 s ");
    coordinator.program.signal(Signal::KILL);
    agent.line("can't reach the coordinator");
    agent.signal(Signal::INT);
    agent.ended().code_is(1);
    let merged = plain(&["merge", "--json", "-", &path(&folder, "part.json")]);
    merged.code_is(1);
    let right = "(SIGINT); the servers have received 0 messages";
    assert!(merged.stderr.contains(right), "{}", merged.stderr);
}
