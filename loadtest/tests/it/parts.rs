//! A run that is cut into parts: the parts together are the run of one machine.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::mock::Mock;
use crate::support::files::{self, path};
use crate::support::program::plain;
use crate::support::{Load, Outcome, Sink};

/// What a server has received: each message by its token, with its envelope.
fn received(mock: &Mock) -> BTreeMap<String, String> {
    let messages = mock.records().into_iter().filter(|record| record["msg"] == true);
    let mut all = BTreeMap::new();
    for record in messages {
        let text = record["msg_request"].as_str().expect("text");
        let (line, rest) = text.split_once("\r\n").expect("a token line");
        let envelope =
            format!("{} {}\n{rest}", record["mailfrom_request"], record["rcptto_request_response"]);
        assert_eq!(all.insert(line.to_owned(), envelope), None, "{line} came twice");
    }
    all
}

fn address(mock: &Mock) -> String {
    mock.ready()["smtp"][0].as_str().expect("an address").to_owned()
}

/// Runs these parts of a run at the same time, each verified against the captures.
fn run_parts(target: &str, args: &str, parts: &[&str], captures: &[String]) -> Vec<Outcome> {
    let start = |part: &&str| {
        let load = Load::at(target).with(args).arg("--part").arg(part);
        captures.iter().fold(load, |load, capture| load.arg("--verify").arg(capture)).spawn()
    };
    let children: Vec<_> = parts.iter().map(start).collect();
    children.into_iter().map(Outcome::after).collect()
}

/// The instant so many seconds ahead, as a user writes it in a shell.
pub(crate) fn ahead(seconds: u64) -> String {
    let date = Command::new("date").arg("+%s").output().expect("date runs").stdout;
    let now: u64 = String::from_utf8_lossy(&date).trim().parse().expect("seconds");
    (now + seconds).to_string()
}

#[test]
fn three_parts_send_what_one_machine_sends() {
    for load in
        ["--steps 50/s:500ms,400/s:500ms --arrivals poisson", "--rate 300/s --count 200", "-c 7 --count 200"]
    {
        let args = format!(
            "{load} --seed 5 --size 100..5000 --rcpts 2 --from {{{{seq}}}}@example.com \
             --to {{{{rcpt}}}}.{{{{seq}}}}.{{{{run}}}}@example.com"
        );
        let (cut, whole) = (Mock::start(&[]), Mock::start(&[]));
        let captures = [cut.capture()];
        let parts = run_parts(&address(&cut), &args, &["0/3", "1/3", "2/3"], &captures);
        let parts: Vec<Outcome> = parts.into_iter().map(|part| part.expect(0)).collect();
        let one = run_parts(&address(&whole), &args, &["0/1"], &[whole.capture()]).remove(0).expect(0);
        let sum = |pointer: &str| parts.iter().map(|part| part.number(pointer)).sum::<u64>();
        for pointer in ["/accounting/measured/accepted", "/settings/shape/connections"] {
            assert_eq!(sum(pointer), one.number(pointer), "{load}: {pointer}");
        }
        let (mine, theirs) = (received(&cut), received(&whole));
        assert!(mine == theirs, "{load}: {} and {} messages", mine.len(), theirs.len());
        for (index, part) in parts.iter().enumerate() {
            assert_eq!((part.number("/parts/0/index"), part.number("/parts/0/of")), (index as u64, 3));
            assert_eq!(part.report["settings"]["runs"], one.report["settings"]["runs"]);
            assert_eq!(part.number("/verification/captured"), part.count("accepted"));
            assert_eq!(part.number("/verification/foreign"), 0, "messages of other parts are none");
        }
    }
}

#[test]
fn parts_start_together_at_an_instant() {
    let sink = Sink::usual();
    // On a busy machine the first instant may have passed when the programs have started.
    for lead in [3, 10, 60] {
        let start = ahead(lead);
        let args = format!("--rate 100/s --count 20 --seed 1 --start-at {start}");
        let parts = run_parts(&sink.address(), &args, &["0/2", "1/2"], &[]);
        if parts.iter().any(|part| part.code == 2) {
            assert!(parts.iter().any(|part| part.stderr.contains(" ago by the clock")), "{parts:?}");
            continue;
        }
        for part in parts {
            let part = part.expect(0);
            assert_eq!(part.number("/started_at_ms").to_string(), format!("{start}000"));
            let shown = part.report["parts"][0]["start_at"].as_str().expect("an instant");
            assert!(part.stderr.contains(&format!("starts at {shown}, in ")), "{}", part.stderr);
            assert!(part.report["parts"][0]["started_late_ms"].as_f64() >= Some(0.0));
        }
        return;
    }
    panic!("no instant was ahead");
}

