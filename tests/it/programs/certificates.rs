//! What OpenSSL finds wrong with certificates that are wrong on purpose.

use smtpmock::{Config, Tls};

use super::clients::run_or_skip;
use crate::support::server::start;

/// The numbers of X509_V_ERR_ in OpenSSL's manual, verify(1).
const ERRORS: &[(&str, Option<u8>)] = &[
    ("expired", Some(10)),
    ("not-yet-valid", Some(9)),
    ("wrong-name", Some(62)),
    ("self-signed", Some(18)),
    ("untrusted", Some(20)),
    // OpenSSL takes the common name for one of a server, unless it is asked not to.
    ("no-san", None),
];

#[test]
fn openssl_finds_what_is_wrong_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem").display().to_string();
    for &(certificate, number) in ERRORS {
        let rule = format!("tls certificate={certificate}").parse().expect("a rule");
        let tls = Tls::self_signed().names(["mx.example.com"]);
        let server = start(Config::default().tls(tls).rule(rule).listen("smtps://127.0.0.1"));
        std::fs::write(&ca, server.ca_pem().expect("a CA")).expect("a file");
        let address = server.local_addr().to_string();
        let arguments = ["s_client", "-CAfile", &ca, "-connect", &address, "-servername", "mx.example.com"];
        let verify = ["-verify_hostname", "mx.example.com", "-ign_eof"];
        let arguments: Vec<&str> = arguments.into_iter().chain(verify).collect();
        // Without -verify_return_error it goes through all that is wrong.
        let Some(output) = run_or_skip("openssl", &arguments, "QUIT\r\n") else { return };
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let found = text.lines().filter_map(|line| line.split("verify error:num=").nth(1));
        let found: Vec<u8> = found
            .filter_map(|rest| rest.split(':').next()?.parse().ok())
            .filter(|found| *found != 21)
            .collect();
        assert_eq!(found, number.into_iter().collect::<Vec<_>>(), "{certificate}: {text}");
    }
}
