//! What the servers of a coordinated run report: in its own report, and in merged ones.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::fleet::{Coordinator, Running, address, agent};
use crate::mock::Mock;
use crate::support::Outcome;
use crate::support::files::{json, path};
use crate::support::program::{plain, program};

/// The URL of a server's control plane.
fn plane(mock: &Mock) -> String {
    mock.ready()["http"][0].as_str().expect("a URL").to_owned()
}

/// A run of one agent, 30 messages, whose report is written to this file.
fn run(to: &str, args: &str, code: i32) -> Outcome {
    let (target, args) = args.split_once(' ').unwrap_or((args, ""));
    let coordinator = Coordinator::start(target, &format!("--agents 1 -c 2 --count 30 {args}"));
    coordinator.agent(&[]).ended().code_is(0);
    let kept = path(&coordinator.folder, "report.json");
    let outcome = coordinator.program.ended();
    outcome.code_is(code);
    std::fs::copy(kept, to).expect("a report");
    outcome
}

fn merged(files: &[&String]) -> Outcome {
    let files = files.iter().map(|file| file.as_str());
    plain(&["merge", "--json", "-"].into_iter().chain(files).collect::<Vec<_>>())
}

/// The ids of the runs in a report.
fn runs(outcome: &Outcome) -> Vec<Value> {
    outcome.report["settings"]["runs"].as_array().expect("a list").clone()
}

#[test]
fn merged_runs_have_the_verdicts_of_all_of_them_on_their_servers() {
    let mocks = [(); 2].map(|()| Mock::start(&["--http", "0"]));
    let ([one, other], [plane, _]) = (mocks.each_ref().map(address), mocks.each_ref().map(plane));
    let folder = tempfile::tempdir().expect("a folder");
    let [fine, few, unasked, all] =
        ["fine", "few", "unasked", "all"].map(|name| path(&folder, &format!("{name}.json")));
    run(&fine, &format!("{one} --sink-report {plane}"), 0);
    let outcome = run(&few, &format!("{one} --target {other} --sink-report {plane}"), 10);
    assert!(outcome.stderr.contains("15 FEWER than the agents have delivered"), "{}", outcome.stderr);
    run(&unasked, &other, 0);

    for files in [[&fine, &few], [&few, &fine]] {
        let sum = merged(&files);
        sum.code_is(10);
        assert!(sum.stderr.contains("15 FEWER than the agents have delivered"), "{}", sum.stderr);
        let sinks = &sum.report["sinks"];
        let numbers = ["received", "too_few", "too_many"].map(|name| sinks[name].as_u64());
        assert_eq!(numbers, [Some(45), Some(15), Some(0)]);
        // Each row is that of its run.
        let rows = sinks["reports"].as_array().expect("a list");
        let rows: Vec<_> = rows.iter().map(|row| row["run"].clone()).collect();
        assert_eq!(rows, runs(&sum));
        let delivered = &sum.report["delivered_by_run"];
        assert!(rows.iter().all(|run| delivered[run.as_str().expect("an id")]["at_least"] == 30));
    }
    // Merged again, nothing is forgotten, and a run without a comparison is named.
    let outcome = plain(&["merge", "--json", &all, &few, &fine]);
    outcome.code_is(10);
    let sum = merged(&[&unasked, &all]);
    sum.code_is(10);
    let not_compared = Value::from(vec![runs(&sum)[0].clone()]);
    assert_eq!((&sum.report["sinks"]["not_compared"], sum.number("/sinks/too_few")), (&not_compared, 15));
    let outcome = plain(&["merge", &fine, &unasked]);
    outcome.code_is(0);
    let stated = format!("NOT COMPARED: run {}", runs(&sum)[0].as_str().expect("an id"));
    let stdout = outcome.stdout.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stdout.contains(&stated), "{stdout}");
}

