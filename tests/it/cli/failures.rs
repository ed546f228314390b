//! Errors of wrong flags and values, and of a failed start.

use std::net::TcpListener;

use crate::support::process::Ended;
use crate::support::program::{command, run};

/// Asserts that nothing is started and that the reason is printed on one line with these words.
fn complains(arguments: &[&str], code: i32, words: &[&str]) {
    let ended = run(arguments);
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(code), ""), "{arguments:?}: {ended:?}");
    for word in words {
        assert!(ended.complaint().contains(word), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn the_error_of_an_unknown_flag_names_the_nearest_known_one() {
    for (arguments, words) in [
        (&["-sesionTimeout", "3"][..], &["-sesionTimeout", "did you mean -sessionTimeout?"][..]),
        (&["--sesion-timeout=3"], &["--sesion-timeout", "did you mean --session-timeout?"]),
        (&["-log", "-prt=1"], &["-prt", "did you mean -port?"]),
        (&["---"], &["bad flag syntax: ---"]),
        (&["-=1"], &["bad flag syntax: -=1"]),
        (&["-host"], &["flag needs an argument: -host"]),
    ] {
        complains(arguments, 2, words);
    }
}

#[test]
fn the_error_of_a_wrong_value_names_the_flag_and_the_valid_form() {
    for (arguments, words) in [
        (&["-port", "abc"][..], &["\"abc\" for -port", "like 2525"][..]),
        (&["--port="], &["\"\" for --port", "a whole number"]),
        (&["-port", "1.5"], &["\"1.5\" for -port"]),
        (&["-port", "9223372036854775808"], &["for -port", "out of range"]),
        (&["-log=maybe"], &["\"maybe\" for -log", "true or false"]),
        (&["--session-timeout", "soon"], &["for --session-timeout", "250ms"]),
        (&["--msg-size-limit", "10XB"], &["for --msg-size-limit", "10MiB"]),
        (
            &["--msg-greeting", "220-a\n250 b"],
            &[
                "\"220-a\\n250 b\" for --msg-greeting",
                "the code of the first line in every line",
                "or raw: in front",
            ],
        ),
        (
            &["-msgQuitCmd", "221 a\n221 b"],
            &["for -msgQuitCmd", "a hyphen behind the code in every line of a reply but"],
        ),
        (
            &["--msg-greeting", "220-a\n220-b"],
            &["for --msg-greeting", "a space behind the code in the last line"],
        ),
        (&["--msg-greeting", "220-a"], &["for --msg-greeting", "a space behind the code in the last line"]),
        (&["--msg-greeting", "\n"], &["for --msg-greeting", "a reply with a code"]),
        (&["--records", "all"], &["for --records", "message or session"]),
        (&["--shards", "300"], &["\"300\" for --shards", "256"]),
        (&["--show", "--records=session"], &["\"session\" for --records", "message", "one of its mails"]),
        (
            &["-captureFormat", "mbox", "-capture=x", "-records", "session"],
            &["\"session\" for -records", "message", "one of its mails"],
        ),
        (&["--capture-content", "x"], &["for --capture-content", "message or envelope"]),
        (&["--addresses", "x"], &["for --addresses", "compat or rfc5321 or any"]),
    ] {
        complains(arguments, 2, words);
    }
}

#[test]
fn the_error_of_a_wrong_variable_names_it() {
    let ended = Ended::of(command([""; 0]).env("SMTPMOCK_RESPONSE_DELAY_HELO", "soon"));
    assert_eq!(ended.code(), Some(2));
    assert!(ended.complaint().contains("\"soon\" for SMTPMOCK_RESPONSE_DELAY_HELO"));
}

#[test]
fn the_error_of_a_port_in_use_names_it_and_the_exit_code_is_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let port = address.port().to_string();
    for arguments in [&["-port", &port][..], &["-log", "-port", &port], &["-shards=2", "-port", &port]] {
        complains(arguments, 1, &[&address.to_string(), "in use"]);
    }
}

#[test]
fn the_error_of_a_failed_listen_names_the_address() {
    // 192.0.2.0/24 is reserved for documentation: no machine has it.
    complains(&["-host", "192.0.2.1"], 1, &["192.0.2.1"]);
    for flag in ["-port", "--port"] {
        for value in ["65536", "-1"] {
            complains(&[flag, value], 2, &[flag, value, "65535"]);
        }
    }
    for flag in ["-host", "--host"] {
        for value in ["256.1.1.1", "nowhere.example.com", "127.0.0.1,", "[::1],127.0.0.1,127.0.0.1"] {
            complains(&[flag, value], 2, &[flag]);
        }
    }
}

#[test]
fn a_leading_word_is_refused_with_a_hint() {
    for (word, hint) in [
        ("help", "did you mean --help?"),
        ("serve", "the commands are merge FILE..., ready URL, man and completions SHELL"),
        ("merge", "merge needs a report: smtpmock merge a.json b.json"),
        ("2525", "did you mean --port 2525?"),
    ] {
        complains(&[word], 2, &[word, hint]);
    }
}

#[test]
fn the_error_of_a_misspelled_variable_names_it() {
    let ended = Ended::of(command([""; 0]).env("SMTPMOCK_PRT", "2525"));
    assert_eq!(ended.code(), Some(2));
    assert!(ended.complaint().contains("unknown variable SMTPMOCK_PRT: did you mean SMTPMOCK_PORT?"));
}

/// A file that cannot be created.
const MISSING: &str = "/nonexistent-directory/file";

#[test]
fn files_that_cannot_be_written_are_named_and_the_exit_code_is_1() {
    for flag in ["--capture", "--ready-file", "--report-json", "--report-html", "--hlog"] {
        complains(&[flag, MISSING], 1, &[MISSING]);
    }
}

#[test]
fn a_failed_start_prints_no_report() {
    complains(&["--ready-file", MISSING, "--report", "--expect", "messages == 1"], 1, &[MISSING]);
}
