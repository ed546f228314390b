//! A run of several machines: a coordinator and its agents, as programs of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::mock::{Mock, smtpmock};
use crate::support::files::{json, path};
use crate::support::program::{plain, program};
use crate::support::waiting::PATIENCE;
use crate::support::{Outcome, Sink};

/// A program that runs, and the lines of its standard error.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Receiver<String>,
    /// Reads standard error to its end.
    reader: JoinHandle<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.spawn().expect("the program starts");
        let err = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            let mut all = String::new();
            for line in err.lines().map_while(Result::ok) {
                all.push_str(&line);
                all.push('\n');
                let _ = sender.send(line);
            }
            all
        });
        Running { child, lines, reader }
    }

    /// Waits for a line with this text.
    pub(crate) fn line(&self, with: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no `{with}`: {error}"));
            if line.contains(with) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn ended(self) -> Outcome {
        let output = self.child.wait_with_output().expect("it ends");
        Outcome { stderr: self.reader.join().expect("standard error"), ..Outcome::of(&output) }
    }
}

/// A coordinator that runs.
pub(crate) struct Coordinator {
    pub(crate) program: Running,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
}

impl Coordinator {
    /// Starts one on a free port. On a busy machine agents may well be late: only tests of that notice.
    pub(crate) fn start(target: &str, args: &str) -> Coordinator {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = program();
        command.args(["serve", target, "--listen", "0", "--late-after", "60s", "--report-json"]);
        command.arg(path(&folder, "report.json")).args(args.split_ascii_whitespace());
        let program = Running::start(&mut command);
        let line = program.line("http://");
        let url = line[line.find("http://").expect("a URL")..].to_owned();
        Coordinator { program, url, folder }
    }

    pub(crate) fn agent(&self, args: &[&str]) -> Running {
        agent(&self.url, args)
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("a URL")
    }

    /// The introduction of an agent; the version of the protocol is that of the coordinator's refusal of another.
    pub(crate) fn hello(&self, name: &str, nonce: u64) -> String {
        let hello = |protocol: u64| {
            let version = env!("CARGO_PKG_VERSION");
            serde_json::json!({"protocol": protocol, "version": version, "name": name, "nonce": nonce})
                .to_string()
        };
        let refused = self.ask("POST /v1/agents HTTP/1.1", &hello(0));
        let (_, protocol) = refused.split_once("(protocol ").unwrap_or_else(|| panic!("{refused}"));
        let (protocol, _) = protocol.split_once(')').expect("its version");
        hello(protocol.parse().expect("a number"))
    }

    /// Sends a request with this head by hand, and returns the reply.
    pub(crate) fn ask(&self, request: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        let head = format!(
            "{request}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}",
            body.len()
        );
        let host = if request.contains("Host:") { "" } else { "Host: x\r\n" };
        stream.write_all(format!("{head}\r\n{host}\r\n{body}").as_bytes()).expect("it reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it replies");
        reply
    }

    /// Waits for its end, and reads its report.
    pub(crate) fn ended(self) -> Outcome {
        let outcome = self.program.ended();
        let file = path(&self.folder, "report.json");
        let report = std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Outcome { report: report.unwrap_or(Value::Null), ..outcome }
    }
}

pub(crate) fn agent(url: &str, args: &[&str]) -> Running {
    let mut command = program();
    // Where the report of one that fails is no file of the sources.
    Running::start(command.current_dir(env!("CARGO_TARGET_TMPDIR")).args(["agent", url]).args(args))
}

pub(crate) fn address(mock: &Mock) -> String {
    mock.ready()["smtp"][0].as_str().expect("an address").to_owned()
}

/// The tokens of the messages in a capture, without the digest: `run-seq`.
pub(crate) fn tokens(mock: &Mock) -> Vec<String> {
    let messages = mock.records().into_iter().filter(|record| record["msg"] == true);
    let tokens = messages.map(|record| {
        let text = record["msg_request"].as_str().expect("text");
        let line = text.lines().next().expect("a token line");
        let token = line.strip_prefix("X-Smtpload-Token: ").expect("a token");
        token.rsplit_once('-').expect("a digest").0.to_owned()
    });
    tokens.collect()
}