#[test]
fn the_parts_by_ssh_in_the_readme_are_one_run() {
    let sink = Sink::usual();
    let folder = tempfile::tempdir().expect("a folder");
    // A machine is a shell here.
    let ssh = folder.path().join("ssh");
    std::fs::write(&ssh, "#!/bin/sh\nshift\nexec sh -c \"$*\"\n").expect("a script");
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let programs = Path::new(env!("CARGO_BIN_EXE_smtpload")).parent().expect("a folder");
    let search_path = std::env::var("PATH").unwrap_or_default();
    let search_path = format!("{}:{}:{search_path}", folder.path().display(), programs.display());
    let (_, after) = include_str!("../../README.md").split_once("With plain `ssh`").expect("a section");
    let script = after.split("```").nth(1).and_then(|block| block.strip_prefix("sh\n")).expect("a script");
    for lead in [3, 10, 60] {
        let script = script
            .replace("mx.example.com:25", &sink.address())
            .replace("+ 20", &format!("+ {lead}"))
            .replace("--rate 90000/s --duration 60s", "--rate 100/s --count 30 --late-after 60s");
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &script]).current_dir(folder.path()).env("PATH", &search_path);
        let output = shell.output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains(" ago by the clock") {
            continue;
        }
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{shown}{said}");
        assert!(
            shown.contains("accepted    30\n") && shown.contains("part        2/3, started at "),
            "{shown}"
        );
        return;
    }
    panic!("no instant was ahead");
}

