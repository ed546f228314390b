//! Signals, exit codes, and the output up to the end.

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::Value;
use smtpmock::signals::REPETITION;

use crate::support::client::{Client, MESSAGE};
use crate::support::process::{Process, Signal, ignores_hangups};
use crate::support::program::{command, start};
use crate::support::server::is_refused;
use crate::support::waiting::eventually;

#[test]
fn a_signal_stops_it_without_output() {
    for signal in [Signal::INT, Signal::TERM, Signal::QUIT] {
        let program = start([""; 0]);
        program.signal(signal);
        let ended = program.ended();
        assert_eq!(ended.code(), Some(0), "{signal:?}: {ended:?}");
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "{signal:?}");
    }
}

#[test]
fn a_hangup_lost_the_records_and_the_report() {
    if ignores_hangups() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("capture.jsonl");
    let capture = path.to_str().expect("UTF-8");
    let program = start(["--report", "--capture", capture]);
    Client::greeted(program.address()).deliver(MESSAGE);
    program.signal(Signal::HUP);
    let ended = program.ended();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("1 messages accepted"), "{ended:?}");
    assert_eq!(fs::read_to_string(&path).expect("a capture").lines().count(), 1);
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let program = command([""; 0]);
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" --ready"]).arg(program.get_program());
    let program = Process::start(&mut nohup);
    program.signal(Signal::HUP);
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    // If it had stopped, the connection would be refused.
    Client::greeted(program.address()).quit();
    client.quit();
    assert_eq!(program.stopped().code(), Some(0));
}

