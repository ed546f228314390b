//! The output about a run: reports at the end and on demand, progress, interval logs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::Command;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::{Value, json};

use crate::support::client::{Client, MESSAGE};
use crate::support::process::{Ended, Process, Signal};
use crate::support::program::{command, run, start};
use crate::support::terminal::on_terminal;

/// Sends this many messages, each over its own connection.
fn send(program: &Process, count: u64) {
    for _ in 0..count {
        let mut client = Client::greeted(program.address());
        client.deliver(MESSAGE);
        client.quit();
    }
}

/// A histogram in the encoding of reports and interval logs.
fn decode(text: &str) -> Histogram<u64> {
    let bytes = BASE64.decode(text).expect("base64");
    Deserializer::new().deserialize(&mut bytes.as_slice()).expect("HdrHistogram's form")
}

/// The figure of this name in a report as text.
fn figure<'r>(report: &'r str, name: &str) -> Option<&'r str> {
    let mut lines = report.lines().map(|line| line.split_whitespace());
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()).flatten())
}

#[test]
fn the_report_counts_what_was_sent() {
    let program = start(["--report", "--expect", "messages == 3"]);
    send(&program, 3);
    let ended = program.stopped();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let count = |name| figure(&ended.stdout, name);
    assert_eq!(
        (count("messages"), count("think.mail"), count("sessions")),
        (Some("3"), Some("3"), Some("3"))
    );
    assert!(ended.stdout.contains("messages == 3"), "{ended:?}");
}

#[test]
fn without_report_nothing_is_printed() {
    let program = start([""; 0]);
    send(&program, 1);
    let ended = program.stopped();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
}

#[test]
fn the_json_report_has_the_same_counts_the_settings_and_the_verdicts() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report.json");
    let flag = format!("--report-json={}", path.display());
    let expectations = ["--expect=messages == 3", "--expect=sessions == 2"];
    let program = start([&flag, "--seed=7", expectations[0], expectations[1]]);
    assert_eq!(fs::read_to_string(&path).expect("it is created at the start"), "");
    send(&program, 3);
    let ended = program.stopped();
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(10), ""), "{ended:?}");
    let report: Value = serde_json::from_str(&fs::read_to_string(&path).expect("a report")).expect("JSON");
    assert_eq!(report["metrics"]["messages"], 3);
    assert_eq!(report["metrics"]["sessions"], 3);
    let encoded = report["metrics"]["think.rcpt"]["histogram"].as_str().expect("a histogram");
    assert_eq!(decode(encoded).len(), 3);
    let settings = &report["runs"][0]["settings"];
    assert_eq!(
        (&settings["seed"], &settings["expect"]),
        (&json!("7"), &json!("messages == 3\nsessions == 2"))
    );
    let verdicts = json!([
        {"expectation": "messages == 3", "found": "3", "kept": true},
        {"expectation": "sessions == 2", "found": "3", "kept": false},
    ]);
    assert_eq!(report["verdicts"], verdicts);
}

#[test]
fn the_json_report_goes_to_standard_output_too() {
    let program = start(["--report-json=-", "--exit-after=1message"]);
    send(&program, 1);
    let report: Value = serde_json::from_str(&program.ended().stdout).expect("JSON and nothing else");
    assert_eq!(report["metrics"]["messages"], 1);
}