#[test]
fn the_agents_of_a_coordinator_send_one_run_and_both_sides_agree_to_the_message() {
    for load in ["--steps 50/s:1s,300/s:1s --arrivals poisson", "-c 9 --count 1000 --size 100..3000"] {
        let mock = Mock::start(&[]);
        let coordinator = Coordinator::start(&address(&mock), &format!("--agents 3 {load} --seed 5"));
        let names = ["a", "b", "b"];
        let folder = tempfile::tempdir().expect("a folder");
        let parts: Vec<String> = (0..3).map(|index| path(&folder, &format!("{index}.json"))).collect();
        let agents: Vec<Running> = names
            .iter()
            .zip(&parts)
            .map(|(name, file)| coordinator.agent(&["--name", name, "--report-json", file]))
            .collect();
        for agent in agents {
            agent.ended().code_is(0);
        }
        let outcome = coordinator.ended().expect(0);
        // The live view has every message, and all agents.
        assert!(outcome.stderr.contains("3 of 3 agents"), "{}", outcome.stderr);

        // Both sides, and every message once.
        let accepted = outcome.count("accepted");
        let mut tokens = tokens(&mock);
        tokens.sort();
        let run = outcome.report["settings"]["runs"][0].as_str().expect("an id");
        let expected: Vec<String> = (0..accepted).map(|seq| format!("{run}-{seq:012}")).collect();
        assert!(tokens == expected, "{} messages, {accepted} accepted", tokens.len());
        assert_eq!(outcome.number("/delivered/at_least"), accepted);
        assert_eq!(outcome.number("/delivered/at_most"), accepted);

        // The agents by name, with their clocks: they have the same one.
        let rows = outcome.report["agents"].as_array().expect("a list");
        let mut named: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
        named.sort_unstable();
        assert_eq!(named, ["a", "b", "b-2"]);
        for row in rows {
            let [offset, error] = ["clock_offset_ms", "clock_uncertainty_ms"].map(|name| row[name].as_f64());
            assert!(offset.expect("measured").abs() <= error.expect("measured"), "{row}");
        }

        // One way to add up: what the coordinator reports is the merge of the parts.
        let merged = path(&folder, "merged.json");
        let mut args = vec!["merge", "--quiet", "--report-json", &merged];
        args.extend(parts.iter().map(String::as_str));
        plain(&args).code_is(0);
        let merged = json(&merged);
        for field in
            ["accounting", "latency", "sessions", "steps", "intervals", "agents", "delivered", "plans"]
        {
            assert_eq!(outcome.report[field], merged[field], "{field}");
        }
    }
}

#[test]
fn an_agent_that_is_killed_is_named_and_the_servers_count_is_in_the_range() {
    let mock = Mock::start(&[]);
    let load = "--agents 2 --rate 200/s --duration 8s --seed 5";
    let coordinator = Coordinator::start(&address(&mock), load);
    let (stays, mut goes) = (coordinator.agent(&["--name", "stays"]), coordinator.agent(&["--name", "goes"]));
    coordinator.program.line(" 3 s ");
    goes.child.kill().expect("it runs");
    coordinator.program.line("agent goes is late");
    coordinator.program.line("agent goes is lost");
    stays.ended().code_is(0);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    outcome.check_sum();
    assert!(
        outcome
            .stderr
            .contains("lost agents: goes (nothing came from it any more); the servers have received "),
        "{}",
        outcome.stderr
    );

    let (least, most) = (outcome.number("/delivered/at_least"), outcome.number("/delivered/at_most"));
    let received = tokens(&mock).len() as u64;
    assert!((least..=most).contains(&received), "{received} of {least} to {most}");
    // Reported second by second, it lacks at most the last second or two.
    assert!(least >= 800 + 100 && most <= 1600, "{least} to {most}: {}", outcome.stderr);
    let row =
        outcome.report["agents"].as_array().and_then(|rows| rows.iter().find(|row| row["name"] == "goes"));
    let lost = &row.expect("its row")["lost"];
    assert!(
        lost["reported_s"].as_f64() >= Some(1.0) && lost["started_at_most"].as_u64() <= Some(800),
        "{lost}"
    );
}

