//! Output files: never two in one file, never incomplete, and no silent failure.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{Client, MESSAGE};
use crate::support::process::{Ended, Process, Signal};
use crate::support::program::{command, run, start, start_command};
use crate::support::waiting::eventually;

fn folder() -> (TempDir, impl Fn(&str) -> String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, move |name| path.join(name).display().to_string())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).expect("readable")
}

/// The program in a shell, which can redirect and limit it: `$0` is the program, and these are its arguments.
fn shell(script: &str, arguments: &[&str]) -> Command {
    let program = command([""; 0]);
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program.get_program()).args(arguments);
    shell
}

/// Sends this many messages.
fn send(program: &Process, count: usize) {
    let mut client = Client::greeted(program.address());
    (0..count).for_each(|_| client.deliver(MESSAGE));
    client.quit();
}

/// Number of complete records.
fn records(path: &str) -> usize {
    let captured = read(path);
    let lines = captured.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record"));
    lines.filter(|record| record["is_consistent"] == true).count()
}

/// Asserts that nothing is started, the file is unchanged, and both flags are named.
fn refuses(arguments: &[&str], untouched: &str, flags: [&str; 2]) {
    let before = read(untouched);
    let ended = run(arguments);
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
    for flag in flags {
        assert!(ended.complaint().contains(flag), "{arguments:?}: {ended:?}");
    }
    assert_eq!(read(untouched), before, "{arguments:?}");
}

#[test]
fn two_outputs_in_one_file_under_any_names_destroyed_records_with_exit_code_0() {
    let (_folder, path) = folder();
    let (capture, link) = (path("s.jsonl"), path("link"));
    fs::write(&capture, "of an earlier run\n").expect("writable");
    symlink(&capture, &link).expect("a link");
    for second in [&capture, &path("./s.jsonl"), &link] {
        for flag in ["--report-json", "--report-html", "--hlog"] {
            refuses(&["--capture", &capture, flag, second], &capture, ["--capture", flag]);
        }
    }
    refuses(&["--capture", &capture, "--ready-file", &capture], &capture, ["--capture", "--ready-file"]);
    let config = path("c.toml");
    fs::write(&config, "records = \"message\"\n").expect("writable");
    refuses(&["--config", &config, "--capture", &config], &config, ["--config", "--capture"]);
}

#[test]
fn a_merged_report_does_not_overwrite_its_inputs() {
    let (_folder, path) = folder();
    let report = path("r.json");
    assert_eq!(run(["--exit-after=10ms", "--report-json", &report]).code(), Some(0));
    refuses(
        &["--merge-reports", &report, "--report-json", &report],
        &report,
        ["--merge-reports", "--report-json"],
    );
}

#[test]
fn standard_output_redirected_to_an_output_is_the_same_file() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    for (flag, arguments) in [
        ("--log", ["--log", "--capture"]),
        ("--report", ["--report", "--capture"]),
        ("--report-json", ["--report-json=-", "--capture"]),
    ] {
        let script = format!("exec \"$0\" \"$@\" > {capture}");
        let ended = Ended::of(&mut shell(&script, &[arguments[0], arguments[1], &capture]));
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(ended.complaint().contains(flag) && ended.complaint().contains("--capture"), "{ended:?}");
    }
}

#[test]
fn progress_on_a_standard_error_that_is_the_capture_overwrote_its_records() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    for flag in ["--capture", "--report-json"] {
        let script = format!("exec \"$0\" \"$@\" 2> {capture}");
        let ended = Ended::of(&mut shell(&script, &["--progress", flag, &capture]));
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        let complaint = read(&capture);
        assert!(complaint.contains(flag) && complaint.contains("standard error"), "{complaint}");
    }
    let script = "exec \"$0\" \"$@\" 2> /dev/null";
    let ended = Ended::of(&mut shell(script, &["--exit-after=1ms", "--report-json=/dev/null"]));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[test]
fn a_second_server_with_the_same_capture_is_refused_and_the_first_loses_nothing() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    let arguments = ["--records=message", "--capture", &capture];
    let first = start(arguments);
    send(&first, 2);
    let second = run(arguments);
    assert_eq!(second.code(), Some(1), "{second:?}");
    let complaint = second.complaint();
    assert!(complaint.contains(&capture) && complaint.contains("has it locked"), "{complaint}");
    if cfg!(target_os = "linux") {
        assert!(complaint.contains(&format!("process {} (smtpmock)", first.pid())), "{complaint}");
    }
    send(&first, 2);
    assert_eq!((first.stopped().code(), records(&capture)), (Some(0), 4));
    // No server uses it any more, and a run begins with an empty capture.
    assert_eq!((start(arguments).stopped().code(), read(&capture).as_str()), (Some(0), ""));
}

