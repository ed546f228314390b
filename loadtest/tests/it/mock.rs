//! End to end with the server of this repository, as separate programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::files::{json, path};
use crate::support::process::Process;
use crate::support::program::plain;
use crate::support::{Load, Outcome};
use crate::truth::check_delay;

/// Builds `smtpmock` beside the program under test, once per test process.
pub(crate) fn smtpmock() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let beside = Path::new(env!("CARGO_BIN_EXE_smtpload")).parent().expect("a folder");
        let mut build = Command::new(env!("CARGO"));
        // The example has it resolve features as `cargo test --workspace` does, which has built the program then.
        build.args(["build", "--quiet", "--workspace", "--bin", "smtpmock", "--example", "first_mail"]);
        build.arg("--manifest-path");
        build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        build.arg("--target-dir").arg(beside.parent().expect("a target folder"));
        if beside.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "smtpmock does not build");
        beside.join(format!("smtpmock{}", std::env::consts::EXE_SUFFIX))
    })
}

/// A running server and the files that it writes.
pub(crate) struct Mock {
    process: Process,
    folder: TempDir,
}

impl Mock {
    pub(crate) fn start(args: &[&str]) -> Mock {
        Mock::start_in(tempfile::tempdir().expect("a folder"), args)
    }

    pub(crate) fn start_in(folder: TempDir, args: &[&str]) -> Mock {
        let mut command = Command::new(smtpmock());
        command.args(["--ready", "--capture", &path(&folder, "capture.jsonl")]);
        command.args(["--report-json", &path(&folder, "report.json")]).args(args);
        Mock { process: Process::start(&mut command), folder }
    }

    pub(crate) fn capture(&self) -> String {
        path(&self.folder, "capture.jsonl")
    }

    pub(crate) fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.capture()).expect("a capture");
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    fn captured(&self, fits: impl Fn(&Value) -> bool) -> u64 {
        self.records().iter().filter(|record| fits(record)).count() as u64
    }

    /// Stops the server and reads its report.
    pub(crate) fn report(self) -> Value {
        assert_eq!(self.process.stopped().code(), Some(0));
        json(&path(&self.folder, "report.json"))
    }

    fn load(&self, args: &str) -> Outcome {
        self.load_at("smtp", args)
    }

    /// The ready line.
    pub(crate) fn ready(&self) -> Value {
        serde_json::from_str(&self.process.ready_line).expect("JSON")
    }

    /// A load on the first listener of a kind in the ready line, verified.
    pub(crate) fn load_at(&self, kind: &str, args: &str) -> Outcome {
        let ready = self.ready();
        let address = ready[kind][0].as_str().expect("an address");
        let scheme = if kind.ends_with('s') { "smtps://" } else { "" };
        Load::at(&format!("{scheme}{address}")).with(args).arg("--verify").arg(&self.capture()).run()
    }
}

#[test]
fn both_sides_agree_to_the_message() {
    let mock = Mock::start(&[]);
    let outcome = mock.load("-c 8 --count 3000 --size 10..20KiB --threads 2").expect(0);
    assert_eq!(outcome.count("accepted"), 3000);
    assert_eq!(outcome.number("/verification/captured"), 3000);
    assert_eq!(outcome.number("/verification/intact"), 3000);
    assert_eq!(mock.captured(|record| record["msg"] == true), 3000);
}

#[test]
fn a_capture_without_message_texts_is_refused() {
    let outcome = Mock::start(&["--capture-content", "envelope"]).load("-c 1 --count 20");
    outcome.code_is(1);
    let reason = "capture.jsonl: 20 of its messages have no text, so that they can't be compared; start the server \
                  without --capture-content envelope\n";
    assert!(outcome.stderr.ends_with(reason), "{}", outcome.stderr);
}

#[test]
fn a_report_of_the_server_is_no_report_of_a_load() {
    let mock = Mock::start(&[]);
    let file = path(&mock.folder, "report.json");
    assert_eq!(mock.process.stopped().code(), Some(0));
    for arguments in [&["merge", &file][..], &["127.0.0.1:1", "--count", "1", "--baseline", &file]] {
        let outcome = plain(arguments);
        outcome.code_is(2);
        let reason =
            "report.json: a report of smtpmock, which `smtpmock merge` merges: expected a report of smtpload";
        assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
    }
}

#[test]
fn both_sides_agree_under_an_open_loop_with_a_session_per_message() {
    let mock = Mock::start(&[]);
    let outcome = mock
        .load(
            "--rate 300/s --arrivals poisson --count 600 --messages-per-session 1 --late-after 10s \
             --rcpts 3 --from {{seq}}@example.com --to {{rcpt}}.{{seq}}@example.com",
        )
        .expect(0);
    assert_eq!(outcome.count("accepted"), 600);
    assert_eq!(mock.captured(|record| record["msg"] == true), 600);
    assert_eq!(outcome.number("/latency/connect/ok/count"), outcome.number("/sessions/dialed"));
}

#[test]
fn both_sides_agree_on_what_was_refused() {
    let refused = "user3@example.com,user5@example.com,user77@example.com";
    let mock = Mock::start(&["--not-registered-emails", refused]);
    let outcome = mock.load("-c 3 --count 200 --to user{{seq}}@example.com").expect(0);
    assert_eq!(outcome.count("refused_5xx"), 3);
    assert_eq!(outcome.count("accepted"), 197);
    assert_eq!(mock.captured(|record| record["msg"] == true), 197);
    assert_eq!(outcome.number("/verification/unexpected/count"), 0);
}