#[test]
fn the_json_report_was_mixed_with_the_text_on_standard_output() {
    let ended = run(["--report", "--report-json=-", "--exit-after=10ms"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.complaint().contains("--report and --report-json both write to standard output: "));
}

#[test]
fn reports_of_several_runs_are_added_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    for (name, count) in [("a", 1), ("b", 2)] {
        let program = start([format!("--report-json={}", path(name))]);
        send(&program, count);
        assert_eq!(program.stopped().code(), Some(0));
    }
    let [a, b] = ["a", "b"].map(|name| format!("--merge-reports={}", path(name)));
    let ended = run([&a, &b]);
    assert_eq!((ended.code(), figure(&ended.stdout, "messages")), (Some(0), Some("3")), "{ended:?}");
    let ended = run([&a, &b, "--report-json=-", "--expect=messages == 4"]);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON and nothing else");
    assert_eq!((ended.code(), &report["metrics"]["messages"]), (Some(10), &json!(3)), "{ended:?}");
    // One after the other: the rate is that of the sum of their durations, without the time between them.
    let seconds = |run: &Value| run["ends_s"].as_f64().expect("a time");
    let seconds: f64 = report["runs"].as_array().expect("runs").iter().map(seconds).sum();
    let ended = run([&a, &b, "--report-json=-", "--expect=rate(messages) > 0"]);
    let rate = format!("expected rate(messages) > 0: passed, {:.1}/s", 3.0 / seconds);
    assert_eq!((ended.code(), ended.stderr.trim_end()), (Some(0), format!("smtpmock: {rate}").as_str()));
    let ended = run([&a, &b, "--port=2525"]);
    let reason = "--merge-reports starts no server: --port has no effect with it: expected only --report, ";
    assert!(ended.code() == Some(2) && ended.complaint().contains(reason), "{ended:?}");
    assert_eq!(run([&a, &a]).code(), Some(2), "the same run twice");
    assert_eq!(run([&a, "--merge-reports=/nonexistent"]).code(), Some(2));
}

#[test]
fn reports_of_running_servers_are_added_up_by_their_urls() {
    let programs = [2, 3].map(|count| {
        let program = start(["--http=0", "--http-token=secret"]);
        send(&program, count);
        program
    });
    let urls = programs.each_ref().map(|program| {
        let ready: Value = serde_json::from_str(&program.ready_line).expect("JSON");
        ready["http"][0].as_str().expect("a URL").to_owned()
    });
    let merge = |token: &str, urls: &[&str]| {
        let arguments = urls.iter().map(|url| format!("--merge-reports={url}"));
        Ended::of(command(arguments).env("SMTPMOCK_HTTP_TOKEN", token))
    };
    let whole = format!("{}/v1/report", urls[1]);
    let ready: Value = serde_json::from_str(&programs[0].ready_line).expect("JSON");
    let smtp = format!("http://{}", ready["smtp"][0].as_str().expect("an address"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("an address"));
    let ended = merge("secret", &[&urls[0], &whole]);
    assert_eq!((ended.code(), figure(&ended.stdout, "messages")), (Some(0), Some("5")), "{ended:?}");
    for (token, url, reason) in [
        ("", urls[0].as_str(), "it wants its token: set SMTPMOCK_HTTP_TOKEN"),
        ("secret", &format!("{}/v1/other", urls[0]), "404"),
        ("secret", "http://", "expected the URL of a server"),
        ("secret", "http://127.0.0.1:0", "expected the URL of a server"),
        ("secret", "https://127.0.0.1:1", "https is not supported"),
        ("secret", "http://127.0.0.1:1", "refused"),
        ("secret", &smtp, "it does not speak HTTP: \"220 "),
        ("secret", &silent, "no reply in 5 s"),
    ] {
        let ended = merge(token, &[url]);
        assert!(ended.code() == Some(2) && ended.complaint().contains(reason), "{url}: {ended:?}");
    }
}

#[test]
fn the_html_report_is_one_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report.html");
    let program = start([format!("--report-html={}", path.display())]);
    send(&program, 1);
    assert_eq!(program.stopped().code(), Some(0));
    let page = fs::read_to_string(&path).expect("a page");
    assert!(page.contains("<html") && page.contains("</html>") && page.contains("think.mail"), "{page}");
}

#[test]
fn the_interval_log_contains_all_messages() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("run.hlog");
    let mut program = start([format!("--hlog={}", path.display()), "--progress".to_owned()]);
    send(&program, 2);
    // The following messages belong to another interval.
    program.wait_for_error("2 messages");
    send(&program, 3);
    assert_eq!(program.stopped().code(), Some(0));
    let log = fs::read(&path).expect("a log");
    let (mut counts, mut starts) = (BTreeMap::<String, u64>::new(), Vec::new());
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.expect("HdrHistogram's form") else { continue };
        let tag = interval.tag().expect("a tag").as_str();
        *counts.entry(tag.to_owned()).or_default() += decode(interval.encoded_histogram()).len();
        if tag == "think.mail" {
            starts.push(interval.start_timestamp());
        }
    }
    assert_eq!((counts["think.mail"], counts["service.message"]), (5, 5), "{counts:?}");
    assert!(starts.len() >= 2 && starts.is_sorted(), "{starts:?}");
}

