//! End to end with the server of this repository: STARTTLS and TLS from the start.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::mock::Mock;
use crate::support::files::path;
use crate::support::program::plain;
use crate::support::{Act, Load, Outcome, Sink, Verb};

const LISTENERS: [&str; 4] = ["--listen", "smtp://127.0.0.1:0", "--listen", "smtps://127.0.0.1:0"];

/// A server with certificates of its own, and the file of their authority.
fn mock(args: &[&str]) -> (Mock, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = path(&folder, "ca.pem");
    let own = ["--esmtp", "--tls", "--tls-ca-out", &ca];
    let mock = Mock::start_in(folder, &[&own[..], &LISTENERS, args].concat());
    (mock, ca)
}

/// The flag for a listener of this kind.
fn flags(kind: &str) -> &'static str {
    if kind == "smtp" { "--starttls required" } else { "" }
}

/// The number of messages aborted for this reason in the phase `tls`.
fn aborted(outcome: &Outcome, reason: &str) -> u64 {
    let rows = outcome.report["accounting"]["measured"]["aborted_by"].as_array().cloned().expect("a list");
    let fits = rows.iter().filter(|row| row["phase"] == "tls" && row["reason"] == reason);
    fits.filter_map(|row| row["count"].as_u64()).sum()
}

#[test]
fn messages_arrive_as_they_were_sent_in_every_shape() {
    for kind in ["smtp", "smtps"] {
        let (mock, ca) = mock(&[]);
        for shape in [
            "--size 10..90KiB",
            "--size 10..90KiB --pipelining --rcpts 50",
            "--size 10..300KiB --pipelining --chunking --chunk-size 70KiB",
            "--size 1KiB --threads 2 --tls-version 1.2",
        ] {
            let load = format!("-c 4 --count 60 --messages-per-session 7 --ca {ca} {} {shape}", flags(kind));
            let outcome = mock.load_at(kind, &load).expect(0);
            assert_eq!(
                (outcome.count("accepted"), outcome.number("/verification/intact")),
                (60, 60),
                "{shape}"
            );
            let dialed = outcome.number("/sessions/dialed");
            assert_eq!(outcome.number("/latency/tls/ok/count"), dialed, "{shape}");
            let version = if shape.contains("1.2") { "tls_1_2" } else { "tls_1_3" };
            assert_eq!(outcome.number(&format!("/sessions/handshakes/{version}")), dialed, "{shape}");
            let mode = if kind == "smtp" { "required" } else { "implicit" };
            assert_eq!(outcome.report["settings"]["shape"]["tls"]["mode"], mode);
        }
        let report = mock.report();
        assert_eq!(report["metrics"]["messages"].as_u64(), Some(240));
    }
}

#[test]
fn sessions_resume_those_before_them_unless_that_is_off() {
    for version in ["1.2", "1.3"] {
        let (mock, ca) = mock(&[]);
        let load = |switch: &str| {
            let shape = format!("-c 2 --count 40 --messages-per-session 1 --tls-version {version}");
            let outcome =
                mock.load_at("smtps", &format!("{shape} --ca {ca} --resumption {switch}")).expect(0);
            let of = |kind: &str| outcome.number(&format!("/sessions/handshakes/{kind}"));
            (of("full"), of("resumed"))
        };
        let (full, resumed) = load("on");
        assert!((1..=2).contains(&full) && full + resumed == 40, "{full} {resumed}");
        assert_eq!(load("off"), (40, 0));
    }
}