#[test]
fn agents_without_a_coordinator_stop_and_write_their_reports() {
    let mock = Mock::start(&[]);
    let mut coordinator =
        Coordinator::start(&address(&mock), "--agents 2 --rate 50/s --duration 10m --seed 5");
    let folder = tempfile::tempdir().expect("a folder");
    let start = |name: &str| {
        let mut command = program();
        Running::start(command.current_dir(&folder).args(["agent", &coordinator.url, "--name", name]))
    };
    let agents = [start("a"), start("b")];
    coordinator.program.line(" 2 s ");
    coordinator.program.child.kill().expect("it runs");
    let mut args = vec!["merge".to_owned(), "--json".to_owned(), "-".to_owned()];
    for agent in agents {
        agent.line("can't reach the coordinator");
        agent.line("starts no more messages");
        // It tries to deliver its report until a signal.
        agent.signal(Signal::INT);
        let outcome = agent.ended();
        outcome.code_is(1);
        assert!(
            outcome.stderr.contains("this agent received SIGINT before the coordinator at "),
            "{}",
            outcome.stderr
        );
    }
    let files = std::fs::read_dir(&folder).expect("a folder").flatten();
    args.extend(files.map(|file| file.path().to_str().expect("UTF-8").to_owned()));
    assert_eq!(args.len(), 5, "{args:?}");
    let merged = plain(&args.iter().map(String::as_str).collect::<Vec<_>>()).expect(1);
    let received = tokens(&mock).len() as u64;
    assert_eq!(merged.count("accepted"), received, "the parts have all that was sent");
    assert_eq!(
        (merged.number("/delivered/at_least"), merged.number("/delivered/at_most")),
        (received, received)
    );
    // Each has stopped early, and says why.
    assert!(merged.stderr.contains("a (no exchange with the coordinator for "), "{}", merged.stderr);
}