#[test]
fn what_is_no_part_of_a_run_is_refused_with_what_is_right() {
    for (args, right) in [
        ("--part 5/5 --seed 1", "parts count from 0, so the last is 4/5"),
        ("--part 2/5", "--part 2/5: --seed is missing"),
        ("--part 0/3 --seed 1 -c 2", "--connections 2 with --part 0/3"),
        ("--part 0/3 --seed 1 --count 2", "--count 2 with --part 0/3"),
        ("--part 0/2 --seed 1 -c 3 --threads 3", "at most 2 threads"),
        ("--rate 3000000/s --part 0/2 --seed 1", "at most 1000000/s"),
        ("--rate 1/s --duration 2s --part 0/3 --seed 1", "--part 0/3: fewer than 3 messages are due"),
        ("--start-at +10s", "$(($(date +%s) + 10))"),
        ("--start-at 2001-01-01T00:00:00Z", " ago by the clock of this machine"),
    ] {
        let args: Vec<&str> = ["127.0.0.1:1"].into_iter().chain(args.split(' ')).collect();
        let outcome = plain(&args);
        outcome.code_is(2);
        assert!(outcome.stderr.contains(right), "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_start() {
    let sink = Sink::usual();
    let child = Load::on(&sink).with("--count 1 --start-at").arg(&ahead(3000)).spawn();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    // Before it listens, the signal ends it at once.
    let mut child = child;
    let mut said = String::new();
    let err = child.stderr.as_mut().expect("piped");
    BufReader::new(err).read_line(&mut said).expect("a line");
    assert!(said.contains("starts at "), "{said}");
    kill_process(pid, Signal::INT).expect("it runs");
    let outcome = Outcome::after(child);
    outcome.code_is(1);
    assert!(outcome.stderr.contains("the run did not start"), "{}", outcome.stderr);
    assert_eq!(sink.sessions(), 0);
}

/// Runs these parts one after the other, each with a report in a file of its own, and returns the files.
fn reports(folder: &TempDir, sink: &Sink, args: &str, parts: &[&str]) -> Vec<String> {
    let run = |part: &&str| {
        let file = path(folder, &format!("{}.json", part.replace('/', "of")));
        let outcome = Load::into_file(sink, &file).with(args).arg("--part").arg(part).run();
        outcome.code_is(0);
        file
    };
    parts.iter().map(run).collect()
}

fn merge(files: &[&String], more: &[&str]) -> Outcome {
    let files: Vec<&str> = files.iter().map(|file| file.as_str()).collect();
    plain(&[&["merge", "--json", "-"], &files[..], more].concat())
}

#[test]
fn the_merged_parts_are_the_whole_run_and_gates_are_judged_on_it() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::usual());
    let args = "--steps 40/s:500ms,80/s:500ms --connections 7 --seed 3";
    let files = reports(&folder, &sink, args, &["0/3", "1/3", "2/3", "0/1"]);
    let one = files::json(&files[3]);
    let whole = merge(&[&files[1], &files[0], &files[2]], &["--expect", "accepted == 60"]).expect(0);
    for pointer in
        ["/accounting/measured/accepted", "/settings/shape/connections", "/latency/message/ok/count"]
    {
        assert_eq!(whole.report.pointer(pointer), one.pointer(pointer), "{pointer}");
    }
    for pointer in ["/settings/shape/load", "/settings/runs", "/settings/seed", "/settings/duration_s"] {
        assert_eq!(whole.report.pointer(pointer), one.pointer(pointer), "{pointer}");
    }
    for (step, rate) in [(0, 40.0), (1, 80.0)] {
        let row = |report: &Value, name: &str| report["steps"][step][name].clone();
        assert_eq!(row(&whole.report, "rate_from"), rate);
        assert_eq!(row(&whole.report, "length_s"), row(&one, "length_s"));
        assert_eq!(
            whole.report["steps"][step]["accounting"]["started"],
            one["steps"][step]["accounting"]["started"]
        );
    }
    let indexes: Vec<_> =
        whole.report["parts"].as_array().expect("a list").iter().map(|part| part["index"].clone()).collect();
    assert_eq!((indexes, &whole.report["missing"]), (vec![0.into(), 1.into(), 2.into()], &Value::Null));
    merge(&[&files[0], &files[1], &files[2]], &["--fail-if", "accepted > 59"]).expect(10);
    // A sum can be merged with the rest.
    let some = path(&folder, "some.json");
    plain(&["merge", &files[0], &files[2], "--json", &some]).code_is(1);
    // Steps are not judged without all parts: less than their rate was offered.
    for file in [&files[0], &some] {
        let report = files::json(file);
        assert_eq!(report["steps"][1]["not_judged"], "parts are missing");
        assert_eq!((&report["steps"][1]["kept"], report.get("knee")), (&false.into(), None));
    }
    let again = merge(&[&some, &files[1]], &["--fail-if", "errors > 90%"]).expect(0);
    assert_eq!((&again.report["knee"], again.report["steps"][1].get("not_judged")), (&80.0.into(), None));
    assert_eq!(again.report["latency"], whole.report["latency"]);
}

#[test]
fn parts_that_are_missing_or_come_twice_are_named() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::usual());
    let files = reports(&folder, &sink, "-c 4 --count 12 --seed 3", &["0/4", "2/4"]);
    let some = merge(&[&files[0], &files[1]], &["--html", &path(&folder, "page.html")]).expect(1);
    assert_eq!((some.count("accepted"), &some.report["missing"][0]["parts"]), (6, &json!([1, 3])));
    let run = some.report["settings"]["runs"][0].as_str().expect("an id");
    let named = format!("1/4, 3/4 of run {run}");
    assert!(some.stderr.contains(&named), "{}", some.stderr);
    let page = std::fs::read_to_string(path(&folder, "page.html")).expect("a page");
    assert!(page.contains(&named));
    let shown = plain(&["merge", &files[0], &files[1]]);
    assert!(shown.stdout.contains(&format!("MISSING     parts {named}")), "{}", shown.stdout);
    assert!(!shown.stderr.contains("the same --seed"), "{}", shown.stderr);
    let twice = merge(&[&files[0], &files[1], &files[0]], &[]);
    twice.code_is(2);
    assert!(twice.stderr.contains(&format!("part 0/4 of run {run} is in two")), "{}", twice.stderr);
    let other = reports(&folder, &sink, "-c 4 --count 12 --seed 3", &["1/3"]);
    let refused = merge(&[&files[0], &other[0]], &[]);
    refused.code_is(2);
    let cuts = "into 4 parts in one report and into 3 in another";
    assert!(refused.stderr.contains(cuts), "{}", refused.stderr);
}