#[test]
fn what_the_server_measured_is_what_the_sender_says() {
    let rules = [
        "connect odds=3% drop=rst",
        "mail odds=3% drop=fin",
        "rcpt odds=8% reply=\"450 4.2.1 Busy\"",
        "rcpt odds=4% reply=\"550 5.1.1 Nobody\"",
        "data odds=2% reply=\"421 4.3.2 Going\" drop=fin-after",
        "message odds=5% reply=\"451 4.3.0 Later\"",
        "message odds=3% drop=rst",
    ];
    let mut args = vec!["--seed=7"];
    rules.iter().for_each(|rule| args.extend(["--rule", rule]));
    let mock = Mock::start(&args);
    let outcome = mock.load("-c 8 --count 2000 --messages-per-session 10").expect(0);
    let report = mock.report();
    let measured =
        |name: &str| report["metrics"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"));
    let fired = |rule: usize| report["rules"][rule]["fired"].as_u64().expect("a number");
    let refused = |stage: &str| {
        let codes = report["refused"][stage].as_object().cloned().unwrap_or_default();
        codes.values().filter_map(Value::as_u64).sum::<u64>()
    };
    assert_eq!(measured("messages"), outcome.count("accepted"));
    assert_eq!(measured("sessions"), outcome.number("/sessions/dialed"));
    let refusals = refused("rcpt") + refused("data") + refused("message");
    assert_eq!(refusals, outcome.count("refused_4xx") + outcome.count("refused_5xx"));
    assert_eq!(report["refused"]["rcpt"]["550"].as_u64(), Some(outcome.count("refused_5xx")));
    assert_eq!(fired(0) + fired(1) + fired(6), outcome.count("aborted"));
    assert_eq!(measured("messages.refused"), refusals);
    assert_eq!(measured("messages.aborted"), fired(1) + fired(6));
    assert_eq!(measured("transactions"), measured("messages") + refusals + fired(1) + fired(6));
    for stage in ["rcpt", "data", "message"] {
        assert!(refused(stage) > 0, "the rules at {stage} never fired");
    }
    assert!(fired(0) > 0 && fired(1) > 0 && fired(6) > 0, "{report}");
}

#[test]
fn a_sender_that_never_tries_again_is_not_accused_of_it() {
    for rule in ["rcpt odds=10% reply=\"451 x\"", "mail odds=10% reply=\"451 x\""] {
        let mock = Mock::start(&["--seed=7", "--rule", rule]);
        let outcome = mock.load("-c 8 --count 2000 --from ann@example.com --to bob@example.com").expect(0);
        assert!(outcome.count("refused_4xx") > 100);
        let report = mock.report();
        let findings = report["findings"].as_array().expect("a list").iter();
        let names: Vec<_> = findings.map(|finding| finding["name"].as_str().expect("a name")).collect();
        assert!(!names.contains(&"retried-at-once"), "{rule}: {names:?}");
        let metrics = &report["metrics"];
        assert_eq!(metrics["retries.after"]["count"], 0, "{rule}");
        assert!(metrics["retries.ambiguous"].as_u64() > Some(100), "{rule}: {metrics}");
    }
}

#[test]
fn the_delays_of_the_server_are_what_the_phases_show() {
    let delays = ["helo", "mailfrom", "rcptto", "data", "message"];
    let flags: Vec<String> = delays
        .iter()
        .zip([10, 15, 20, 25, 30])
        .map(|(of, ms)| format!("--response-delay-{of}={ms}ms"))
        .collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mock = Mock::start(&flags);
    let outcome = mock.load("-c 4 --count 40 --messages-per-session 1").expect(0);
    for (phase, delay) in [("ehlo", 10.0), ("mail", 15.0), ("rcpt", 20.0), ("data", 25.0), ("dot", 30.0)] {
        check_delay(&outcome, phase, delay);
    }
}

/// The steps of the job in the README: their names and scripts.
fn steps_of_the_readme() -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("```yaml\n").expect("a job");
    let (job, _) = after.split_once("```").expect("the job's end");
    let mut steps: Vec<(String, String)> = Vec::new();
    for part in job.split("- name: ").skip(1) {
        let (name, rest) = part.split_once('\n').expect("a name");
        let (_, run) = rest.split_once("run: ").expect("a step runs something");
        let run = run.strip_prefix("|\n").unwrap_or(run);
        steps.push((name.trim().to_owned(), run.to_owned()));
    }
    steps
}

#[test]
fn the_job_in_the_readme_does_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = smtpmock().parent().expect("a folder");
    let search_path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let steps = steps_of_the_readme();
    let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["Install", "Start the server", "Send", "Agree on the number", "Compare with the baseline"]
    );
    for (name, run) in &steps {
        if name == "Install" {
            println!("not run: {name}; the programs are those just built");
            continue;
        }
        let output = Command::new("bash")
            .args(["-eu", "-o", "pipefail", "-c", run])
            .current_dir(folder.path())
            .env("PATH", &search_path)
            .env("MAX_REGRESSION", "0%")
            // The server outlives its step; its streams must not delay this test.
            .stdout(std::fs::File::create(folder.path().join("out")).expect("a file"))
            .stderr(std::fs::File::create(folder.path().join("err")).expect("a file"))
            .status()
            .expect("bash runs");
        let printed = std::fs::read_to_string(folder.path().join("err")).expect("a file");
        if !output.success() {
            // On a busy machine the generator may be too slow: only then, and the report states it.
            assert_eq!(output.code(), Some(12), "{name}: {printed}");
            assert_eq!(json(&path(&folder, "run.json"))["generator"]["saturated"], true, "{name}: {printed}");
        }
    }
    for file in ["run.json", "run.html", "run.hlog", "ci/smtp-baseline.json"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    let ready = json(&path(&folder, "smtpmock.json"));
    let pid = ready["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the server is there");
}
