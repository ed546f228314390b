//! The control plane as the program has it: its flags, the ready line, and the command that asks for readiness.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::http::HttpClient;
use crate::support::process::{Ended, Process};
use crate::support::program::{command, run, start};

/// The URL in the ready line, and the address in it.
fn url(program: &Process) -> (String, std::net::SocketAddr) {
    let line: Value = serde_json::from_str(&program.ready_line).expect("JSON");
    let url = line["http"][0].as_str().expect("a URL").to_owned();
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
    (url, address)
}

fn ready(arguments: &[&str]) -> Ended {
    run([&["ready"], arguments].concat())
}

#[test]
fn the_ready_line_and_file_name_the_url_that_shows_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ready.json");
    let program = start(["--http", "0", "--keep-messages=2", &format!("--ready-file={}", path.display())]);
    let (_, http) = url(&program);
    assert!(http.ip().is_loopback());
    assert_eq!(fs::read_to_string(&path).expect("a file"), program.ready_line);
    for number in 0..3 {
        Client::greeted(program.address()).deliver(&format!("Subject: {number}\r\n\r\n"));
    }
    let list = HttpClient::connect(http).request("GET", "/v1/messages", &[]).json_as(200);
    assert_eq!((&list["total"], &list["evicted"]), (&Value::from(2), &Value::from(1)));
    let report = HttpClient::connect(http).request("GET", "/v1/report", &[]).json_as(200);
    assert_eq!(report["runs"][0]["settings"]["keep-messages"], "2");
    assert_eq!(program.stopped().stderr, "");
}

#[test]
fn without_the_flag_the_ready_line_is_as_before() {
    let program = start(["--port=0"]);
    assert!(!program.ready_line.contains("http"), "{}", program.ready_line);
}

#[test]
fn secrets_are_needed_and_are_in_no_report() {
    let program =
        start(["--http=0", "--http-auth=ann:s3cret", "--http-token=t0ken", "--http-host=*.example"]);
    let (_, http) = url(&program);
    let ask =
        |target: &str, fields: &[(&str, &str)]| HttpClient::connect(http).request("GET", target, fields);
    assert_eq!(ask("/v1/messages", &[]).status, 401);
    let report = ask("/v1/report", &[("Authorization", "Bearer t0ken"), ("Host", "mock.example")]);
    assert!(report.status == 200 && !report.text().contains("s3cret") && !report.text().contains("t0ken"));
}

#[test]
fn a_health_check_needs_no_shell() {
    let program = start(["--http=0", "--http-token=t0ken"]);
    let (url, _) = url(&program);
    let asked = ready(&[&url]);
    assert_eq!((asked.code(), asked.stdout.as_str(), asked.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(ready(&[&format!("{url}/livez"), "--wait=60s"]).code(), Some(0));
    let refused = ready(&[&format!("{url}/none")]);
    assert_eq!(refused.code(), Some(1));
    assert!(
        refused.complaint().contains("is not ready: it answers \"HTTP/1.1 401 Unauthorized\""),
        "{refused:?}"
    );
    program.stopped();
    let gone = ready(&[&url]);
    assert_eq!(gone.code(), Some(1));
    assert!(gone.complaint().starts_with(&format!("smtpmock: {url} is not ready: ")), "{gone:?}");
}

#[test]
fn a_health_check_ends_where_a_reply_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let drip = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        // An octet now and then, until the client has gone.
        while stream.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(200));
        }
    });
    let asked = ready(&[&url]);
    assert_eq!(asked.code(), Some(1), "{asked:?}");
    assert!(asked.complaint().contains(" is not ready: it does not speak HTTP: \"HH"), "{asked:?}");
    drip.join().expect("it saw the end");
}

#[test]
fn a_health_check_waits_for_a_server_that_starts_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("http.sock");
    let at = format!("unix:{}", path.display());
    let waiting = std::thread::spawn({
        let at = at.clone();
        move || ready(&[&at, "--wait=60s"])
    });
    let program = start(["--http", &at]);
    assert_eq!(waiting.join().expect("an answer").code(), Some(0));
    let line: Value = serde_json::from_str(&program.ready_line).expect("JSON");
    assert_eq!(line["http"][0], at);
    program.stopped();
    assert!(!path.exists());
}

#[test]
fn what_can_not_be_is_refused_with_the_flag() {
    for (arguments, expected) in [
        (&["--http", "x"][..], "\"x\" for --http: expected a port of 127.0.0.1"),
        (&["--http", "127.0.0.1"], "\"127.0.0.1\" for --http: expected"),
        (&["--http", ":8025"], "for --http: expected"),
        (&["--http", "65536"], "for --http: expected"),
        (&["--http", "unix:relative"], "for --http: expected"),
        (
            &["--http", "0", "--http-host", "a.example:80"],
            "\"a.example:80\" for --http-host: expected names of hosts",
        ),
        (&["--http", "0", "--http-allow-origin", "a.example"], "for --http-allow-origin: expected origins"),
        (&["--http", "0", "--http-auth", "ann"], "<redacted> for --http-auth: expected USER:PASSWORD"),
        (&["--http", "0", "--http-auth", ""], "for --http-auth: expected USER:PASSWORD"),
        (&["--http", "0", "--http-token", "a b"], "<redacted> for --http-token: expected a token"),
        (&["--http-token", "t0ken"], "--http-token: expected --http beside it"),
        (&["--keep-messages", "5"], "--keep-messages: expected --http beside it"),
        (&["ready", "ftp://x"], "invalid URL \"ftp://x\": expected smtpmock ready http://"),
    ] {
        let output = run(arguments);
        assert_eq!(output.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.complaint().contains(expected), "{arguments:?}: {output:?}");
    }
    // Another process listens there.
    let program = start(["--http=0"]);
    let (_, http) = url(&program);
    let taken = command(["--http", &http.to_string()]);
    let output = Ended::of(&mut { taken });
    assert_eq!(output.code(), Some(1));
    assert!(output.complaint().contains(&format!("the control plane: {http} is in use")), "{output:?}");
}

#[test]
fn a_request_ends_the_program_as_a_signal_does() {
    for target in ["/v1/stop", "/v1/stop?timeout=0s"] {
        let program = start(["--http=0", "--report"]);
        let (_, http) = url(&program);
        Client::greeted(program.address()).deliver("Subject: hi\r\n\r\n");
        let mut open = Client::greeted(program.address());
        let stopping = HttpClient::connect(http).request("POST", target, &[]).json_as(202);
        assert_eq!(stopping["stopping"], true);
        assert_eq!(open.rest(), "421 Service closing transmission channel\r\n");
        let ended = program.ended();
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{target}");
        assert!(ended.stdout.contains("messages"), "{target}: {}", ended.stdout);
    }
}

#[test]
fn a_failed_check_is_the_exit_code_of_a_requested_stop_too() {
    let program = start(["--http=0", "--expect=messages>=1"]);
    let (_, http) = url(&program);
    assert_eq!(HttpClient::connect(http).request("POST", "/v1/stop", &[]).status, 202);
    assert_eq!(program.ended().code(), Some(10));
}