#[test]
fn parts_with_another_seed_are_recognised_as_those_of_one_run() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::usual());
    let of =
        |seed: u8, parts: &[&str]| reports(&folder, &sink, &format!("-c 3 --count 6 --seed {seed}"), parts);
    let [one, other] = [of(1, &["0/3", "2/3"]), of(2, &["1/3"])];
    let all = merge(&[&one[0], &other[0], &one[1]], &[]);
    all.code_is(1);
    let hint = "all parts are there once, as of one run: give each the same --seed and --start-at";
    assert!(all.stderr.contains("parts are missing: 1/3 of run "), "{}", all.stderr);
    assert!(all.stderr.contains(hint), "{}", all.stderr);
    let some = merge(&[&one[0], &other[0]], &[]);
    some.code_is(1);
    assert!(!some.stderr.contains(hint), "{}", some.stderr);
}

#[test]
fn parts_of_other_settings_or_of_another_message_file_are_refused_with_what_differs() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::usual());
    let file = path(&folder, "msg.eml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    write("Subject: x\r\n\r\none\r\n");
    let args = format!("-c 4 --count 12 --seed 3 --message {file}");
    let first = reports(&folder, &sink, &args, &["0/4"]).remove(0);
    for (more, differs) in [
        // Messages of the first nanosecond are not measured.
        ("--warmup 1ns", "their warm-up:"),
        ("--to other@example.com", "their --to:"),
        ("--pipelining", "their --pipelining:"),
    ] {
        let other = reports(&folder, &sink, &format!("{args} {more}"), &["1/4"]);
        let refused = merge(&[&first, &other[0]], &[]);
        refused.code_is(2);
        assert!(refused.stderr.contains(differs), "{}", refused.stderr);
    }
    // Their shares are those of the same numbers, or of 13 and 5.
    for (from, to, differs) in
        [("--count 12", "--count 13", "their --count:"), ("-c 4", "-c 5", "their --connections:")]
    {
        let other = reports(&folder, &sink, &args.replace(from, to), &["1/4"]);
        let refused = merge(&[&other[0], &first], &[]);
        refused.code_is(2);
        assert!(refused.stderr.contains(differs), "{}", refused.stderr);
    }
    // What may differ: how long a process waits, and its threads.
    let other =
        reports(&folder, &sink, &format!("{args} --timeout 9s --grace 9s --bind 127.0.0.1"), &["1/4"]);
    assert_eq!(merge(&[&first, &other[0]], &[]).expect(1).count("accepted"), 6);
    // The same length.
    write("Subject: x\r\n\r\ntwo\r\n");
    let other = reports(&folder, &sink, &args, &["1/4"]);
    let refused = merge(&[&first, &other[0]], &[]);
    refused.code_is(2);
    assert!(refused.stderr.contains(&format!("differ in their --message {file}:")), "{}", refused.stderr);
}

#[test]
fn parts_of_older_versions_without_a_digest_are_compared_in_what_their_reports_state() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::usual());
    let args = "-c 4 --count 12 --seed 3";
    let older = |more: &str, part: &str| {
        let file = reports(&folder, &sink, &format!("{args} {more}"), &[part]).remove(0);
        let mut report = files::json(&file);
        assert!(report.as_object_mut().and_then(|report| report.remove("plans")).is_some());
        std::fs::write(&file, report.to_string()).expect("a file");
        file
    };
    let first = older("", "0/4");
    let newer = reports(&folder, &sink, args, &["1/4"]).remove(0);
    assert_eq!(merge(&[&first, &newer, &older("", "2/4")], &[]).expect(1).count("accepted"), 9);
    let other = older("--warmup 1ns", "3/4");
    for one in [&first, &newer] {
        let refused = merge(&[&other, one], &[]);
        refused.code_is(2);
        assert!(refused.stderr.contains("their warm-up:"), "{}", refused.stderr);
    }
}