#[test]
fn a_server_without_a_report_after_the_run_is_named_and_what_the_others_received_is_there() {
    let [mock, ends] = [(); 2].map(|()| Mock::start(&["--http", "0"]));
    let gone = plane(&ends);
    let load = format!("--agents 1 -c 2 --count 30 --sink-report {} --sink-report {gone}", plane(&mock));
    let folder = tempfile::tempdir().expect("a folder");
    let page = path(&folder, "page.html");
    let coordinator = Coordinator::start(&address(&mock), &format!("{load} --report-html {page}"));
    ends.report();
    coordinator.agent(&[]).ended().code_is(0);
    let kept = path(&coordinator.folder, "report.json");
    let file = path(&folder, "run.json");
    let outcome = coordinator.program.ended();
    outcome.code_is(1);
    std::fs::copy(kept, &file).expect("a report");
    let named =
        format!("30 by {}/v1/report): NOT COMPARED with {gone}/v1/report (Connection refused", plane(&mock));
    for text in [&outcome.stdout, &outcome.stderr, &std::fs::read_to_string(page).expect("a page")] {
        // The table is wrapped.
        let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(&named), "{text}");
    }
    let sum = merged(&[&file]);
    sum.code_is(1);
    assert!(sum.stderr.contains(&named), "{}", sum.stderr);
    let failed = &sum.report["sinks"]["failed"];
    assert_eq!(failed.as_array().map(Vec::len), Some(1), "{failed}");
    assert_eq!(failed[0]["url"], format!("{gone}/v1/report"));
    assert!(failed[0]["reason"].as_str().expect("a text").contains("refused"), "{failed}");
    assert_eq!((sum.number("/sinks/received"), sum.number("/sinks/too_few")), (30, 0));
}

#[test]
fn a_name_that_has_more_addresses_after_the_run_is_named_and_its_first_servers_are_asked_again() {
    let namespace = ["--map-root-user", "--mount"];
    if !Command::new("unshare").args(namespace).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mount namespace for an /etc/hosts of its own (unshare)");
        return;
    }
    let mock = Mock::start(&["--http", "0"]);
    let (target, plane) = (address(&mock), plane(&mock).replace("127.0.0.1", "sinks"));
    let folder = tempfile::tempdir().expect("a folder");
    let [hosts, report] = ["hosts", "run.json"].map(|name| path(&folder, name));
    let one = "127.0.0.1 localhost\n127.0.0.1 sinks\n";
    std::fs::write(&hosts, one).expect("a file");
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\"", &hosts]);
    command.arg(program().get_program()).args(["serve", &target, "--listen", "0", "--late-after", "60s"]);
    command.args(["--agents", "1", "-c", "2", "--count", "30", "--sink-report", &plane]);
    command
        .args(["--report-json", &report])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let coordinator = Running::start(&mut command);
    let line = coordinator.line("waits for 1 agent at http://");
    std::fs::write(&hosts, format!("127.0.0.2 sinks\n{one}")).expect("a file");
    agent(&line[line.find("http://").expect("a URL")..], &[]).ended().code_is(0);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    let sinks = &json(&report)["sinks"];
    assert_eq!(sinks["reports"][0]["url"], format!("{plane}/v1/report"));
    assert_eq!((&sinks["received"], &sinks["too_many"]), (&30.into(), &0.into()));
    let added = plane.replace("sinks", "127.0.0.2");
    assert_eq!(sinks["failed"][0]["url"], format!("{added}/v1/report"), "{sinks}");
    let why = "did not have this address before the run";
    assert!(outcome.stderr.contains(why) && !outcome.stderr.contains("restarted"), "{}", outcome.stderr);
}

#[test]
fn a_coordinator_waits_until_it_knows_as_many_servers_as_there_should_be() {
    let mock = Mock::start(&["--http", "0"]);
    let plane = plane(&mock);
    let serve = ["serve", &address(&mock), "--listen", "0", "--agents", "1", "--sink-report", &plane];
    let outcome = plain(&[&serve[..], &["--sinks", "2", "--agents-timeout", "100ms"]].concat());
    outcome.code_is(1);
    let why = "1 of 2 servers have addresses (--sinks); --agents-timeout sets how long to try";
    assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    let outcome = plain(&[&serve[..], &["--sinks", "1", "--agents-timeout", "100ms"]].concat());
    outcome.code_is(1);
    assert!(outcome.stderr.contains("no agent came within 100 ms"), "{}", outcome.stderr);
}