#[test]
fn a_certificate_that_is_not_accepted_names_the_remedy() {
    let (mock, ca) = mock(&[]);
    for kind in ["smtp", "smtps"] {
        for (trust, reason, remedy) in [
            (String::new(), "certificate-issuer", "--ca FILE"),
            (format!("--ca {ca} --tls-name mail.example.org"), "certificate-name", "--tls-name"),
        ] {
            let outcome = mock.load_at(kind, &format!("-c 1 --count 2 {} {trust}", flags(kind)));
            // Some systems have no authorities at all.
            if trust.is_empty() && outcome.code == 2 {
                assert!(outcome.stderr.contains("add --ca FILE or --insecure"), "{}", outcome.stderr);
                continue;
            }
            outcome.check_sum();
            outcome.code_is(1);
            assert_eq!(aborted(&outcome, reason), 2, "{}", outcome.stdout);
            assert_eq!(outcome.number("/latency/tls/failed/count"), 2);
            assert!(outcome.stderr.contains("tls: certificate of "), "{}", outcome.stderr);
            assert!(outcome.stderr.contains(remedy), "{}", outcome.stderr);
        }
        let outcome = mock.load_at(kind, &format!("-c 1 --count 2 {} --insecure", flags(kind))).expect(0);
        assert_eq!(outcome.report["settings"]["shape"]["tls"]["trust"], "any");
    }
}

/// A certificate for 127.0.0.1 that is valid to the beginning of this year, signed by itself, and the files of it and its key.
fn signed_by_itself(folder: &TempDir, year: i32) -> (String, String) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("names");
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let files = (path(folder, "cert.pem"), path(folder, "key.pem"));
    std::fs::write(&files.0, params.self_signed(&key).expect("a certificate").pem()).expect("written");
    std::fs::write(&files.1, key.serialize_pem()).expect("written");
    files
}

#[test]
fn gates_limit_handshakes_and_their_times() {
    let (mock, ca) = mock(&["--rule", "tls nth=5 certificate=expired"]);
    // One after another, so that each has the tickets of those before it; the fifth must show its certificate, as its
    // ticket is not accepted.
    let load = format!("-c 1 --count 20 --messages-per-session 1 --tls-version 1.3 --ca {ca}");
    let hold = "--expect=handshakes.failed==1 --expect=handshakes.resumed>=80% --fail-if=handshakes.full>10% \
                --expect=count(tls.failed)==1 --fail-if=p99(tls)>10m";
    let outcome = mock.load_at("smtps", &format!("{load} {hold}")).expect(0);
    assert_eq!((outcome.count("accepted"), outcome.number("/sessions/handshakes/failed")), (19, 1));
    assert_eq!(outcome.report["gates"][0]["found"], "1 of 20, 5.000%");
    for gate in ["--fail-if=handshakes.full>0", "--fail-if=min(tls)<10m", "--expect=handshakes.tls_1_2>0"] {
        let outcome = mock.load_at("smtps", &format!("{load} {gate}"));
        outcome.code_is(10);
        assert_eq!(outcome.number("/sessions/handshakes/failed"), 0, "the rule fires once");
    }
    // Without a handshake there is no share of them.
    let outcome = mock.load_at("smtp", "-c 1 --count 2 --fail-if=handshakes.failed>0");
    outcome.code_is(10);
    assert_eq!(outcome.report["gates"][0]["found"], "no samples");
}

#[test]
fn an_expired_certificate_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = signed_by_itself(&folder, 2001);
    let mock = Mock::start(&[&LISTENERS[..], &["--tls-cert", &cert, "--tls-key", &key]].concat());
    let outcome = mock.load_at("smtps", &format!("-c 1 --count 2 --ca {cert}"));
    outcome.code_is(1);
    assert_eq!(aborted(&outcome, "certificate-expired"), 2, "{}", outcome.stdout);
    assert!(outcome.stderr.contains("certificate expired (2 times); --insecure"), "{}", outcome.stderr);
    mock.load_at("smtps", "-c 1 --count 2 --insecure").expect(0);
}

