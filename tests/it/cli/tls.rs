//! TLS as the program has it: its flags, and the ready line.

use std::fs;
use std::io::Read as _;

use serde_json::Value;

use crate::server::client_ca::{Ca, trusting_with};
use crate::support::encrypted::{Encrypted, connect};
use crate::support::program::{run, start};

#[test]
fn the_ready_line_names_encrypted_listeners_and_the_ca() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    let ca_out = format!("--tls-ca-out={}", ca.display());
    assert_eq!(run([&*ca_out, "--exit-after=10ms"]).code(), Some(0));
    let earlier = fs::read_to_string(&ca).expect("written");
    let listen = ["--listen=smtp://127.0.0.1", "--listen=lmtps://127.0.0.1", "--listen=smtps://127.0.0.1"];
    let program = start(listen.into_iter().chain(["--tls-name=mx.example.com", &*ca_out]));
    let line: Value = serde_json::from_str(&program.ready_line).expect("JSON");
    for kind in ["smtp", "smtps", "lmtps"] {
        assert!(line[kind][0].as_str().is_some_and(|text| text.starts_with("127.0.0.1:")), "{line}");
    }
    assert_eq!((&line["lmtp"], line["tls_ca"].as_str()), (&Value::Null, ca.to_str()));
    let pem = fs::read_to_string(&ca).expect("written");
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && pem != earlier, "{pem}");
}

/// The capture would have replaced the key.
#[test]
fn no_output_goes_to_a_certificate_or_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let key = rcgen::KeyPair::generate().expect("a key");
    let parameters = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
    fs::write(path("cert"), parameters.self_signed(&key).expect("a certificate").pem()).expect("a file");
    fs::write(path("key"), key.serialize_pem()).expect("a file");
    for name in ["cert", "key"] {
        let others = ["--tls-cert", &path("cert"), "--tls-key", &path("key"), "--exit-after=10ms"];
        let ended = run(["--capture", &path(name)].into_iter().chain(others));
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(ended.complaint().contains(&format!("--tls-{name}")), "{ended:?}");
        assert!(fs::read_to_string(path(name)).expect("a file").starts_with("-----BEGIN"));
    }
}

#[test]
fn the_capture_and_the_log_name_a_client_by_its_certificate_and_nothing_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let ca = Ca::new();
    fs::write(path("clients.pem"), &ca.pem).expect("a file");
    let flag = |name: &str, file: &str| format!("--{name}={}", path(file).display());
    let files = [
        flag("tls-client-ca", "clients.pem"),
        flag("tls-ca-out", "ca.pem"),
        flag("capture", "mail.jsonl"),
        flag("report-json", "report.json"),
    ];
    let fixed =
        ["--listen=smtps://127.0.0.1", "--tls-client=required", "--auth-mechanisms=EXTERNAL", "--log"];
    let program = start(fixed.into_iter().chain(files.iter().map(String::as_str)));
    let line: Value = serde_json::from_str(&program.ready_line).expect("JSON");
    let address = line["smtps"][0].as_str().expect("an address").parse().expect("an address");
    let pem = fs::read_to_string(path("ca.pem")).expect("written");
    let ann = trusting_with(&pem, Some(ca.ann()), rustls::ALL_VERSIONS);
    let mut client = Encrypted::over(connect(address), &ann, "localhost");
    assert_eq!(client.reply(), "220 Welcome");
    assert!(client.command("EHLO client.example").starts_with("250 "));
    assert!(client.command("AUTH EXTERNAL =").starts_with("235 "));
    client.mail();
    client.quit();
    let nobody = trusting_with(&pem, None, rustls::ALL_VERSIONS);
    let mut client = Encrypted::over(connect(address), &nobody, "localhost");
    client.0.get_mut().read(&mut [0]).expect_err("an alert");
    drop(client);
    let ended = program.stopped();
    let record: Value =
        serde_json::from_str(&fs::read_to_string(path("mail.jsonl")).expect("a capture")).expect("JSON");
    for (field, expected) in [
        ("tls_client_subject", "CN=ann,O=Example\\, Inc."),
        ("tls_client_name", "ann@example.com"),
        ("auth_user", "ann"),
        ("auth_mechanism", "EXTERNAL"),
    ] {
        assert_eq!(record[field], expected, "{record}");
    }
    let report: Value =
        serde_json::from_str(&fs::read_to_string(path("report.json")).expect("a report")).expect("JSON");
    assert_eq!(report["metrics"]["tls.client_certificates"], 1);
    assert_eq!(report["metrics"]["tls.ended_by_server"], 1);
    assert_eq!(report["tls_server_names"], serde_json::json!({"localhost": 1}));
    let log = format!("{ended:?}");
    assert!(log.contains("the client sent no certificate"), "{log}");
    let of_tls: Vec<_> = log.split("\\n").filter(|line| line.contains("TLS handshake")).collect();
    assert_eq!(of_tls.len(), 2, "{log}");
    let agreed = "TLS handshake: version 1.3, suite TLS13_";
    assert!(!of_tls[0].contains(agreed) && of_tls[0].contains("version 1.3, suite TLS_"), "{log}");
    assert!(of_tls[0].contains("server name localhost, full, client certificate CN=ann,O=Example"), "{log}");
}