/// An address at which nothing listens yet, and its socket.
fn unready() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    (socket, address)
}

/// A coordinator of one agent that asks a server there.
fn serve(target: &str, server: SocketAddr) -> Running {
    let mut command = program();
    command.args(["serve", target, "--listen", "0", "--agents", "1", "-c", "2", "--count", "30"]);
    command.args(["--late-after", "60s", "--sink-report", &format!("http://{server}")]);
    Running::start(&mut command)
}

/// Replies to the first request that it is not ready, and passes what else comes on to the server.
fn ready_soon(listener: &TcpListener, server: &str) {
    let (mut first, _) = listener.accept().expect("a connection");
    while !first.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    let reply = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    first.write_all(reply).expect("it reads");
    pass(listener, || server.to_owned());
}

/// Passes what comes on to a server.
fn pass(listener: &TcpListener, server: impl Fn() -> String) {
    for near in listener.incoming().map_while(Result::ok) {
        let far = TcpStream::connect(server()).expect("it listens");
        let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        for (mut from, mut to) in [(copy(&near), copy(&far)), (far, near)] {
            std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
        }
    }
}

#[test]
fn a_server_that_was_started_anew_during_the_run_is_named_so() {
    let mocks = [(); 2].map(|()| Mock::start(&["--http", "0"]));
    let [first, next] = mocks.each_ref().map(|mock| plane(mock).replace("http://", ""));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("an address");
    let server = Arc::new(Mutex::new(first));
    let is_behind = Arc::clone(&server);
    std::thread::spawn(move || pass(&listener, || is_behind.lock().expect("a lock").clone()));
    let coordinator = serve(&address(&mocks[1]), at);
    let line = coordinator.line("waits for 1 agent at http://");
    *server.lock().expect("a lock") = next;
    agent(&line[line.find("http://").expect("a URL")..], &[]).ended().code_is(0);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    let why = format!(
        "NOT COMPARED with http://{at}/v1/report (it was restarted, or its figures were reset, since: "
    );
    assert!(outcome.stderr.contains(&why), "{}", outcome.stderr);
}

#[test]
fn a_coordinator_waits_for_servers_that_are_not_ready_and_for_the_agents_then() {
    let mock = Mock::start(&["--http", "0"]);
    let server = plane(&mock).replace("http://", "");
    let (socket, unready) = unready();
    let coordinator = serve(&address(&mock), unready);
    let line = coordinator.line("waits for the servers: ");
    let why = format!("--sink-report http://{unready}: Connection refused");
    assert!(line.contains(&why), "{line}");
    socket.listen(64).expect("it listens");
    std::thread::spawn(move || ready_soon(&socket.into(), &server));
    let line = coordinator.line("waits for 1 agent at http://");
    agent(&line[line.find("http://").expect("a URL")..], &[]).ended().code_is(0);
    let outcome = coordinator.ended();
    outcome.code_is(0);
    assert_eq!(outcome.stderr.matches("waits for the servers").count(), 1, "{}", outcome.stderr);
    let stdout = outcome.stdout.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stdout.contains(&format!("(30 by http://{unready}/v1/report): both sides agree")), "{stdout}");
}

#[test]
fn a_coordinator_that_waits_for_servers_is_ended_by_a_signal() {
    let mock = Mock::start(&[]);
    let (_socket, unready) = unready();
    let coordinator = serve(&address(&mock), unready);
    coordinator.line("waits for the servers: ");
    coordinator.signal(Signal::INT);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(outcome.stderr.contains("the run did not start: it was ended by"), "{}", outcome.stderr);
}