#[test]
fn a_server_in_the_clear_is_no_server_of_smtps() {
    let mock = Mock::start(&[]);
    let address = mock.ready()["smtp"][0].as_str().expect("an address").to_owned();
    let outcome = plain(&[&format!("smtps://{address}"), "--insecure", "-c", "1", "--count", "2"]);
    outcome.code_is(1);
    assert!(outcome.stderr.contains("tls: invalid TLS (2 times)"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--starttls required"), "{}", outcome.stderr);
}

#[test]
fn both_sides_agree_within_tls_on_lmtp_and_smtp() {
    let lmtp = ["--listen", "lmtp://127.0.0.1:0", "--listen", "lmtps://127.0.0.1:0"];
    let rule = ["--rule", "message to=user1@* reply=\"452 4.2.2 Full\""];
    for (kind, dialect) in [("lmtp", "--lmtp"), ("lmtps", "--lmtp"), ("smtp", ""), ("smtps", "")] {
        // With SMTP the one reply to the message is that of all its recipients.
        let rule = if kind.starts_with('l') { &rule[..] } else { &[] };
        let (mock, ca) = mock(&[&lmtp[..], rule].concat());
        let shape = "-c 3 --count 60 --messages-per-session 4 --rcpts 3 --size 2KiB --pipelining";
        let starttls = if kind.ends_with('s') { "" } else { "--starttls required" };
        let outcome = mock.load_at(kind, &format!("{shape} --ca {ca} {dialect} {starttls}")).expect(0);
        let accepted = if rule.is_empty() { 180 } else { 120 };
        assert_eq!(
            (outcome.count("accepted"), outcome.count("recipients_accepted")),
            (60, accepted),
            "{kind}"
        );
        assert_eq!(outcome.number("/verification/intact"), 60, "{kind}");
        let of = |name: &str| Some(outcome.number(&format!("/sessions/handshakes/{name}")));
        let report = mock.report();
        let metric = |name: &str| report["metrics"][name].as_u64();
        assert_eq!(metric("messages"), Some(60), "{kind}");
        assert_eq!(metric("tls.handshakes"), Some(outcome.number("/sessions/dialed")), "{kind}");
        assert_eq!(metric("tls.resumed"), of("resumed"), "{kind}");
        assert_eq!(metric("tls.v1_3"), of("tls_1_3"), "{kind}");
    }
}

#[test]
fn a_server_of_the_other_dialect_is_named_within_tls_too() {
    let (mock, ca) = mock(&["--listen", "lmtps://127.0.0.1:0"]);
    for (kind, dialect, remedy) in [("smtps", "--lmtp", "leave out --lmtp"), ("lmtps", "", "add --lmtp")] {
        let outcome = mock.load_at(kind, &format!("-c 1 --count 2 --ca {ca} {dialect}"));
        outcome.code_is(1);
        assert!(outcome.stderr.contains(remedy), "{kind}: {}", outcome.stderr);
    }
}

#[test]
fn a_message_whose_handshake_waits_for_others_of_the_generator_is_late() {
    let (mock, ca) = mock(&[]);
    let load = format!("-c 1 --count 6 --messages-per-session 1 --ca {ca} --late-after");
    // Nothing is continued within a nanosecond. A closed loop is late by nothing else but stalls.
    let outcome = mock.load_at("smtps", &format!("{load} 1ns"));
    outcome.check_sum();
    assert_eq!(outcome.number("/generator/late"), 6, "each once");
    let outcome = mock.load_at("smtps", &format!("{load} 1h")).expect(0);
    assert_eq!(outcome.number("/generator/late"), 0);
}

#[test]
fn a_server_that_awaits_tls_is_no_server_in_the_clear() {
    let (mock, _) = mock(&[]);
    let address = mock.ready()["smtps"][0].as_str().expect("an address").to_owned();
    let remedy = "a server that encrypts from the start greets only then: its target is smtps://HOST";
    for flags in ["--timeout banner=200ms", "--timeout banner=200ms --starttls required --insecure"] {
        let outcome = Load::at(&address).with("-c 1 --count 2").with(flags).run();
        outcome.code_is(1);
        assert!(outcome.stderr.contains(remedy), "{flags}: {}", outcome.stderr);
    }
    let outcome = Load::at(&address).with("-c 1 --count 2 --give-up-after 300ms").run();
    outcome.code_is(1);
    assert!(outcome.stderr.contains("gave up") && outcome.stderr.contains(remedy), "{}", outcome.stderr);
    // One that has greeted does not encrypt from the start.
    let sink = Sink::answering(Verb::Dot, Act::Silence);
    let outcome = Load::on(&sink).with("-c 1 --count 1 --timeout dot=200ms").run();
    outcome.code_is(1);
    assert!(!outcome.stderr.contains("smtps://"), "{}", outcome.stderr);
}

#[test]
fn an_alert_of_the_server_has_its_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = signed_by_itself(&folder, 4000);
    let own = format!("--cert {cert} --key {key}");
    let [version, required] = [b"\x15\x03\x03\x00\x02\x02\x46", b"\x15\x03\x03\x00\x02\x02\x74"];
    let [failure, issuer] = [b"\x15\x03\x03\x00\x02\x02\x28", b"\x15\x03\x03\x00\x02\x02\x30"];
    for (alert, flags, remedy) in [
        (version, "--tls-version 1.2", "alert protocol_version (once); without --tls-version"),
        (version, "", "alert protocol_version (once) (exit 1)"),
        (
            required,
            "",
            "alert certificate_required (once); the server requires a certificate of the client: --cert",
        ),
        (
            failure,
            "",
            "alert handshake_failure (once); a server that requires a certificate of the client may",
        ),
        (failure, &own, "alert handshake_failure (once) (exit 1)"),
        (issuer, &own, "alert unknown_ca (once); the server does not accept the certificate of --cert"),
        (issuer, "", "alert unknown_ca (once) (exit 1)"),
    ] {
        let sink = answering_starttls(Act::AfterHello(alert));
        let load = Load::on(&sink).with("-c 1 --count 1 --starttls required --insecure").with(flags);
        let outcome = load.run();
        outcome.code_is(1);
        assert!(outcome.stderr.contains(remedy), "{flags} {remedy}: {}", outcome.stderr);
    }
}

#[test]
fn a_client_has_a_certificate_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = signed_by_itself(&folder, 4000);
    let (mock, ca) = mock(&["--tls-client-ca", &cert, "--tls-client", "required"]);
    for kind in ["smtp", "smtps"] {
        let load = format!("-c 2 --count 12 --messages-per-session 3 --ca {ca} {}", flags(kind));
        for version in ["1.2", "1.3"] {
            let own = format!("{load} --tls-version {version} --cert {cert} --key {key}");
            let outcome = mock.load_at(kind, &own).expect(0);
            assert_eq!(outcome.number("/verification/intact"), 12, "{kind} {version}");
            assert_eq!(outcome.report["settings"]["shape"]["tls"]["client_certificate"], true);
        }
        for version in ["1.2", "1.3"] {
            let outcome = mock.load_at(kind, &format!("{load} --tls-version {version}"));
            outcome.code_is(1);
            assert_eq!(outcome.count("accepted"), 0, "{kind}");
            assert!(
                outcome.stderr.contains("--cert FILE --key FILE"),
                "{kind} {version}: {}",
                outcome.stderr
            );
        }
    }
    let report = mock.report();
    assert!(report["metrics"]["tls.client_certificates"].as_u64() >= Some(16), "{report}");
}

