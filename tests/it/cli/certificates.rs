//! Files of certificates and keys, right and wrong: the flag, the file, what is wrong with it, what would be right.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use tempfile::TempDir;

use crate::support::process::Ended;
use crate::support::program::{command, run, start};

/// A folder with a CA, a certificate of it, and their keys.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "mock");
        let ca = CertifiedIssuer::self_signed(params, key()).expect("a CA");
        let own = key();
        let issued = |begin, end| {
            let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
            params.distinguished_name.push(DnType::CommonName, "leaf");
            params.is_ca = IsCa::ExplicitNoCa;
            (params.not_before, params.not_after) = (date_time_ymd(begin, 1, 1), date_time_ymd(end, 1, 1));
            params.signed_by(&own, &ca).expect("a certificate").pem()
        };
        folder.put("ca.pem", &ca.pem());
        folder.put("ca.key", &ca.key().serialize_pem());
        folder.put("leaf.pem", &issued(2020, 4000));
        folder.put("expired.pem", &issued(2020, 2021));
        folder.put("future.pem", &issued(3999, 4000));
        folder.put("leaf.key", &own.serialize_pem());
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    /// Runs it with these flags, whose values are files of the folder.
    fn run(&self, flags: &[(&str, &str)]) -> Ended {
        let flags = flags.iter().map(|(flag, file)| format!("--{flag}={}", self.path(file)));
        run(flags.chain(["--exit-after=10ms".to_owned()]))
    }
}