#[test]
fn a_report_is_printed_on_demand_and_the_run_continues() {
    let mut program = start([""; 0]);
    send(&program, 1);
    program.signal(Signal::USR1);
    program.wait_for_output("1 messages accepted");
    send(&program, 2);
    program.signal(Signal::USR1);
    program.wait_for_output("3 messages accepted");
    assert_eq!(program.stopped().code(), Some(0));
}

#[test]
fn progress_is_a_line_on_standard_error_while_it_runs() {
    let mut program = start(["--progress"]);
    send(&program, 1);
    let line = program.wait_for_error("1 messages");
    assert!(!line.contains(['\r', '\x1b']), "{line:?}");
    assert_eq!(program.stopped().code(), Some(0));
}

#[test]
fn progress_on_a_terminal_is_one_line_that_is_rewritten() {
    let program = env!("CARGO_BIN_EXE_smtpmock");
    let shown = on_terminal(&format!("{program} --progress --exit-after=10ms --expect messages==0"));
    let Some(shown) = shown else { return };
    let (lines, verdict) = shown.split_once('\n').expect("a line end behind the progress");
    assert!(lines.starts_with("\r\x1b[K\x1b[?7l") && lines.trim_end().ends_with("\x1b[?7h"), "{shown:?}");
    // The cursor stays at the start of the line: if the terminal is made narrower it is still there, and all the lines that
    // the text was wrapped into are erased.
    assert!(lines.contains("\x1b[J") && lines.contains("\x1b[?7h\r"), "{shown:?}");
    assert_eq!(verdict.trim_end(), "smtpmock: expected messages==0: passed, 0");
}

#[test]
fn on_a_terminal_it_printed_nothing() {
    let program = env!("CARGO_BIN_EXE_smtpmock");
    let Some(shown) = on_terminal(&format!("{program} --exit-after=10ms")) else { return };
    let (first, rest) = shown.split_once("\r\n").expect("lines");
    let address = first.strip_prefix("smtpmock 4.0.0 listens on ").and_then(|rest| rest.split(';').next());
    assert!(address.is_some_and(|address| address.parse::<SocketAddr>().is_ok()), "{shown}");
    assert!(first.contains("Ctrl-C stops it"), "{shown}");
    assert!(rest.contains(&format!("curl -T - smtp://{} \\", address.expect("an address"))), "{shown}");
    // If another output shows it, or other output is printed, there is nothing else.
    for quiet in ["--ready-file=/dev/null/x", "--report-json=- | head -c 1", "2>&1 | head"] {
        let shown = on_terminal(&format!("{program} --exit-after=10ms {quiet}")).expect("a terminal");
        assert!(!shown.contains("Ctrl-C"), "{shown}");
    }
}

#[test]
fn a_report_on_demand_begins_on_its_own_line_on_a_terminal() {
    let program = env!("CARGO_BIN_EXE_smtpmock");
    let directory = tempfile::tempdir().expect("a directory");
    let ready = directory.path().join("ready").display().to_string();
    // Before it is ready it does not handle the signal.
    let command = format!(
        "{program} --progress --ready-file {ready} --exit-after 1s & until [ -e {ready} ]; do sleep 0.02; done; \
         kill -USR1 $!; wait $!"
    );
    let Some(shown) = on_terminal(&command) else { return };
    let report = shown.find(concat!("smtpmock ", env!("CARGO_PKG_VERSION"))).expect("a report");
    assert!(shown[..report].ends_with('\n'), "{shown:?}");
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    for flag in ["--report-json=/dev/full", "--report-html=/dev/full", "--hlog=/dev/full"] {
        let ended = run([flag, "--exit-after=10ms"]);
        assert_eq!(ended.code(), Some(1), "{flag}: {ended:?}");
        assert!(ended.complaint().contains("to /dev/full: "), "{flag}: {ended:?}");
    }
}

#[test]
fn an_interval_log_that_can_no_longer_be_written_ends_the_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    let reader = thread::spawn({
        let path = path.clone();
        move || File::open(path)
    });
    let program = start([format!("--hlog={}", path.display())]);
    drop(reader.join().expect("a thread"));
    let ended = program.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.complaint().contains(&format!("can't write the interval log to {}", path.display())));
}
