//! `--listen`: the ready line, the log, and what a run leaves behind.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::client::{Client, MESSAGE};
use crate::support::process::Signal;
use crate::support::program::{run, start};
use crate::support::server::has_ipv6;

fn url(path: &Path) -> String {
    format!("smtp+unix://{}", path.display())
}

/// The addresses in a ready line.
fn places(line: &str) -> Vec<String> {
    let line: Value = serde_json::from_str(line).expect("JSON");
    let places = line["smtp"].as_array().expect("an array").iter();
    places.map(|place| place.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn the_ready_line_lists_what_is_listened_at_and_the_default_is_there_only_if_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock \"1\".sock");
    let socket = format!("unix:{}", path.display());
    let alone = start(["--listen", &url(&path)]);
    assert_eq!(places(&alone.ready_line), [socket.as_str()]);
    Client::greeted_at(&path).quit();
    assert_eq!(alone.stopped().code(), Some(0));
    for default in ["--port=0", "--host=127.0.0.1"] {
        let beside = start(["--listen", &url(&path), default]);
        let places = places(&beside.ready_line);
        assert!(places.len() == 2 && places[0].starts_with("127.0.0.1:"), "{places:?}");
        assert_eq!(places[1], socket);
        Client::greeted(places[0].parse().expect("an address")).quit();
    }
    if has_ipv6() {
        let tcp = start(["--listen", "smtp://[::1]", "--listen=smtp://127.0.0.1:0"]);
        let addresses = tcp.addresses();
        assert!(addresses[0].is_ipv6() && addresses[1].is_ipv4() && addresses.len() == 2, "{addresses:?}");
        addresses.into_iter().for_each(|address| Client::greeted(address).quit());
    }
}

#[test]
fn the_file_goes_with_the_program_and_one_that_was_killed_leaves_one_that_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock");
    let killed = start(["--shards=2", "--listen", &url(&path)]);
    killed.signal(Signal::KILL);
    killed.ended();
    assert!(fs::exists(&path).expect("a folder"));
    for signal in [Signal::TERM, Signal::INT] {
        let program = start(["--shards=2", "--listen", &url(&path)]);
        Client::greeted_at(&path).quit();
        program.signal(signal);
        assert_eq!(program.ended().code(), Some(0));
        assert!(!fs::exists(&path).expect("a folder"), "{signal:?}");
    }
}

#[test]
fn a_start_that_fails_behind_the_listeners_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock");
    let nowhere = folder.path().join("none/file");
    for flag in ["--ready-file", "--capture"] {
        let ended = run(["--listen".as_ref(), url(&path).as_ref(), flag.as_ref(), nowhere.as_os_str()]);
        assert_eq!(ended.code(), Some(1), "{flag}");
        assert!(ended.complaint().contains("none"), "{ended:?}");
        assert!(!fs::exists(&path).expect("a folder"), "{flag}");
    }
}

#[test]
fn a_start_that_is_refused_says_who_listens_or_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock");
    let program = start(["--listen", &url(&path)]);
    let ended = run(["--listen", &url(&path)]);
    let complaint = ended.complaint();
    assert_eq!(ended.code(), Some(1));
    let expected = format!("process {} listens at {} already", program.pid(), path.display());
    assert!(complaint.contains(&expected), "{complaint}");
    Client::greeted_at(&path).quit();
    let long = format!("smtp+unix:///{}", "x".repeat(200));
    for (url, expected) in [
        (
            "http://127.0.0.1:24",
            "expected smtp://ADDRESS:PORT?proxy=accept or smtp+unix:///PATH?mode=0666&proxy=accept",
        ),
        ("smtp+unix://mock.sock", "the path of the socket is absolute"),
        ("smtp+unix:///a?mode=0999", "permissions of the socket in octal"),
        (&long, "octets, not 201"),
    ] {
        let ended = run(["--listen", "smtp://127.0.0.1", "--listen", url]);
        let complaint = ended.complaint();
        assert_eq!(ended.code(), Some(2), "{complaint}");
        assert!(complaint.contains(&format!("invalid value {url:?} for --listen: ")), "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
    }
}