#[test]
fn a_server_without_starttls_is_an_error_only_where_it_is_required() {
    let mock = Mock::start(&["--esmtp"]);
    let outcome = mock.load_at("smtp", "-c 1 --count 3 --starttls required --insecure");
    outcome.check_sum();
    outcome.code_is(1);
    assert_eq!(aborted(&outcome, "no-starttls"), 3);
    assert!(outcome.stderr.contains("tls: STARTTLS not offered (3 times)"), "{}", outcome.stderr);
    assert!(mock.records().is_empty());
    let outcome = mock.load_at("smtp", "-c 1 --count 3 --starttls opportunistic --insecure").expect(0);
    assert_eq!((outcome.count("accepted"), outcome.number("/sessions/without_starttls")), (3, 1));
}

/// A server that offers STARTTLS, and answers it like this.
fn answering_starttls(act: Act) -> Sink {
    Sink::offering("250-me\r\n250 STARTTLS\r\n", move |turn| {
        if turn.verb == Verb::Starttls { act.clone() } else { Act::Usual }
    })
}

#[test]
fn a_refusal_of_starttls_is_one_of_the_message_only_where_it_is_required() {
    for (reply, code) in [("454 4.7.0 Not now\r\n", 454), ("502 5.5.1 What\r\n", 502)] {
        let sink = answering_starttls(Act::Say(reply));
        let outcome = Load::on(&sink).with("-c 1 --count 2 --starttls required --insecure").run();
        outcome.check_sum();
        outcome.code_is(1);
        let row = &outcome.report["accounting"]["measured"]["refused_by"][0];
        assert_eq!(row["phase"], "tls");
        assert_eq!((row["code"].as_u64(), row["count"].as_u64()), (Some(code), Some(2)));
        assert!(outcome.stderr.contains(&format!("tls: reply {code}")), "{}", outcome.stderr);
        let load = "-c 1 --count 2 --starttls opportunistic --insecure";
        let outcome = Load::on(&sink).with(load).run().expect(0);
        assert_eq!((outcome.count("accepted"), outcome.number("/sessions/starttls_refused")), (2, 1));
    }
}