#[test]
fn parts_of_several_runs_are_merged_in_any_order() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::usual());
    let run = |name: &str, args: &str| -> Vec<String> {
        let files = reports(&folder, &sink, args, &["0/3", "1/3", "2/3"]);
        let renamed = |file: &String| {
            let to = format!("{file}.{name}");
            std::fs::rename(file, &to).expect("a file");
            to
        };
        files.iter().map(renamed).collect()
    };
    let (a, b) = (run("a", "-c 3 --count 9 --seed 21"), run("b", "-c 6 --count 12 --seed 22"));
    let whole = merge(&[&a[0], &a[1], &a[2], &b[0], &b[1], &b[2]], &[]).expect(0);
    assert_eq!((whole.count("accepted"), whole.report["parts"].as_array().map(Vec::len)), (21, Some(6)));
    let again = merge(&[&b[2], &a[1], &b[0], &a[0], &a[2], &b[1]], &[]).expect(0);
    for field in ["accounting", "latency", "parts", "plans"] {
        assert_eq!(whole.report[field], again.report[field], "{field}");
    }
    // A part is compared with those of its own run, and sums with sums.
    let both = path(&folder, "both.json");
    plain(&["merge", &a[0], &b[0], &b[1], "--json", &both]).code_is(1);
    let rest = merge(&[&both, &a[1], &a[2], &b[2]], &[]).expect(0);
    assert_eq!(rest.report["latency"], whole.report["latency"]);
    let other = run("c", "-c 3 --count 12 --seed 21");
    let refused = merge(&[&both, &other[1]], &[]);
    refused.code_is(2);
    let id = whole.report["plans"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|plan| plan["run"] == files::json(&a[0])["settings"]["runs"][0]);
    let id = id.expect("its run")["run"].as_str().expect("an id").to_owned();
    let differs = format!("the parts of run {id} differ in their --count:");
    assert!(refused.stderr.contains(&differs), "{}", refused.stderr);
}

#[test]
fn each_part_finds_its_own_messages_in_the_captures_of_all_servers() {
    let (one, other) = (Mock::start(&[]), Mock::start(&[]));
    let captures = [one.capture(), other.capture()];
    let folder = tempfile::tempdir().expect("a folder");
    // Two parts of a run to two servers: each part goes to one of them.
    let targets = [address(&one), address(&other)];
    let send = |part: &str, file: &str, captures: &[String]| {
        let targets = ["--target", &targets[0], "--target", &targets[1]];
        let args = ["-c", "4", "--count", "40", "--seed", "4", "--part", part, "--json", file];
        let args = targets.into_iter().chain(args);
        let verified = captures.iter().flat_map(|capture| ["--verify", capture]);
        plain(&args.chain(verified).collect::<Vec<_>>())
    };
    let names = ["first", "second", "again"].map(|name| path(&folder, name));
    send("0/2", &names[0], &captures).code_is(0);
    send("1/2", &names[1], &captures).code_is(0);
    let found = files::json(&names[1])["verification"].clone();
    assert_eq!((&found["captured"], &found["of_other_parts"]), (&json!(20), &json!(20)));
    let both = merge(&[&names[0], &names[1]], &[]).expect(0).report["verification"].clone();
    assert_eq!(
        (&both["captured"], &both["intact"], &both["of_other_parts"]),
        (&json!(40), &json!(40), &Value::Null)
    );
    // Its messages, one of them twice, and those of the first part with faults.
    let [first, second] = captures.each_ref().map(|file| std::fs::read_to_string(file).expect("a capture"));
    let is_message = |line: &&str| line.contains("\"msg\":true");
    let twice = second.lines().find(is_message).expect("a message");
    let changed = first.replacen("quick brown", "quick black", 1);
    std::fs::write(&captures[0], format!("{changed}{first}{second}{twice}\n")).expect("a file");
    let again = send("1/2", &names[2], &captures[..1]);
    again.code_is(10);
    assert!(again.stderr.contains("what was sent: 1 duplicated ("), "only its own: {}", again.stderr);
    let twice = plain(&[&address(&one), "--verify", &captures[0], "--verify", &captures[0]]);
    twice.code_is(1);
    assert!(twice.stderr.contains("given twice"), "{}", twice.stderr);
}