#[test]
fn what_can_not_be_is_refused_with_the_flag() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (text, key) = (path("text"), path("key"));
    fs::write(&text, "no certificate").expect("a file");
    fs::write(&key, "no key").expect("a file");
    let missing = path("missing");
    for (arguments, expected) in [
        (&["--listen", "smtps://127.0.0.1"][..], "for --listen: expected TLS for it: --tls"),
        (&["--tls-cert", &text], "--tls-cert: expected a --tls-key for each"),
        (&["--tls-key", &key], "--tls-key: expected a --tls-cert for each"),
        (&["--tls-cert", &text, "--tls-key", &key], "text\" for --tls-cert: expected certificates in PEM"),
        (&["--tls-cert", &missing, "--tls-key", &key], "for --tls-cert: expected a readable file"),
        (&["--tls-ca-cert", &text], "--tls-ca-cert: expected --tls-ca-key beside it"),
        (&["--tls-ca-cert", &text, "--tls-ca-key", &key], "for --tls-ca-cert: expected certificates in PEM"),
        (&["--tls-name", "a b"], "\"a b\" for --tls-name: expected names of hosts"),
        (&["--tls-client", "required"], "--tls-client: expected --tls-client-ca beside it"),
        (&["--tls-client-ca", &text, "--tls-client", "perhaps"], "for --tls-client: expected"),
        (&["--tls-client-ca", &text], "for --tls-client-ca: expected certificates in PEM"),
        (&["--tls-client-ca", &missing], "for --tls-client-ca: expected a readable file"),
        (&["--tls-min", "1.1"], "for --tls-min: expected"),
        (&["--tls-min", "1.3", "--tls-max", "1.2"], "for --tls-min: expected a lowest version"),
        (&["--auth-clear", "refuse"], "for --auth-clear: expected TLS for it"),
        (&["--tls", "--auth-clear", "no"], "for --auth-clear: expected"),
        (
            &["--tls", "--tls-cert", &text, "--tls-key", &key, "--tls-ca-out", &missing],
            "--tls-ca-out: expected no",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.complaint().contains(expected), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_rule_that_shows_a_wrong_certificate_needs_a_ca_and_one_at_tls_needs_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: String| fs::write(path(name), text).expect("a file");
    let (ca_key, key) =
        (rcgen::KeyPair::generate().expect("a key"), rcgen::KeyPair::generate().expect("a key"));
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    write("ca", parameters.self_signed(&ca_key).expect("a certificate").pem());
    write("ca.key", ca_key.serialize_pem());
    let parameters = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
    write("cert", parameters.self_signed(&key).expect("a certificate").pem());
    write("key", key.serialize_pem());
    let rule = ["--rule=tls certificate=expired", "--exit-after=10ms"];
    let own = [format!("--tls-cert={}", path("cert")), format!("--tls-key={}", path("key"))];
    let ca = [format!("--tls-ca-cert={}", path("ca")), format!("--tls-ca-key={}", path("ca.key"))];
    let own = own.iter().map(String::as_str);
    let refused = run(rule.into_iter().chain(own.clone()));
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    let complaint = refused.complaint();
    assert!(
        complaint.contains("for --rule: expected beside a certificate of your own the CA"),
        "{complaint}"
    );
    let possible = run(rule.into_iter().chain(own).chain(ca.iter().map(String::as_str)));
    assert_eq!(possible.code(), Some(0), "{possible:?}");
    let idle = run(rule);
    assert_eq!(idle.code(), Some(0), "{idle:?}");
    assert!(idle.complaint().contains("--tls: else there is no handshake"), "{idle:?}");
}