#[test]
fn what_is_no_handshake_ends_the_session_with_its_reason() {
    for (act, reason) in [
        (Act::Say("220 go\r\n250 injected\r\n"), "early-reply"),
        (Act::Say("220 go\r\n250 inj"), "early-reply"),
        (Act::AfterHello(b"no TLS at all, but plain text"), "tls-invalid"),
        // An alert of a server that has no certificate for this name.
        (Act::AfterHello(b"\x15\x03\x03\x00\x02\x02\x70"), "alert-unrecognized_name"),
    ] {
        let sink = answering_starttls(act);
        let outcome = Load::on(&sink).with("-c 1 --count 2 --starttls opportunistic --insecure").run();
        outcome.check_sum();
        outcome.code_is(1);
        assert_eq!(aborted(&outcome, reason), 2, "{reason}: {}", outcome.stdout);
    }
}

#[test]
fn a_handshake_has_a_timeout_of_its_own() {
    let sink = answering_starttls(Act::Say("220 go\r\n"));
    let load = "-c 1 --count 1 --starttls required --insecure --timeout tls=200ms";
    let outcome = Load::on(&sink).with(load).run();
    outcome.code_is(1);
    let row = &outcome.report["accounting"]["measured"]["timed_out_by"][0];
    assert_eq!(row["phase"], "tls");
    assert!(outcome.millis("tls", "failed", "p50") >= Duration::from_millis(200).as_secs_f64() * 1e3);
}

#[test]
fn many_handshakes_at_once_take_turns_and_lose_none() {
    let (mock, ca) = mock(&[]);
    let load = format!("-c 100 --count 300 --messages-per-session 1 --resumption off --ca {ca}");
    let outcome = mock.load_at("smtps", &load).expect(0);
    assert_eq!((outcome.count("accepted"), outcome.number("/sessions/handshakes/full")), (300, 300));
    assert_eq!(outcome.number("/verification/intact"), 300);
}