#[test]
fn an_error_names_the_flag_the_file_what_is_wrong_and_what_is_right() {
    let folder = Folder::new();
    let (leaf, key, ca) = (folder.text("leaf.pem"), folder.text("leaf.key"), folder.text("ca.pem"));
    for (name, text) in [
        ("encrypted.key", key.replace("PRIVATE", "ENCRYPTED PRIVATE")),
        (
            "old.key",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"
                .to_owned(),
        ),
        ("request", leaf.replace("CERTIFICATE", "CERTIFICATE REQUEST")),
        ("trusted.pem", leaf.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
        ("parameters", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n".to_owned()),
        ("public", key.replace("PRIVATE", "PUBLIC")),
        ("cut.pem", leaf[..100].to_owned()),
        ("cut.key", key[..60].to_owned()),
        ("damaged.pem", leaf.replacen("MII", "!!!", 1)),
        ("none.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        ("none.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned()),
        ("wrong-order.pem", ca + &leaf),
        ("empty", String::new()),
        ("text", "no PEM".to_owned()),
    ] {
        folder.put(name, &text);
    }
    fs::write(folder.path("leaf.der"), [0x30, 0x82, 0xff]).expect("a file");
    fs::create_dir(folder.path("folder")).expect("a folder");
    let key = |file: &'static str| [("tls-cert", "leaf.pem"), ("tls-key", file)];
    let cert = |file: &'static str| [("tls-key", "leaf.key"), ("tls-cert", file)];
    let ca = |cert: &'static str, key: &'static str| [("tls-ca-key", key), ("tls-ca-cert", cert)];
    let client = |file: &'static str| [("tls-client", "required"), ("tls-client-ca", file)];
    for (flags, expected) in [
        (
            key("encrypted.key"),
            &["(BEGIN ENCRYPTED PRIVATE KEY)", "encrypted.key -out plain.key decrypts it"][..],
        ),
        (key("old.key"), &["without a passphrase", "encrypted (BEGIN EC PRIVATE KEY)"]),
        (key("leaf.pem"), &["this is a certificate", "exchanged?"]),
        (key("parameters"), &["only BEGIN EC PARAMETERS"]),
        (key("public"), &["only BEGIN PUBLIC KEY"]),
        (key("cut.key"), &["-----END is missing"]),
        (key("none.key"), &["an ECDSA key of P-256", "another key, or damaged"]),
        (key("ca.key"), &["the private key of the first certificate in ", "leaf.pem (CN=leaf)", "another's"]),
        (key("empty"), &["a private key in PEM; this is empty"]),
        (key("text"), &["no line of this begins with -----BEGIN"]),
        (key("leaf.der"), &["binary", "openssl pkey -inform DER"]),
        (key("folder"), &["a readable file"]),
        (cert("leaf.key"), &["this is a private key", "exchanged?"]),
        (cert("request"), &["a request for one"]),
        (cert("trusted.pem"), &["BEGIN TRUSTED CERTIFICATE"]),
        (cert("cut.pem"), &["-----END is missing"]),
        (cert("damaged.pem"), &["no base64"]),
        (cert("none.pem"), &["certificate 1 has in its base64 is none"]),
        (
            cert("wrong-order.pem"),
            &["own certificate first", "the key is that of certificate 2 (CN=leaf)", "CN=mock"],
        ),
        (cert("leaf.der"), &["binary", "openssl x509 -inform DER"]),
        (ca("leaf.pem", "leaf.key"), &["the certificate of a CA; this one is that of a server or client"]),
        (ca("ca.key", "ca.pem"), &["exchanged?"]),
        (client("leaf.pem"), &["certificates of CAs; certificate 1 (CN=leaf) is that of a server or client"]),
        (client("wrong-order.pem"), &["certificate 2 (CN=leaf) is that of a server or client"]),
        (client("leaf.key"), &["this is a private key"]),
        (client("empty"), &["this is empty"]),
        (client("leaf.der"), &["binary"]),
    ] {
        let (flag, file) = flags[1];
        let flags = flags.map(|(flag, file)| match flag {
            "tls-client" => format!("--{flag}={file}"),
            _ => format!("--{flag}={}", folder.path(file)),
        });
        let ended = run(&flags);
        let complaint = ended.complaint();
        assert_eq!(ended.code(), Some(2), "{flags:?}: {ended:?}");
        let place = format!("{:?} for --{flag}: expected ", folder.path(file));
        for part in [&*place].iter().chain(expected) {
            assert!(complaint.contains(part), "{flags:?}: {part}: {complaint}");
        }
        assert!(!complaint.contains("Tls::"), "{complaint}");
    }
}

#[test]
fn the_key_of_a_ca_is_named_too_and_so_is_a_variable() {
    let folder = Folder::new();
    let ended = folder.run(&[("tls-ca-cert", "ca.pem"), ("tls-ca-key", "leaf.key")]);
    let expected = format!("{:?} for --tls-ca-key: expected the private key of", folder.path("leaf.key"));
    assert!(ended.complaint().contains(&expected), "{ended:?}");
    let mut program = command(["--exit-after=10ms"]);
    program.env("SMTPMOCK_TLS_CERT", folder.path("leaf.pem")).env("SMTPMOCK_TLS_KEY", folder.path("ca.key"));
    let ended = Ended::of(&mut program);
    let expected = format!("{:?} for SMTPMOCK_TLS_KEY: expected", folder.path("ca.key"));
    assert_eq!(ended.code(), Some(2), "{ended:?}");
    assert!(ended.complaint().contains(&expected), "{ended:?}");
    folder.put(
        "mock.toml",
        &format!("tlsCert = {:?}\ntlsKey = {:?}\n", folder.path("leaf.pem"), folder.path("ca.key")),
    );
    let ended = folder.run(&[("config", "mock.toml")]);
    assert_eq!(ended.code(), Some(2), "{ended:?}");
    assert!(ended.complaint().contains("ca.key") && ended.complaint().contains("mock.toml"), "{ended:?}");
}

#[test]
fn files_of_windows_and_with_other_text_are_read() {
    let folder = Folder::new();
    let (leaf, key) = (folder.text("leaf.pem"), folder.text("leaf.key"));
    folder.put("crlf.pem", &leaf.replace('\n', "\r\n"));
    folder.put("crlf.key", &key.replace('\n', "\r\n"));
    folder.put("text.pem", &format!("\u{feff}Certificate:\n    Version: 3\n{leaf}"));
    folder.put("mark.pem", &format!("\u{feff}{leaf}"));
    folder.put("both.pem", &format!("{key}{leaf}"));
    folder.put(
        "parameters.key",
        &format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{key}"),
    );
    for (cert, key) in [
        ("crlf.pem", "crlf.key"),
        ("text.pem", "parameters.key"),
        ("mark.pem", "leaf.key"),
        ("both.pem", "both.pem"),
    ] {
        let ended = folder.run(&[("tls-cert", cert), ("tls-key", key)]);
        assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{cert} {key}");
    }
}

#[test]
fn certificates_that_clients_refuse_and_tls_without_an_offer_are_warned_of() {
    let folder = Folder::new();
    folder.put("chain.pem", &(folder.text("leaf.pem") + &folder.text("ca.pem")));
    folder.put("stray.pem", &(folder.text("leaf.pem") + &folder.text("leaf.pem")));
    for (cert, expected) in [
        ("chain.pem", None),
        ("expired.pem", Some("certificate 1 (CN=leaf) has expired at 2021-01-01T00:00:00Z")),
        ("future.pem", Some("is not valid before 3999-01-01T00:00:00Z")),
        ("stray.pem", Some("certificate 2 (CN=leaf) has not issued the one before it")),
    ] {
        let ended = folder.run(&[("tls-cert", cert), ("tls-key", "leaf.key")]);
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        let start = format!("smtpmock: warning: --tls-cert {:?}: expected ", folder.path(cert));
        match expected {
            Some(expected) => {
                assert!(ended.complaint().starts_with(&start), "{ended:?}");
                assert!(ended.complaint().contains(expected), "{ended:?}");
            }
            None => assert_eq!(ended.stderr, "", "{cert}"),
        }
    }
    for (flags, is_idle) in [
        (&["--tls", "--extensions=SIZE"][..], true),
        (&["--tls-name=a.example", "--extensions=-STARTTLS"], true),
        (&["--tls", "--msg-ehlo-received=250 mx.example"], true),
        (&["--tls", "--extensions=SIZE", "--listen=smtps://127.0.0.1"], false),
        (&["--tls", "--extensions=SIZE", "--rule=helo odds=10% ehlo=-SIZE"], false),
        (&["--tls", "--extensions=SIZE,STARTTLS"], false),
    ] {
        let ended = run(flags.iter().chain(&["--exit-after=10ms"]));
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        let warning = "smtpmock: warning: --tls has no effect: expected STARTTLS";
        let is_warned = ended.stderr.starts_with(warning);
        assert_eq!(is_warned, is_idle, "{flags:?}: {ended:?}");
    }
    let never = run(["--tls-required", "--extensions=-STARTTLS"]);
    assert_eq!(never.code(), Some(2), "{never:?}");
    assert!(never.complaint().starts_with("smtpmock: --tls-required: expected STARTTLS"), "{never:?}");
}

#[test]
fn only_a_certificate_that_an_earlier_run_has_written_is_replaced() {
    let folder = Folder::new();
    let out = |file: &str| folder.run(&[("tls-ca-out", file)]);
    assert_eq!(out("made.pem").code(), Some(0));
    let made = folder.text("made.pem");
    folder.put("bundle.pem", &(made.clone() + &folder.text("ca.pem")));
    folder.put("annotated.pem", &(made.clone() + "# of the team\n"));
    for file in ["bundle.pem", "annotated.pem", "ca.pem", "leaf.pem", "leaf.key"] {
        let before = folder.text(file);
        let ended = out(file);
        assert_eq!(ended.code(), Some(1), "{file}: {ended:?}");
        assert!(ended.complaint().contains("--tls-ca-out"), "{ended:?}");
        assert!(ended.complaint().contains("it has other content: expected no file, or"), "{ended:?}");
        assert_eq!(folder.text(file), before, "{file}");
    }
    folder.put("empty.pem", "");
    for file in ["made.pem", "empty.pem"] {
        assert_eq!(out(file).code(), Some(0), "{file}");
        assert!(folder.text(file).starts_with("-----BEGIN CERTIFICATE-----"));
    }
    assert_ne!(folder.text("made.pem"), made);
    // A CA that stays is written once, and found there by the next run.
    for _ in 0..2 {
        let ended =
            folder.run(&[("tls-ca-cert", "ca.pem"), ("tls-ca-key", "ca.key"), ("tls-ca-out", "copy.pem")]);
        assert_eq!((ended.code(), folder.text("copy.pem")), (Some(0), folder.text("ca.pem")), "{ended:?}");
    }
    let left: Vec<_> =
        fs::read_dir(folder.0.path()).expect("a folder").map(|file| file.expect("a file").path()).collect();
    assert!(!left.iter().any(|path| is_unfinished(path)), "{left:?}");
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}

#[test]
fn a_second_server_does_not_replace_the_certificate_of_one_that_runs() {
    let folder = Folder::new();
    let out = format!("--tls-ca-out={}", folder.path("made.pem"));
    let first = start([&out]);
    let made = folder.text("made.pem");
    let second = folder.run(&[("tls-ca-out", "made.pem")]);
    assert_eq!(second.code(), Some(1), "{second:?}");
    assert!(second.complaint().contains("has it locked"), "{second:?}");
    assert_eq!(folder.text("made.pem"), made);
    first.stopped();
    assert_eq!(folder.run(&[("tls-ca-out", "made.pem")]).code(), Some(0));
}
