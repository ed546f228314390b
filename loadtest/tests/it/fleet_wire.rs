//! What else connects to a coordinator than its agents.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fleet::{Coordinator, address, agent};
use crate::mock::Mock;
use crate::support::program::program;
use crate::support::waiting::PATIENCE;

fn body(reply: &str) -> Value {
    let (_, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{reply}"));
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{reply}"))
}

#[test]
fn a_web_page_takes_no_place_of_an_agent() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --count 4");
    let ask = |fields: &str| {
        coordinator.ask(&format!("POST /v1/agents HTTP/1.1\r\n{fields}"), &coordinator.hello("by-hand", 1))
    };
    for fields in [
        "Host: evil.example",
        "Host: 127.0.0.1.evil.example:7000",
        "Host: localhost:7000\r\nOrigin: http://evil.example",
        "Host: localhost:7000\r\nOrigin: null",
        "Host: ",
    ] {
        let reply = ask(fields);
        assert!(reply.starts_with("HTTP/1.1 403"), "{fields}: {reply}");
        assert_eq!(body(&reply)["cause"], "source");
    }
    // What a page can send without asking first.
    let mut stream = TcpStream::connect(coordinator.address()).expect("it listens");
    let text = coordinator.hello("by-hand", 1);
    let head = "POST /v1/agents HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("it replies");
    assert!(reply.contains("expected Content-Type: application/json"), "{reply}");

    coordinator.agent(&[]).ended().code_is(0);
    let outcome = coordinator.ended().expect(0);
    assert!(!outcome.stderr.contains("by-hand"), "{}", outcome.stderr);
    assert_eq!(outcome.count("accepted"), 4);
}

#[test]
fn an_agent_gets_in_while_idle_connections_fill_the_coordinator() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 2 --count 10 --token secret");
    let idle: Vec<TcpStream> = (0..300)
        .map(|_| {
            let stream = TcpStream::connect(coordinator.address()).expect("it accepts");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream
        })
        .collect();
    let agents = [(); 2].map(|()| coordinator.agent(&["--token", "secret"]));
    agents.into_iter().for_each(|agent| agent.ended().code_is(0));
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 10);
    // The first have ended for others, the rest as they have sent nothing, or with the run.
    for mut stream in idle {
        let read = stream.read(&mut [0; 9]);
        let is_timeout = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!read.as_ref().is_err_and(is_timeout) && !matches!(read, Ok(1..)), "{read:?}");
    }
}

#[test]
fn an_agent_on_a_slow_link_is_heard_and_one_that_only_introduces_itself_is_not() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 2 --count 4");
    let welcome = coordinator.ask("POST /v1/agents HTTP/1.1", &coordinator.hello("by-hand", 7));
    let id = body(&welcome)["agent"].as_str().expect("an id").to_owned();
    coordinator.program.line("agent by-hand is there");
    let silent = coordinator.hello("by-hand", 8);
    let idle = coordinator.ask("POST /v1/agents HTTP/1.1", &silent);
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    coordinator.program.line("agent by-hand-2 is there, 2 of 2");

    // For longer than the time after which a silent agent is dropped: 20 KiB/s.
    let update = r#"{"state":"waiting","clock":null}"#;
    let mut stream = TcpStream::connect(coordinator.address()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (pieces, piece) = (60, vec![b' '; 4 << 10]);
    let length = update.len() + pieces * piece.len();
    let head = format!(
        "POST /v1/agents/{id} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close"
    );
    write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{update}").expect("it reads");
    for _ in 0..pieces {
        std::thread::sleep(Duration::from_millis(200));
        stream.write_all(&piece).expect("it reads");
        // An introduction that is repeated renews nothing.
        coordinator.ask("POST /v1/agents HTTP/1.1", &silent);
    }
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("it replies");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    coordinator.program.line("agent by-hand-2 is gone; another may take its place");
    let refused = coordinator.ask(&format!("POST /v1/agents/{id}x HTTP/1.1"), update);
    assert!(refused.starts_with("HTTP/1.1 404"), "{refused}");
    coordinator.program.signal(Signal::INT);
    coordinator.ended().code_is(1);
}

