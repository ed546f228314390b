//! Tools that examine servers of TLS, as far as they are installed: gnutls-cli, sslyze and testssl.sh.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::clients::{note_skipped, output_or_skip, run_or_skip};
use super::tls::Encrypting;
use crate::support::figures::after_sessions;

#[test]
fn gnutls_verifies_the_chain_and_the_name() {
    let encrypting = Encrypting::start();
    let [clear, encrypted, lmtp] = encrypting.ports();
    let ca = format!("--x509cafile={}", encrypting.ca());
    let starttls = |protocol| format!("--starttls-proto={protocol}");
    for (number, (port, way)) in
        (1..).zip([(clear, Some(starttls("smtp"))), (encrypted, None), (lmtp, Some(starttls("lmtp")))])
    {
        let port = format!("--port={port}");
        let arguments = ["localhost", &ca, &port].into_iter().chain(way.as_deref());
        let arguments: Vec<&str> = arguments.collect();
        let Some(output) = run_or_skip("gnutls-cli", &arguments, "QUIT\r\n") else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("- Status: The certificate is trusted."), "{text}");
        assert!(text.contains("(TLS1.3-") && text.contains("221 "), "{text}");
        assert_eq!(after_sessions(&encrypting.server, number).tls.handshakes, number);
    }
}

/// Mozilla's recommendations for servers, the intermediate ones.
#[test]
fn sslyze_finds_the_server_compliant() {
    let Some(program) = std::env::var_os("SSLYZE").map(PathBuf::from) else {
        return note_skipped("sslyze", "see .ci/run for where SSLYZE says it is");
    };
    let encrypting = Encrypting::start();
    let [clear, encrypted, _] = encrypting.ports();
    let ca = encrypting.ca();
    for (port, way) in [(clear, &["--starttls", "smtp"][..]), (encrypted, &[])] {
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(&program);
        command.args(["--certinfo_ca_file", &ca, "--mozilla_config", "intermediate"]).args(way).arg(&address);
        let Some(output) = output_or_skip(&mut command, "") else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(&format!("{address}: OK - Compliant.")), "{text}");
    }
}

/// Nothing is found that is above LOW, except that certificates of a CA made at the start can't be revoked.
#[test]
#[ignore = "it takes half a minute: .ci/run runs it"]
fn testssl_finds_nothing_above_low() {
    let encrypting = Encrypting::start();
    let [clear, _, _] = encrypting.ports();
    let address = format!("127.0.0.1:{clear}");
    let (ca, report) = (encrypting.ca(), encrypting.path("report.json"));
    // Protocols, ciphers, forward secrecy, the server's preferences and defaults, and vulnerabilities.
    let checks = ["-p", "-s", "-f", "-P", "-S", "-U"];
    let arguments = ["--quiet", "--warnings", "off", "--color", "0", "--add-ca", &ca];
    let arguments = arguments.into_iter().chain(["--jsonfile", &report, "-t", "smtp"]).chain(checks);
    let mut command = Command::new("testssl");
    let Some(output) = output_or_skip(command.args(arguments).arg(&address), "") else { return };
    let report = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings: Vec<Value> = serde_json::from_str(&report).expect("JSON");
    let severity = |id: &str| {
        let finding = findings.iter().find(|finding| finding["id"] == id);
        finding
            .and_then(|finding| finding["severity"].as_str())
            .unwrap_or_else(|| panic!("no {id}: {report}"))
    };
    for id in ["cert_trust", "cert_chain_of_trust", "cipher_order", "TLS1_3", "secure_renego"] {
        assert_eq!(severity(id), "OK", "{id}: {report}");
    }
    let high = findings.iter().filter(|finding| {
        matches!(finding["severity"].as_str(), Some("MEDIUM" | "HIGH" | "CRITICAL" | "FATAL"))
    });
    let high: Vec<_> = high.filter(|finding| finding["id"] != "cert_revocation").collect();
    assert!(high.is_empty(), "{high:?}");
}
