//! Flags and variables, tested by their effect on the server.

use std::net::{SocketAddr, TcpListener};

use crate::support::client::Client;
use crate::support::program::{command, run, start, start_command};
use crate::support::server::has_ipv6;

#[test]
fn every_spelling_of_a_flag_sets_it() {
    for arguments in [
        &["-msgGreeting=220 hi"][..],
        &["-msgGreeting", "220 hi"],
        &["--msgGreeting=220 hi"],
        &["--msgGreeting", "220 hi"],
        &["--msg-greeting=220 hi"],
        &["--msg-greeting", "220 hi"],
        &["-msg-greeting", "220 hi"],
        &["-msgGreeting", "220 no", "--msg-greeting=220 hi"],
        &["-log=F", "-failFast", "-msgGreeting", "220 hi", "false", "-msgGreeting", "220 no"],
    ] {
        let program = start(arguments);
        assert_eq!(Client::connect(program.address()).reply(), "220 hi", "{arguments:?}");
    }
}

#[test]
fn integers_are_parsed_as_in_go() {
    // An address on which nothing else listens, so that the port stays free from one start to the next.
    let host = "127.0.0.77";
    let first = start(["-host", host]);
    let port = first.address().port();
    assert_eq!(first.stopped().code(), Some(0));
    for spelling in [
        format!("{port}"),
        format!("+{port}"),
        format!("{port:#x}"),
        format!("0{port:o}"),
        format!("{port:#o}"),
        format!("{port:#b}"),
    ] {
        let program = start(["-host", host, "-port", &spelling]);
        assert_eq!(program.address().port(), port, "{spelling}");
        assert_eq!(program.stopped().code(), Some(0));
    }
}

#[test]
fn arguments_after_flags_of_the_reference_are_ignored() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for stop in ["foo", "-", "--"] {
        let program = start(["-log=false", stop, "-port", &port, "-nosuch"]);
        assert_ne!(program.address().port().to_string(), port);
        assert_eq!(program.stopped().stderr, "");
    }
}

/// An expectation that is ignored would seem to pass.
#[test]
fn ignored_arguments_of_any_other_command_line_are_refused() {
    let ended = run(["--report", "yes", "--expect=messages == 3"]);
    let expected =
        "smtpmock: unexpected argument \"yes\" behind --report: expected --report, --report=true or";
    assert!(ended.code() == Some(2) && ended.complaint().starts_with(expected), "{ended:?}");
}

#[test]
fn variables_set_values_that_flags_do_not_set() {
    let variables = [
        ("SMTPMOCK_MSG_GREETING", "220 variable"),
        ("SMTPMOCK_FAIL_FAST", "T"),
        ("SMTPMOCK_SESSION_TIMEOUT", ""),
        ("SMTPMOCK_HOST", "localhost"),
    ];
    let program = start_command(command([""; 0]).envs(variables));
    let mut client = Client::connect(program.address());
    assert_eq!(client.reply(), "220 variable");
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("503"));
    assert_eq!(client.rest(), "", "fail-fast closes");

    let program = start_command(command(["--msg-greeting", "220 flag", "--fail-fast=false"]).envs(variables));
    let mut client = Client::connect(program.address());
    assert_eq!(client.reply(), "220 flag");
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("503"));
    assert_eq!(client.command("NOOP"), "250 Ok");
}

#[test]
fn texts_that_no_client_can_interpret_are_sent_with_a_warning() {
    for (arguments, sent, named) in [
        (["-msgGreeting", "hello"], "hello", "-msgGreeting \"hello\""),
        (["--msg-greeting", "999 x"], "999 x", "--msg-greeting \"999 x\""),
        (["--rule", "connect reply=\"999 x\""], "999 x", "--rule \"connect reply=\\\"999 x\\\"\""),
    ] {
        let program = start(arguments);
        assert_eq!(Client::connect(program.address()).reply(), sent);
        let ended = program.stopped();
        assert_eq!(ended.code(), Some(0));
        assert!(
            ended.complaint().starts_with(&format!("smtpmock: warning: {named} is sent unchanged")),
            "{ended:?}"
        );
        assert!(ended.complaint().ends_with("like 250 or 451 (RFC 5321 section 4.2), or raw:"), "{ended:?}");
    }
    assert_eq!(start(["-msgGreeting", "raw:hello"]).stopped().stderr, "");
}

#[test]
fn variables_of_other_programs_are_ignored() {
    let variables = [
        ("SMTPMOCK_PORT", "tcp://10.0.0.1:2525"),
        ("SMTPMOCK_PORT_2525_TCP", "tcp://10.0.0.1:2525"),
        ("SMTPMOCK_PORT_2525_TCP_PORT", "2525"),
        ("SMTPMOCK_SERVICE_HOST", "10.0.0.1"),
    ];
    let program = start_command(command([""; 0]).envs(variables));
    Client::greeted(program.address()).quit();
    assert_eq!(program.stopped().stderr, "");
}

#[test]
fn a_negative_session_timeout_closes_after_the_greeting() {
    let program = start(["-sessionTimeout=-1"]);
    let mut client = Client::connect(program.address());
    assert_eq!(client.reply(), "220 Welcome");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_server_can_listen_on_both_wildcards() {
    if !has_ipv6() {
        return;
    }
    let program = start(["--host", "0.0.0.0,[::]"]);
    let port = program.address().port();
    for address in [SocketAddr::from(([127, 0, 0, 1], port)), format!("[::1]:{port}").parse().expect("IPv6")]
    {
        Client::greeted(address).quit();
    }
}

#[test]
fn an_address_with_port_0_gets_its_own_port() {
    let program = start(["--host", "127.0.0.1:0,127.0.0.1"]);
    let addresses = program.addresses();
    assert_ne!(addresses[0].port(), addresses[1].port());
}

#[test]
fn names_of_one_label_are_refused_where_the_rules_for_addresses_require_it() {
    const HELO_REFUSED: &str = "501 HELO requires domain address or valid address literal";
    const MAIL_REFUSED: &str = "501 MAIL FROM requires valid email address";
    let accepted = ["250 Received", "250 Received", "250 Received"];
    let cases: [(&[&str], [&str; 3]); 5] = [
        (&[], accepted),
        (&["--addresses", "lenient"], accepted),
        (&["--addresses", "any"], accepted),
        (&["--addresses", "compat"], [HELO_REFUSED, HELO_REFUSED, MAIL_REFUSED]),
        (&["--addresses", "rfc5321"], ["250 Received", HELO_REFUSED, "250 Received"]),
    ];
    for (arguments, replies) in cases {
        let program = start(arguments);
        let mut client = Client::greeted(program.address());
        let told = ["EHLO vm", "EHLO web_1"].map(|line| client.command(line));
        client.ehlo();
        let [one_label, underscore] = told.each_ref().map(String::as_str);
        assert_eq!([one_label, underscore, &client.command("MAIL FROM:<root@vm>")], replies, "{arguments:?}");
    }
}

#[test]
fn quiet_prints_only_errors_and_failed_expectations_on_standard_error() {
    let flags = ["-q", "--exit-after=10ms", "--progress", "--msg-greeting=hello", "--expect=messages == 0"];
    let ended = run(flags);
    assert_eq!((ended.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
    let ended = run([&flags[..], &["--expect=messages == 1"]].concat());
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!((ended.code(), lines.len()), (Some(10), 1), "{ended:?}");
    assert!(lines[0].contains("messages == 1"), "{ended:?}");
}
