//! The program ends by itself, with an exit code that shows whether the expectations passed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, MESSAGE};
use crate::support::program::{command, run, start, start_command};
use crate::support::records::captured;

#[test]
fn it_ends_after_a_number_of_messages_and_the_last_reply_is_read() {
    let program = start(["--exit-after", "3messages", "--shutdown-timeout", "10ms"]);
    let mut clients = [Client::greeted(program.address()), Client::greeted(program.address())];
    // Each client reads the reply to its final dot.
    clients[0].deliver(MESSAGE);
    clients[1].deliver(MESSAGE);
    clients[0].deliver(MESSAGE);
    let ended = program.ended();
    assert_eq!((ended.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
    for client in &mut clients {
        assert!(client.reply().starts_with("421"));
    }
}

/// Record, capture, report and verdict agree with the replies to the client.
#[test]
fn a_message_whose_reply_is_delayed_when_the_program_stops_is_refused_everywhere() {
    for mode in ["session", "message"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (capture, report) = (folder.path().join("capture"), folder.path().join("report"));
        let program = start([
            "--records",
            mode,
            "--capture",
            capture.to_str().expect("UTF-8"),
            "--report-json",
            report.to_str().expect("UTF-8"),
            "--rule",
            "message nth=2 delay=1h",
            "--exit-after=2messages",
            "--shutdown-timeout=1ms",
            "--expect=messages == 1",
            "--expect=messages.refused == 1",
        ]);
        let mut clients =
            [Client::with_envelope(program.address()), Client::with_envelope(program.address())];
        clients[0].message(MESSAGE);
        clients[1].data();
        clients[1].send(format!("{MESSAGE}.\r\n"));
        assert_eq!(clients[1].silence(Duration::from_millis(20)), Ok(()), "it is held back");
        let ended = program.stopped();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(clients[1].reply().starts_with("421 "));
        let mut lines = captured(&capture);
        lines.sort_by_key(|line| line["msg"].as_bool());
        let fields = ["msg", "msgResponse", "msgRequest", "isConsistent", "data"];
        let seen: Vec<_> = lines.iter().map(|line| fields.map(|field| line[field].clone())).collect();
        let goodbye = "421 Service closing transmission channel";
        let refused = [json!(false), json!(goodbye), json!(""), json!(false), json!(true)];
        let accepted = [json!(true), json!("250 Received"), json!(MESSAGE), json!(true), json!(true)];
        assert_eq!(seen, [refused, accepted], "{mode}");
        let report: Value = serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
        assert_eq!(report["metrics"]["messages"], 1, "{mode}");
    }
}

#[test]
fn it_ends_after_a_number_of_sessions() {
    let program = start(["-exitAfter", "2sessions"]);
    Client::greeted(program.address()).quit();
    Client::greeted(program.address()).quit();
    assert_eq!(program.ended().code(), Some(0));
}

#[test]
fn it_ends_after_a_duration_and_the_first_of_several_limits_applies() {
    let program = start(["--exit-after=1h", "--exit-after=10ms", "--exit-after=1message"]);
    assert_eq!(program.ended().code(), Some(0));
    let program = start_command(command([""; 0]).env("SMTPMOCK_EXIT_AFTER", "1h\n1 message\n"));
    Client::greeted(program.address()).deliver(MESSAGE);
    assert_eq!(program.ended().code(), Some(0));
}

#[test]
fn a_session_that_is_open_when_the_limit_is_reached_may_finish() {
    let program = start(["--exit-after", "1message", "--shutdown-timeout", "1h"]);
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    client.deliver(MESSAGE);
    client.quit();
    assert_eq!(program.ended().code(), Some(0));
}

#[test]
fn passed_expectations_are_printed_and_the_exit_code_is_0() {
    let expectations =
        ["--expect", "messages == 2", "--expect", "p99(think.mail) < 1h", "--expect=sessions>0"];
    let program = start([&["--exit-after=2messages"], &expectations[..]].concat());
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    client.deliver(MESSAGE);
    drop(client);
    let ended = program.ended();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{ended:?}");
    assert_eq!(lines[0], "smtpmock: expected messages == 2: passed, 2");
    assert!(lines[1].starts_with("smtpmock: expected p99(think.mail) < 1h: passed, "), "{ended:?}");
    assert_eq!(lines[2], "smtpmock: expected sessions>0: passed, 1");
}

#[test]
fn failed_expectations_are_printed_with_their_figures_and_the_exit_code_is_10() {
    let variables = [("SMTPMOCK_EXPECT", "messages == 3\nsessions.quit == 1\np99(retries.after) < 1s")];
    let program = start_command(command([""; 0]).envs(variables));
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    client.deliver(MESSAGE);
    client.quit();
    let ended = program.stopped();
    assert_eq!(ended.code(), Some(10), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "smtpmock: expected messages == 3: failed, 2\n\
         smtpmock: expected sessions.quit == 1: passed, 1\n\
         smtpmock: expected p99(retries.after) < 1s: failed, no samples\n"
    );
}

#[test]
fn true_fail_if_conditions_are_printed_with_their_figures_and_the_exit_code_is_10() {
    let report = |checks: &[&str]| {
        let program = start([&["--exit-after=1message", "--report"], checks].concat());
        let mut client = Client::greeted(program.address());
        client.deliver(MESSAGE);
        client.quit();
        program.ended()
    };
    let ended = report(&["--fail-if", "messages > 1", "--expect=messages == 1"]);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let row = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(row(&ended.stdout).contains("passed fail if messages > 1 1"), "{ended:?}");
    let ended = report(&["--fail-if", "messages == 1", "--fail-if=p99(retries.after) > 1s"]);
    assert_eq!(ended.code(), Some(10), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "smtpmock: fail if messages == 1: failed, 1\n\
         smtpmock: fail if p99(retries.after) > 1s: failed, no samples\n"
    );
    assert!(row(&ended.stdout).contains("FAILED fail if messages == 1 1"), "{ended:?}");
}

#[test]
fn invalid_expectations_are_refused_with_a_caret_before_the_start() {
    for (expectation, caret, words) in [
        ("mesages == 1", "  ^^^^^^^", "unknown figure \"mesages\": did you mean messages?"),
        ("p99(think.mail) < 50", "                    ^^", "expected a duration with its unit, like 50ms"),
        ("messages", "          ^", "expected one of == != < <= > >="),
    ] {
        let ended = run(["--expect", "messages == 1", "--expect", expectation]);
        assert_eq!((ended.code(), ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
        assert!(ended.stderr.lines().any(|line| line == caret), "{ended:?}");
    }
}

#[test]
fn invalid_limits_are_refused() {
    for limit in ["10000", "0messages", "-1sessions", "5mails", "messages", "0s", "-1s", "soon"] {
        let ended = run(["--exit-after", limit]);
        assert_eq!((ended.code(), ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.complaint().contains("like 10000messages, 500sessions or 60s"), "{ended:?}");
    }
}

#[test]
fn a_failure_of_the_run_takes_precedence_over_failed_expectations() {
    let program = start(["--capture", "/dev/full", "--expect", "messages == 5"]);
    Client::with_envelope(program.address()).quit();
    let ended = program.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("expected messages == 5: failed, 0"), "{ended:?}");
    assert!(ended.stderr.contains("the capture is incomplete"), "{ended:?}");
}
