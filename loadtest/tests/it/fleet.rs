//! A run of several machines: a coordinator and its agents, as programs of their own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::mock::Mock;
use crate::support::Outcome;
use crate::support::files::{json, path};
use crate::support::program::{plain, program};
use crate::support::waiting::PATIENCE;

/// A coordinator that runs.
struct Coordinator {
    child: Child,
    url: String,
    lines: Receiver<String>,
    /// Reads standard error to its end.
    reader: JoinHandle<String>,
    folder: TempDir,
}

impl Coordinator {
    /// Starts one on a free port. On a busy machine agents may well be late: only tests of that notice.
    fn start(target: &str, args: &str) -> Coordinator {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = program();
        command.args(["serve", target, "--listen", "0", "--late-after", "60s", "--report-json"]);
        command.arg(path(&folder, "report.json")).args(args.split_ascii_whitespace());
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
        let mut coordinator = Coordinator { child, url: String::new(), lines, reader, folder };
        let line = coordinator.line("http://");
        coordinator.url = line[line.find("http://").expect("a URL")..].to_owned();
        coordinator
    }

    /// Waits for a line with this text.
    fn line(&self, with: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no `{with}`: {error}"));
            if line.contains(with) {
                return line;
            }
        }
    }

    fn agent(&self, args: &[&str]) -> Child {
        agent(&self.url, args)
    }

    /// Waits for its end.
    fn ended(self) -> Outcome {
        let output = self.child.wait_with_output().expect("it ends");
        let stderr = self.reader.join().expect("standard error");
        let file = path(&self.folder, "report.json");
        let report = std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Outcome { stderr, report: report.unwrap_or(Value::Null), ..Outcome::of(&output) }
    }
}

fn agent(url: &str, args: &[&str]) -> Child {
    let mut command = program();
    command.args(["agent", url]).args(args).stdout(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn address(mock: &Mock) -> String {
    mock.ready()["smtp"][0].as_str().expect("an address").to_owned()
}

/// The tokens of the messages in a capture, without the digest: `run-seq`.
fn tokens(mock: &Mock) -> Vec<String> {
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
        let agents: Vec<Child> = names
            .iter()
            .zip(&parts)
            .map(|(name, file)| coordinator.agent(&["--name", name, "--report-json", file]))
            .collect();
        for agent in agents {
            Outcome::after(agent).code_is(0);
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
        for field in ["accounting", "latency", "sessions", "steps"] {
            assert_eq!(outcome.report[field], merged[field], "{field}");
        }
    }
}