#[test]
fn a_stop_sends_421_to_idle_sessions_after_the_shutdown_timeout() {
    let program = start(["--shutdown-timeout", "10ms"]);
    let mut client = Client::greeted(program.address());
    let ended = program.stopped();
    assert!(client.reply().starts_with("421"));
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_capture_is_complete() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("capture.jsonl");
    let capture = path.to_str().expect("UTF-8");
    let program = start(["--shutdown-timeout", "1h", "--capture", capture]);
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    // The session has begun another mail, and would delay the stop for an hour.
    client.mail("ann@example.com");
    program.signal(Signal::TERM);
    program.signal(Signal::INT);
    let ended = program.ended();
    // Both may be pending at the same time, and then either may be the second.
    assert!(matches!(ended.code(), Some(130 | 143)), "{ended:?}");
    assert_eq!(ended.stderr, "");
    let captured = fs::read_to_string(&path).expect("a capture");
    let accepted = captured.lines().filter(|line| line.contains(r#""is_consistent":true"#)).count();
    assert_eq!((captured.lines().count(), accepted), (2, 1), "{captured}");
}

#[test]
fn a_signal_to_the_group_and_one_to_the_program_counted_as_two() {
    let program = start(["--shutdown-timeout", "1h"]);
    let mut client = Client::with_envelope(program.address());
    let pid = program.pid();
    let script = format!("kill -TERM {pid}; kill -TERM {pid}; kill -TERM {pid}");
    assert!(Command::new("sh").args(["-c", &script]).status().expect("sh runs").success());
    // After a forced stop, it would have received 421 or nothing.
    client.message(MESSAGE);
    assert_eq!(program.ended().code(), Some(0));
}

#[test]
fn the_same_signal_counts_again_after_a_while() {
    let program = start(["--shutdown-timeout", "1h"]);
    let mut client = Client::with_envelope(program.address());
    program.signal(Signal::TERM);
    // The first has no observable event; the second counts this long after it.
    thread::sleep(REPETITION * 4);
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code(), Some(143));
    assert!(client.reply().starts_with("421"));
}

#[test]
fn the_first_signal_after_a_limit_was_reached_ends_idle_sessions() {
    let program = start(["--shutdown-timeout", "1h", "--exit-after", "1message"]);
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    eventually("the stop to begin", || is_refused(program.address()));
    program.signal(Signal::TERM);
    // The client waits much less than the timeout.
    assert!(client.reply().starts_with("421 "));
    assert_eq!(program.ended().code(), Some(0));
}

/// A header of a proxy, or a hello of TLS, that is never complete: there is no session yet.
#[test]
fn connections_without_a_session_do_not_hold_a_stop() {
    let listen = [
        "--listen=smtp://127.0.0.1",
        "--listen=smtp://127.0.0.1?proxy=require",
        "--listen=smtps://127.0.0.1",
    ];
    let others = ["--trust=127.0.0.1", "--tls", "--shutdown-timeout=1h", "--session-timeout=1h"];
    for limit in [&["--exit-after=1session"][..], &[]] {
        let program = start(listen.iter().chain(&others).chain(limit));
        let line: Value = serde_json::from_str(&program.ready_line).expect("JSON");
        let address = |place: &Value| place.as_str().expect("a text").parse().expect("an address");
        let half = |place: &Value, octets: &[u8]| {
            let mut client = Client::connect(address(place));
            client.send(octets);
            client
        };
        let proxied = half(&line["smtp"][1], b"PROXY TCP4 192.0.2.7 ");
        let hello = half(&line["smtps"][0], &[22, 3, 1, 2, 0, 1]);
        let mut behind = Client::extended(address(&line["smtp"][0]));
        if limit.is_empty() {
            behind.expect("STARTTLS", "220 2.0.0 Ready to start TLS");
            behind.send([22, 3, 1, 2, 0, 1]);
            program.signal(Signal::TERM);
        } else {
            behind.expect("QUIT", "221 2.0.0 Closing connection");
        }
        let ended = program.ended();
        assert_eq!(ended.code(), Some(0), "{limit:?}: {ended:?}");
        drop((proxied, hello));
    }
}

/// More than any pipe holds.
const FAR_TOO_MUCH: usize = 4 * 1024 * 1024;

#[test]
fn a_second_signal_ends_it_with_an_unread_capture_and_reports_what_is_lost() {
    let program = start(["--capture", "-"]);
    let mut client = Client::greeted(program.address());
    client.deliver(&("x".repeat(FAR_TOO_MUCH) + "\r\n"));
    client.quit();
    program.signal(Signal::TERM);
    program.signal(Signal::INT);
    let ended = program.ended_unread();
    assert!(matches!(ended.code(), Some(130 | 143)), "{:?}", ended.status);
    assert!(ended.complaint().contains("missing from the capture"), "{}", ended.stderr);
}

#[test]
fn a_capture_that_cannot_be_written_is_a_failure_and_not_only_a_line_of_the_log() {
    let program = start(["--capture", "/dev/full"]);
    Client::with_envelope(program.address()).quit();
    let ended = program.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.complaint().contains("the capture is incomplete"), "{ended:?}");
}

#[test]
fn the_capture_has_a_line_for_each_record() {
    let program = start(["--capture", "-"]);
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    client.deliver(MESSAGE);
    client.quit();
    let ended = program.stopped();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    let records: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records.len(), 2, "{}", ended.stdout);
    for record in records {
        assert_eq!(record["mailfrom_request"], "MAIL FROM:<ann@example.com>");
        assert_eq!(record["is_consistent"], true);
    }
}

#[test]
fn a_capture_of_envelopes_omits_the_messages() {
    let program = start(["--capture=-", "--capture-content=envelope"]);
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    client.quit();
    let ended = program.stopped();
    assert_eq!(ended.stdout.lines().count(), 1);
    assert!(ended.stdout.contains("ann@example.com") && !ended.stdout.contains("Hello"), "{}", ended.stdout);
}

#[test]
fn the_log_goes_to_standard_output_and_only_with_log() {
    let dialogue = |arguments: &[&str]| {
        let program = start(arguments);
        Client::greeted(program.address()).quit();
        program.stopped()
    };
    let silent = dialogue(&["--log=false"]);
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("", ""));
    let logged = dialogue(&["-log"]);
    assert_eq!(logged.code(), Some(0));
    for text in ["SMTP request: QUIT", "SMTP response: 221 Closing connection"] {
        let line = logged.stdout.lines().find(|line| line.ends_with(text));
        assert!(line.is_some_and(|line| line.starts_with("INFO: ")), "{text}: {}", logged.stdout);
    }
}