#[test]
fn a_failed_start_truncates_no_file() {
    let (_folder, path) = folder();
    let (capture, report) = (path("s.jsonl"), path("r.json"));
    for file in [&capture, &report] {
        fs::write(file, "of an earlier run\n").expect("writable");
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    assert_eq!(run(["--port", &port, "--capture", &capture, "--report-json", &report]).code(), Some(1));
    assert_eq!([read(&capture), read(&report)], ["of an earlier run\n"; 2]);
    let ready = path("missing/ready");
    assert_eq!(
        run(["--ready-file", &ready, "--capture", &capture, "--report-json", &report]).code(),
        Some(1)
    );
    assert_eq!([read(&capture), read(&report)], ["of an earlier run\n"; 2]);
    let http = format!("127.0.0.1:{port}");
    assert_eq!(run(["--http", &http, "--report-json", &report]).code(), Some(1));
    assert_eq!(read(&report), "of an earlier run\n");
}

#[test]
fn any_number_of_outputs_may_be_discarded() {
    let null = "/dev/null";
    let arguments = ["--capture", null, "--report-json", null, "--hlog", null, "--exit-after=10ms"];
    assert_eq!(run(arguments).code(), Some(0));
}

#[test]
fn a_truncated_or_removed_capture_was_reported_as_complete() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    let ended_after = |tamper: &dyn Fn()| {
        let program = start(["--records=message", "--capture", &capture]);
        send(&program, 2);
        eventually("two records", || read(&capture).lines().count() == 2);
        tamper();
        let ended = program.stopped();
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        ended.complaint().to_owned()
    };
    let complaint = ended_after(&|| fs::write(&capture, "").expect("writable"));
    assert!(
        complaint.contains("the capture is incomplete") && complaint.contains("truncated"),
        "{complaint}"
    );
    let complaint = ended_after(&|| fs::remove_file(&capture).expect("a file"));
    assert!(complaint.contains("the capture is incomplete") && complaint.contains("removed"), "{complaint}");
    let complaint = ended_after(&|| {
        fs::write(path("other"), "").expect("writable");
        fs::rename(path("other"), &capture).expect("a file");
    });
    assert!(complaint.contains("the capture is incomplete") && complaint.contains("replaced"), "{complaint}");
}

#[test]
fn a_removed_or_replaced_folder_of_mails_was_reported_as_written() {
    let (_folder, path) = folder();
    for (form, resting) in [("maildir", "Mail/new"), ("eml", "Mail")] {
        for (tamper, word) in
            [("rm -r \"$0\"", "removed"), ("mv \"$0\" \"$0.1\" && mkdir \"$0\"", "replaced")]
        {
            let program = start(["--capture", &path("Mail"), "--capture-format", form]);
            send(&program, 1);
            let mails = || fs::read_dir(path(resting)).is_ok_and(|mails| mails.count() > 0);
            eventually("a mail", mails);
            assert!(
                Command::new("sh").args(["-c", tamper, &path(resting)]).status().expect("sh runs").success()
            );
            let ended = program.stopped();
            assert!(ended.code() == Some(1) && ended.complaint().contains(word), "{form}, {word}: {ended:?}");
            fs::remove_dir_all(path("Mail")).or_else(|_| fs::create_dir(path("Mail"))).expect("a folder");
        }
    }
}

/// Empty files remained, and seemed to be written by a later run.
#[test]
fn a_refused_start_leaves_no_new_file() {
    let (_folder, path) = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = format!("--port={}", taken.local_addr().expect("an address").port());
    let (new, other, missing) = (path("new"), path("other"), path("none/x"));
    for (arguments, code) in [
        (&["--capture", &new, "--report-json", &new][..], 2),
        (&["--capture", &new, "--report-html", &other, "--hlog", &path("./other")], 2),
        (&["--capture", &new, "--report-json", &missing], 1),
        (&["--capture", &new, "--report-json", &other, &port], 1),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code(), Some(code), "{arguments:?}: {ended:?}");
        assert!(!Path::new(&new).exists() && !Path::new(&other).exists(), "{arguments:?}");
    }
    // A file that existed before is not removed, although it is empty.
    fs::write(&new, "").expect("writable");
    assert_eq!(run(["--capture", &new, "--report-json", &new]).code(), Some(2));
    assert!(Path::new(&new).exists());
}

#[test]
fn a_truncated_capture_ends_the_run_with_the_next_record() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    let program = start(["--records=message", "--capture", &capture]);
    send(&program, 1);
    eventually("a record", || read(&capture).lines().count() == 1);
    fs::write(&capture, "").expect("writable");
    send(&program, 1);
    let ended = program.ended();
    assert!(ended.code() == Some(1) && ended.complaint().contains("truncated"), "{ended:?}");
}

#[test]
fn a_report_whose_file_was_removed_was_reported_as_written() {
    let (_folder, path) = folder();
    let report = path("r.json");
    let program = start(["--report-json", &report]);
    fs::remove_file(&report).expect("it is created at the start");
    let ended = program.stopped();
    assert!(ended.code() == Some(1) && ended.complaint().contains("removed"), "{ended:?}");
}

