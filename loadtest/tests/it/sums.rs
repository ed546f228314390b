//! What is added up of a run of several machines, and what of an agent that is lost or has another plan.

use crate::fleet::Running;
use crate::support::Sink;
use crate::support::files::path;
use crate::support::program::program;

#[test]
fn an_agent_whose_message_file_is_another_one_is_named_before_the_start() {
    let sink = Sink::usual();
    let [mine, other] = ["one", "two"].map(|word| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("Subject: x\r\n\r\n{word}\r\n");
        std::fs::write(path(&folder, "msg.eml"), text).expect("a file");
        folder
    });
    let command = |folder| {
        let mut command = program();
        command.current_dir(folder);
        command
    };
    let mut serve = command(&mine);
    serve.args([
        "serve",
        &sink.address(),
        "--listen",
        "0",
        "--agents",
        "2",
        "-c",
        "2",
        "--message",
        "msg.eml",
    ]);
    let coordinator = Running::start(&mut serve);
    let line = coordinator.line("http://");
    let url = &line[line.find("http://").expect("a URL")..];
    let agents = [(&mine, "m0"), (&other, "m1")]
        .map(|(folder, name)| Running::start(command(folder).args(["agent", url, "--name", name])));
    let why = "m1 can't run: its --message msg.eml differs from the coordinator's";
    for agent in agents {
        let outcome = agent.ended();
        outcome.code_is(1);
        assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    }
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(outcome.stderr.contains(&format!("the run did not start: agent {why}")), "{}", outcome.stderr);
    assert_eq!(sink.sessions(), 0);
}