#[test]
fn clients_authenticate_within_tls_behind_a_proxy_header() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = path(&folder, "ca.pem");
    let listeners =
        ["--listen", "smtp://127.0.0.1:0?proxy=require", "--listen", "smtps://127.0.0.1:0?proxy=require"];
    let others =
        ["--tls", "--tls-ca-out", &ca, "--trust", "127.0.0.1", "--auth", "ann:secret", "--auth-required"];
    let mock = Mock::start_in(folder, &[&listeners[..], &others].concat());
    let load = format!(
        "-c 2 --count 20 --messages-per-session 4 --auth ann:secret --proxy-protocol 10.1.0.0/16 --ca {ca}"
    );
    for kind in ["smtp", "smtps"] {
        let outcome = mock.load_at(kind, &format!("{load} {}", flags(kind))).expect(0);
        assert_eq!(outcome.number("/verification/intact"), 20, "{kind}");
        assert!(outcome.number("/sessions/authenticated/SCRAM-SHA-256") >= 5);
    }
}

#[test]
fn flags_that_make_no_tls_say_what_would() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = path(&folder, "text.pem");
    std::fs::write(&text, "no certificate").expect("written");
    for (args, remedy) in [
        (&["127.0.0.1:1", "--insecure"][..], "add --starttls required, or write smtps://HOST"),
        (&["smtp://127.0.0.1:1"], "with --starttls to use STARTTLS, or smtps://HOST[:PORT]"),
        (&["smtps://127.0.0.1:1", "--tls-version", "1.1"], "[possible values: 1.2, 1.3]"),
        (&["127.0.0.1:1", "--resumption", "off"], "--resumption off: nothing is encrypted"),
        (&["smtps://127.0.0.1", "--starttls", "required"], "encrypted from the start"),
        (&["unix:/run/x", "--starttls", "required", "--insecure"], "add --tls-name NAME"),
        (&["smtps://127.0.0.1", "--ca", "/nowhere/ca.pem"], "--ca /nowhere/ca.pem: "),
        (&["smtps://127.0.0.1", "--ca", &text], "there is no certificate in PEM"),
        (&["smtps://127.0.0.1", "--insecure", "--cert", &text, "--key", &text], "no certificate in PEM"),
        (&["smtps://127.0.0.1", "--insecure", "--cert", &text], "--key"),
        (&["smtps://127.0.0.1", "--insecure", "--ca", &text], "--insecure"),
        (&["smtps://127.0.0.1", "--insecure", "--tls-name", "a b"], "no host name or IP address"),
    ] {
        let outcome = plain(args);
        outcome.code_is(2);
        assert!(outcome.stderr.contains(remedy), "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn each_of_several_targets_is_verified_by_its_own_name() {
    let ((one, one_ca), (other, other_ca)) = (mock(&[]), mock(&[]));
    let [first, second] = [&one, &other].map(|mock| {
        let ready = mock.ready();
        let address = ready["smtps"][0].as_str().expect("an address").to_owned();
        address.rsplit_once(':').expect("a port").1.to_owned()
    });
    let named = format!("smtps://localhost:{second}");
    let load = |count: u64, more: &str| {
        let load = Load::at(&format!("smtps://127.0.0.1:{first}")).arg("--target").arg(&named);
        let load =
            load.with(&format!("-4 -c 4 --count {count} --messages-per-session 5 --ca {one_ca} {more}"));
        load.with(&format!("--verify {} --verify {}", one.capture(), other.capture())).run()
    };
    let outcome = load(40, &format!("--ca {other_ca}")).expect(0);
    assert_eq!((outcome.count("accepted"), outcome.number("/verification/intact")), (40, 40));
    let handshakes =
        outcome.number("/sessions/handshakes/full") + outcome.number("/sessions/handshakes/resumed");
    assert_eq!(handshakes, outcome.number("/sessions/dialed"));
    // The authority of one target only.
    let outcome = load(8, "");
    outcome.code_is(1);
    assert_eq!((outcome.count("accepted"), outcome.count("aborted")), (4, 4));
    assert!(outcome.stderr.contains(&format!("accepted by {named} (tls: ")), "{}", outcome.stderr);
}