#[test]
fn captures_the_display_and_the_log_name_clients_of_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock");
    let capture = folder.path().join("mail.jsonl");
    let (listen, to) = (url(&path), format!("--capture={}", capture.display()));
    let program = start(["--listen", &listen, &to]);
    let mut client = Client::greeted_at(&path);
    client.deliver(MESSAGE);
    client.quit();
    assert_eq!(program.stopped().code(), Some(0));
    let line: Value = serde_json::from_str(&fs::read_to_string(&capture).expect("readable")).expect("JSON");
    assert_eq!(line["peer_addr"], "unix");

    let program = start(["--listen", &listen, &to, "--capture-format=mbox", "--show"]);
    let mut client = Client::greeted_at(&path);
    client.deliver(MESSAGE);
    client.quit();
    let ended = program.stopped();
    assert!(ended.stdout.contains(", session 1 from unix, id "), "{ended:?}");
    let mbox = fs::read_to_string(&capture).expect("readable");
    assert!(mbox.contains("\nX-Client-Addr: unix\n") && mbox.contains("(unix socket)"), "{mbox}");

    let program = start(["--listen", &listen, "--log", "--session-timeout=1ms"]);
    let (reply, _) = Client::connect_at(&path).end();
    assert!(reply.contains("\r\n421 "), "{reply}");
    let ended = program.stopped();
    let route = format!("read unix:{}->unix: i/o timeout", path.display());
    assert!(ended.stderr.contains(&route), "{ended:?}");
}

#[test]
fn a_trusted_proxy_names_the_client_in_capture_and_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("mock.sock");
    let capture = folder.path().join("capture.jsonl");
    let listen = format!("{}?proxy=require", url(&socket));
    let capture_flag = capture.display().to_string();
    let program = start(["--listen", &listen, "--trust", "10.0.0.0/8, unix", "--capture", &capture_flag]);
    let mut client = Client::connect_at(&socket);
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n");
    assert_eq!(client.reply(), "220 Welcome");
    client.deliver(MESSAGE);
    client.quit();
    program.stopped();
    let line = fs::read_to_string(&capture).expect("a capture");
    let record: Value = serde_json::from_str(&line).expect("one line");
    assert_eq!((&record["peer_addr"], &record["proxy_addr"]), (&"192.0.2.7:4711".into(), &"unix".into()));
    let ended = start(["--listen", &listen]).stopped();
    assert!(
        ended
            .complaint()
            .contains("takes PROXY headers, but trusts nobody to send one: expected a trusted peer"),
        "{ended:?}"
    );
    let ended = run(["--trust", "10.0.0.0/8,localhost"]);
    assert_eq!(ended.code(), Some(2));
    let complaint = ended.complaint();
    assert!(complaint.contains("an IP address or network, like 127.0.0.1"), "{complaint}");
}

#[test]
fn a_connection_closed_for_its_header_is_explained_once_for_each_fault_without_a_log() {
    let mut program = start(["--listen=smtp://127.0.0.1?proxy=require", "--trust=127.0.0.1"]);
    let address = program.addresses()[0];
    for octets in ["EHLO a.example\r\n", "PROXY TCP9\r\n"] {
        let mut client = Client::connect(address);
        client.send(octets);
        assert_eq!(client.rest(), "");
        if octets.starts_with("EHLO") {
            let line = program.wait_for_error("smtpmock: warning: PROXY header refused");
            let peer = format!("connection from {} closed: the connection begins with", client.local_addr());
            assert!(line.contains(&peer) && line.contains("?proxy=require"), "{line}");
        }
    }
    assert_eq!(program.stopped().stderr, "");

    let mut program = start(["--listen=smtp://127.0.0.1?proxy=require"]);
    drop(Client::connect(program.addresses()[0]));
    let line = program.wait_for_error("smtpmock: warning: PROXY header refused");
    assert!(line.contains("is not trusted") && line.contains("--trust 127.0.0.1"), "{line}");
    assert_eq!(program.stopped().code(), Some(0));
}