#[test]
fn renamed_outputs_are_reopened_on_sigusr2_and_no_record_is_lost() {
    let (_folder, path) = folder();
    let (capture, log) = (path("s.jsonl"), path("run.hlog"));
    let program = start(["--records=message", "--capture", &capture, "--hlog", &log]);
    send(&program, 2);
    eventually("two records", || read(&capture).lines().count() == 2);
    for file in [&capture, &log] {
        fs::rename(file, format!("{file}.1")).expect("a file");
    }
    // Records before the signal belong to the old file.
    send(&program, 3);
    eventually("three more", || read(&path("s.jsonl.1")).lines().count() == 5);
    program.signal(Signal::USR2);
    eventually("new files", || Path::new(&capture).exists() && Path::new(&log).exists());
    send(&program, 4);
    let ended = program.stopped();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    assert_eq!((records(&path("s.jsonl.1")), records(&capture)), (5, 4));
    assert!(read(&log).starts_with("#smtpmock "), "an interval log of its own: {}", read(&log));
}

#[test]
fn a_limit_of_file_sizes_ended_it_without_a_message() {
    let (_folder, path) = folder();
    let capture = path("s.jsonl");
    let script = "ulimit -f 8; trap '' TERM; exec \"$0\" \"$@\"";
    let program =
        Process::start(&mut shell(script, &["--ready", "--records=message", "--capture", &capture]));
    let mut client = Client::greeted(program.address());
    client.deliver(&("x".repeat(100_000) + "\r\n"));
    let ended = program.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.complaint().contains("the capture is incomplete"), "{ended:?}");
    assert!(ended.complaint().contains("File too large"), "{ended:?}");
}

#[test]
fn a_full_disk_is_an_error_for_every_output() {
    for arguments in
        [&["--log"][..], &["--report"], &["--report-json=-"], &["--report-html=-"], &["--hlog=-"]]
    {
        let arguments = [arguments, &["--exit-after=10ms"]].concat();
        let ended = Ended::of(&mut shell("exec \"$0\" \"$@\" > /dev/full", &arguments));
        assert_eq!(ended.code(), Some(1), "{arguments:?}: {ended:?}");
        assert!(ended.complaint().contains("to standard output: No space left"), "{arguments:?}: {ended:?}");
    }
    for flag in ["--help", "--version", "--print-config"] {
        let ended = Ended::of(&mut shell("exec \"$0\" \"$@\" > /dev/full", &[flag]));
        assert_eq!(ended.code(), Some(1), "{flag}: {ended:?}");
        assert!(ended.complaint().contains("to standard output: No space left"), "{flag}: {ended:?}");
    }
    // Otherwise nobody could know that it is ready.
    let ended = Ended::of(&mut shell("exec \"$0\" \"$@\" > /dev/full", &["--ready"]));
    assert!(
        ended.code() == Some(1) && ended.complaint().contains("to standard output: No space"),
        "{ended:?}"
    );
    // For standard error only the exit code can show it.
    let ended = Ended::of(&mut shell(
        "exec \"$0\" \"$@\" 2> /dev/full",
        &["--exit-after=10ms", "--expect=messages==0"],
    ));
    assert_eq!(ended.code(), Some(1), "{ended:?}");
}

#[test]
fn json_replaces_text_on_standard_output() {
    let program = start(["--log", "--capture=-", "--records=message"]);
    send(&program, 1);
    let ended = program.stopped();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    assert!(serde_json::from_str::<Value>(&ended.stdout).is_ok(), "{ended:?}");
    assert!(ended.stderr.contains("INFO: ") && ended.stderr.contains("SMTP request: QUIT"), "{ended:?}");
}

#[test]
fn json_replaces_a_report_on_demand_on_standard_output() {
    let mut program = start(["--report-json=-"]);
    send(&program, 1);
    program.signal(Signal::USR1);
    program.wait_for_error("1 messages accepted");
    let report: Value = serde_json::from_str(&program.stopped().stdout).expect("JSON and nothing else");
    assert_eq!(report["metrics"]["messages"], 1);
}

#[test]
fn earlier_contents_of_a_redirected_standard_output_are_unchanged() {
    let (_folder, path) = folder();
    let file = path("all");
    fs::File::create(&file).and_then(|mut file| file.write_all(b"before\n")).expect("writable");
    let script = format!("exec \"$0\" \"$@\" >> {file}");
    let ended = Ended::of(&mut shell(&script, &["--report-json=-", "--exit-after=10ms"]));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let (first, report) =
        read(&file).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("lines");
    assert!(first == "before" && serde_json::from_str::<Value>(&report).is_ok(), "{first}\n{report}");
    drop(start_command(&mut command(["--capture=/dev/null"])));
}