#[test]
fn who_is_no_agent_of_the_run_is_refused_on_both_sides_with_what_is_right() {
    let sink = Sink::usual();
    for (args, right) in [
        ("--listen 0.0.0.0:0 --agents 1", "--token or SMTPLOAD_TOKEN is needed"),
        ("--listen 0 --agents 1 --part 0/2 --seed 1", "the coordinator gives each agent its part"),
        ("--listen 0 --agents 1 --start-at 2001-01-01T00:00:00Z", "when all agents are there"),
        ("--listen 0 --agents 3 --count 2", "--count 2 with --agents 3: it is divided over all agents"),
        ("--listen 0 --agents 2 -c 1", "--connections 1 with --agents 2"),
        // Enough for the first part, and not for the second.
        ("--listen 0 --agents 2 -c 5 --threads 3", "--threads 3 with --agents 2: 2 of the --connections"),
        ("--listen 0 --agents 2 -c 3 --target t:1", "--connections: 1 for this part, and 2 targets"),
        ("--listen 0 --agents 2 -c 1000001", "--connections 1000001: must be 1 to 500000"),
        ("--listen 0 --agents 3 --rate 1/s --duration 2s", "--agents 3: fewer than 3 messages are due"),
        ("--listen x --agents 1", "like 7000, or an address and a port"),
        ("--listen 0 --agents 0", "1..=1000"),
    ] {
        let address = sink.address();
        let args: Vec<&str> = ["serve", &address].into_iter().chain(args.split(' ')).collect();
        let outcome = plain(&args);
        outcome.code_is(2);
        assert!(outcome.stderr.contains(right), "{args:?}: {}", outcome.stderr);
    }
    for (url, right) in [
        ("https://x:1", "https is not supported: use http://HOST:PORT"),
        ("x:1", "expected http://HOST:PORT"),
        ("http://x", "a port"),
        ("http://x:1/v1", "without a path"),
    ] {
        let outcome = plain(&["agent", url]);
        outcome.code_is(2);
        assert!(outcome.stderr.contains(right), "{url}: {}", outcome.stderr);
    }

    for name in ["", "two\nlines", &"x".repeat(65)] {
        let outcome = plain(&["agent", "http://127.0.0.1:1", "--name", name]);
        outcome.code_is(2);
        let right = "--name: expected 1 to 64 octets without control characters";
        assert!(outcome.stderr.contains(right), "{name}: {}", outcome.stderr);
    }

    let coordinator = Coordinator::start(&sink.address(), "--agents 2 --token secret --count 10");
    // A second coordinator at the same port.
    let other = plain(&["serve", &sink.address(), "--listen", coordinator.address(), "--agents", "1"]);
    other.code_is(1);
    assert!(other.stderr.contains("maybe another coordinator"), "{}", other.stderr);
    // Without the token, or with another one.
    for token in [&[][..], &["--token", "guess"], &["--token", "secret2"]] {
        let refused = coordinator.agent(token).ended();
        refused.code_is(2);
        assert!(refused.stderr.contains("the token is not the coordinator's"), "{}", refused.stderr);
    }
    assert!(coordinator.ask("POST /v1/agents HTTP/1.1", "{}").starts_with("HTTP/1.1 401"));
    let token = ["--token", "secret"];
    let waiting = coordinator.agent(&token);
    coordinator.program.line("1 of 2");
    // Another version, another protocol, and what is no agent.
    let ask = |request: &str, body: &str| {
        coordinator.ask(&format!("{request} HTTP/1.1\r\nAuthorization: Bearer secret"), body)
    };
    let version = env!("CARGO_PKG_VERSION");
    let hello = |protocol: u32, version: &str| {
        format!(r#"{{"protocol":{protocol},"version":"{version}","name":"x","nonce":7}}"#)
    };
    for (body, right) in [
        (hello(1, "0.1.0"), "this agent 0.1.0 (protocol 1): run the same version"),
        (hello(99, version), "(protocol 99): run the same version"),
    ] {
        let reply = ask("POST /v1/agents", &body);
        assert!(reply.starts_with("HTTP/1.1 409") && reply.contains(right), "{reply}");
    }
    for (request, body, status) in [
        ("POST /v1/agents", "nonsense", 400),
        ("POST /v1/agents/of-another-run", r#"{"state":"waiting"}"#, 404),
        ("POST /other", "{}", 400),
        ("GET /", "", 400),
    ] {
        let reply = ask(request, body);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {reply}");
    }
    let second = coordinator.agent(&token);
    coordinator.program.line("2 of 2");
    let third = coordinator.agent(&token).ended();
    third.code_is(1);
    let full = third.stderr.contains("this run has its 2 agents");
    assert!(full || third.stderr.contains("has begun without this agent"), "{}", third.stderr);
    waiting.ended().code_is(0);
    second.ended().code_is(0);
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 10);
}

#[test]
fn a_run_that_does_not_start_says_who_is_missing() {
    let sink = Sink::usual();
    let coordinator = Coordinator::start(&sink.address(), "--agents 2 --count 10 --agents-timeout 2s");
    let waiting = coordinator.agent(&["--name", "alone"]);
    let stopped = waiting.ended();
    stopped.code_is(1);
    assert!(stopped.stderr.contains("not all agents were ready in time"), "{}", stopped.stderr);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(outcome.stderr.contains("only 1 of 2 agents came within 2 s: alone"), "{}", outcome.stderr);

    // An agent that can't run its part, as its machine lacks the address, ends the run before it starts.
    let coordinator = Coordinator::start(&sink.address(), "--agents 1 --count 10 --bind 192.0.2.1");
    let unable = coordinator.agent(&["--name", "elsewhere"]).ended();
    unable.code_is(1);
    assert!(unable.stderr.contains("this agent can't run: --bind 192.0.2.1"), "{}", unable.stderr);
    let outcome = coordinator.ended();
    outcome.code_is(1);
    assert!(outcome.stderr.contains("agent elsewhere can't run: --bind 192.0.2.1"), "{}", outcome.stderr);

    let unreached = agent("http://127.0.0.1:1", &["--coordinator-timeout", "1s"]).ended();
    unreached.code_is(1);
    assert!(unreached.stderr.contains("there is no coordinator at 127.0.0.1:1"), "{}", unreached.stderr);
    assert_eq!(sink.sessions(), 0);
}

#[test]
fn the_reports_of_all_servers_agree_with_the_agents_or_the_difference_is_stated() {
    let mocks = [(); 2].map(|()| Mock::start(&["--http", "0", "--http-token", "secret"]));
    let plane = |mock: &Mock| mock.ready()["http"][0].as_str().expect("a URL").to_owned();
    let targets = format!("--target {} --agents 2 -c 8 --sink-token secret", address(&mocks[1]));
    let run = |reports: &[&str]| {
        let reports: Vec<String> = reports.iter().map(|url| format!("--sink-report {url}")).collect();
        let args = format!("{targets} --count 300 {}", reports.join(" "));
        let coordinator = Coordinator::start(&address(&mocks[0]), &args);
        let agents = [coordinator.agent(&[]), coordinator.agent(&[])];
        agents.into_iter().for_each(|agent| agent.ended().code_is(0));
        coordinator.ended()
    };
    let (one, other) = (plane(&mocks[0]), plane(&mocks[1]));
    // Twice: what was received before a run is not counted.
    for _ in 0..2 {
        let outcome = run(&[&one, &format!("{other}/v1/report")]).expect(0);
        assert!(outcome.stdout.contains("both sides agree"), "{}", outcome.stdout);
        let sinks = &outcome.report["sinks"];
        assert_eq!(
            (&sinks["received"], &sinks["too_few"], &sinks["too_many"]),
            (&300.into(), &0.into(), &0.into())
        );
        assert_eq!(outcome.number("/sinks/reports/0/received"), 150);
    }
    let outcome = run(&[&one]).expect(10);
    assert!(outcome.stderr.contains("150 FEWER than the agents have delivered"), "{}", outcome.stderr);
    assert_eq!((outcome.number("/sinks/too_few"), outcome.number("/sinks/too_many")), (150, 0));

    let alone = |extra: &[&str]| {
        let target = address(&mocks[0]);
        plain(&[&["serve", &target, "--listen", "0", "--agents", "1"], extra].concat())
    };
    for (extra, right) in [
        (&["--sink-report", one.as_str()][..], "it wants its token: --sink-token"),
        (
            &["--sink-report", one.as_str(), "--sink-report", one.as_str(), "--sink-token", "secret"],
            "give each run once",
        ),
        (&["--sink-report", "http://127.0.0.1:1", "--agents-timeout", "1s"], "refused"),
    ] {
        let outcome = alone(extra);
        outcome.code_is(1);
        assert!(outcome.stderr.contains(right), "{extra:?}: {}", outcome.stderr);
    }
    for (url, right) in [
        ("127.0.0.1:1", "expected http://HOST:PORT"),
        ("https://127.0.0.1:1", "https is not supported: use http://HOST:PORT"),
        ("http://127.0.0.1", "expected a host and a port"),
    ] {
        let outcome = alone(&["--sink-report", url]);
        outcome.code_is(2);
        assert!(outcome.stderr.contains(right), "{url}: {}", outcome.stderr);
    }
    // An SMTP server is no HTTP server.
    let smtp = format!("http://{}", address(&mocks[0]));
    let outcome = alone(&["--sink-report", &smtp]);
    outcome.code_is(1);
    assert!(outcome.stderr.contains("what listens there does not speak HTTP"), "{}", outcome.stderr);
}

#[test]
#[ignore = "it takes a minute, and wants root: .ci/run runs it"]
fn machines_that_are_network_namespaces_lose_packets_links_and_each_other() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machines.py");
    let programs = smtpmock().parent().expect("a folder");
    let output = Command::new("python3").arg(script).arg(programs).output();
    let output = output.expect("python3 runs");
    let (shown, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{shown}");
    assert!(output.status.success(), "{errors}");
}

#[test]
fn an_agent_logs_its_flags_without_the_password() {
    let mock = Mock::start(&["--auth", "ann:secret-of-ann"]);
    let load = "--agents 1 -c 1 --count 2 --auth ann:secret-of-ann";
    let coordinator = Coordinator::start(&address(&mock), load);
    let agent = coordinator.agent(&[]).ended();
    agent.code_is(0);
    assert!(agent.stderr.contains("--auth=<redacted>"), "{}", agent.stderr);
    let outcome = coordinator.ended().expect(0);
    for text in [&agent.stderr, &outcome.stderr, &outcome.stdout, &outcome.report.to_string()] {
        assert!(!text.contains("secret-of-ann"), "{text}");
    }
}