#[test]
fn an_agent_that_sends_what_cannot_be_true_is_refused_with_the_reason_and_loses_its_place() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --count 4");
    let welcome = coordinator.ask("POST /v1/agents HTTP/1.1", &coordinator.hello("by-hand", 7));
    let id = body(&welcome)["agent"].as_str().expect("an id").to_owned();
    coordinator.program.line("agent by-hand is there");
    let waiting = coordinator.agent(&[]);
    waiting.line("waits for a place in the run");
    let clock = |offset: i64| json!({"offset_ns": offset, "uncertainty_ns": 1, "exchanges": 9});
    for (update, right) in [
        (json!({"state": {"armed": {}}, "clock": clock(i64::MIN)}), "an offset is at most 100 years"),
        (json!({"state": {"failed": "a\u{1b}[31m"}, "clock": null}), "without control characters"),
        (json!({"state": "dancing", "clock": null}), "not valid: unknown variant `dancing`"),
        (json!([[[[[]]]]]), "not valid: "),
    ] {
        let reply = coordinator.ask(&format!("POST /v1/agents/{id} HTTP/1.1"), &update.to_string());
        assert!(reply.starts_with("HTTP/1.1 400"), "{update}: {reply}");
        let hint = body(&reply)["hint"].as_str().expect("a text").to_owned();
        assert!(hint.contains(right), "{update}: {hint}");
    }
    // They have not renewed the time of its last request.
    coordinator.program.line("agent by-hand is gone; another may take its place");
    waiting.ended().code_is(0);
    let outcome = coordinator.ended().expect(0);
    assert_eq!(outcome.count("accepted"), 4);
}

#[test]
fn one_body_of_an_agent_comes_at_a_time_and_long_ones_only_after_its_start() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 1 --count 4");
    let welcome = coordinator.ask("POST /v1/agents HTTP/1.1", &coordinator.hello("by-hand", 7));
    let id = body(&welcome)["agent"].as_str().expect("an id").to_owned();
    let begin = |length: usize| {
        let mut stream = TcpStream::connect(coordinator.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head =
            format!("POST /v1/agents/{id} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json");
        write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n").expect("it reads");
        stream
    };
    let mut refused = String::new();
    begin(3 << 20).read_to_string(&mut refused).expect("it replies");
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    assert!(refused.contains("more than 2097152 octets"), "{refused}");
    let mut half = begin(1 << 20);
    half.write_all(b"  ").expect("it reads");
    half.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    // Ends it, if it comes after it.
    let update = r#"{"state":"waiting","clock":null}"#;
    let ended = loop {
        let replied = coordinator.ask(&format!("POST /v1/agents/{id} HTTP/1.1"), update);
        assert!(replied.starts_with("HTTP/1.1 200"), "{replied}");
        let read = half.read(&mut [0; 9]);
        if !read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
            break read;
        }
    };
    assert!(!matches!(ended, Ok(1..)), "without a reply: {ended:?}");
    coordinator.program.signal(Signal::INT);
    coordinator.ended().code_is(1);
}

#[test]
fn what_does_not_reply_or_speak_http_is_named_so() {
    let mock = Mock::start(&[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("an address").to_string();
    for (at, right) in [(address(&mock), "does not speak HTTP"), (silent, "no reply in 1 s")] {
        let ended = agent(&format!("http://{at}"), &["--coordinator-timeout", "1500ms"]).ended();
        ended.code_is(1);
        assert!(ended.stderr.contains(right), "{at}: {}", ended.stderr);
    }
}

#[test]
fn an_agent_that_sends_reports_in_reports_is_refused_and_the_run_of_the_others_goes_on() {
    let mock = Mock::start(&[]);
    let coordinator = Coordinator::start(&address(&mock), "--agents 2 --count 4");
    let welcome = coordinator.ask("POST /v1/agents HTTP/1.1", &coordinator.hello("by-hand", 7));
    let id = body(&welcome)["agent"].as_str().expect("an id").to_owned();
    let report = program()
        .args([&address(&mock), "--count", "1", "-c", "1", "--report-json", "-", "-q"])
        .output()
        .expect("it runs");
    let report = String::from_utf8(report.stdout).expect("a text");
    let open = report.trim_end().strip_suffix('}').expect("an object");
    let nest = |inner: String, _| format!(r#"{open},"pieces":{{"partial":[],"whole":{inner}}}}}"#);
    let deep = (0..60).fold(report.clone(), nest);
    let update = format!(r#"{{"state":{{"ended":{deep}}},"clock":null}}"#);
    let reply = coordinator.ask(&format!("POST /v1/agents/{id} HTTP/1.1"), &update);
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
    let hint = body(&reply)["hint"].as_str().expect("a text").to_owned();
    assert!(hint.contains("the report is not that of part"), "{hint}");
    let left = coordinator
        .ask(&format!("POST /v1/agents/{id} HTTP/1.1"), r#"{"state":{"left":"signs off"},"clock":null}"#);
    assert!(left.starts_with("HTTP/1.1 200"), "{left}");
    let agents = [(); 2].map(|()| coordinator.agent(&[]));
    agents.into_iter().for_each(|agent| agent.ended().code_is(0));
    assert_eq!(coordinator.ended().expect(0).count("accepted"), 4);
}
