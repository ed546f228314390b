//! Clients that nobody here wrote, as far as they are installed, with verification of certificates on: they trust the CA of
//! `--tls-ca-out` and nothing else. Each sends to a server with a right certificate, to one whose certificate has expired,
//! and to one whose certificate is for another name, by STARTTLS and within TLS from the first octet.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use lettre::transport::smtp::client::{Certificate as Root, CertificateStore, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport as _};
use serde_json::Value;
use tempfile::TempDir;

use super::chunks::jars;
use super::clients::{has_nodemailer, lettre_message, output_or_skip, run_or_skip};
use super::exim::{Exim, unpacked};
use super::postfix;
use crate::support::process::Process;
use crate::support::program;

/// The name by which clients connect.
const HOST: &str = "localhost";
const MAIL: &str = "Subject: hi\r\n\r\nhi\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Starttls,
    Implicit,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
        }
    }
}

const WAYS: [Way; 2] = [Way::Starttls, Way::Implicit];

/// How a server's certificate is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certificate {
    Right,
    Expired,
    WrongName,
}

const CERTIFICATES: [Certificate; 3] = [Certificate::Right, Certificate::Expired, Certificate::WrongName];

/// What becomes of a mail.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Sent,
    /// It is not sent, and what the client prints has this text.
    Refused(&'static str),
}

/// What a client did.
#[derive(Debug)]
struct Outcome {
    has_sent: bool,
    output: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { has_sent: output.status.success(), output: String::from_utf8_lossy(&text).into_owned() }
    }
}

/// Where a mail goes.
#[derive(Debug)]
struct Target {
    certificate: Certificate,
    way: Way,
    port: String,
    /// The file of the CA.
    ca: String,
}

struct Mock {
    program: Process,
    folder: TempDir,
    ports: [String; 2],
}

impl Mock {
    fn start(certificate: Certificate, ca: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let ca = |name: &str| ca.join(name).display().to_string();
        let mut flags = vec![
            "--listen=smtp://127.0.0.1".to_owned(),
            "--listen=smtps://127.0.0.1".to_owned(),
            format!("--tls-ca-cert={}", ca("ca.pem")),
            format!("--tls-ca-key={}", ca("ca.key")),
            format!("--capture={}", path("mail.jsonl")),
            format!("--report-json={}", path("report.json")),
        ];
        match certificate {
            Certificate::Right => flags.push(format!("--tls-ca-out={}", ca("out.pem"))),
            Certificate::Expired => flags.push("--rule=tls certificate=expired".to_owned()),
            Certificate::WrongName => flags.push("--rule=tls certificate=wrong-name".to_owned()),
        }
        let program = program::start(flags);
        let ready: Value = serde_json::from_str(&program.ready_line).expect("JSON");
        let ports = ["smtp", "smtps"].map(|kind| {
            let address = ready[kind][0].as_str().expect("an address");
            address.rsplit(':').next().expect("a port").to_owned()
        });
        Self { program, folder, ports }
    }

    /// Ends it. Returns the mails in its capture, and its report.
    fn stopped(self) -> (Vec<Value>, Value) {
        assert_eq!(self.program.stopped().code(), Some(0));
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).expect("written");
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let mails = read("mail.jsonl").lines().map(parse).filter(|mail| mail["msg"] == true).collect();
        (mails, parse(&read("report.json")))
    }
}

/// A server for each certificate.
struct Mocks {
    mocks: Vec<(Certificate, Mock)>,
    folder: TempDir,
}

impl Mocks {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Exim becomes another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("a folder of ours");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "a CA that stays");
        let key = rcgen::KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("a certificate").pem();
        fs::write(folder.path().join("ca.pem"), ca).expect("a file");
        fs::write(folder.path().join("ca.key"), key.serialize_pem()).expect("a file");
        let start = |certificate| (certificate, Mock::start(certificate, folder.path()));
        Self { mocks: CERTIFICATES.map(start).into(), folder }
    }

    fn ca(&self) -> String {
        self.folder.path().join("out.pem").display().to_string()
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for (certificate, mock) in &self.mocks {
            for (way, port) in WAYS.into_iter().zip(&mock.ports) {
                targets.push(Target { certificate: *certificate, way, port: port.clone(), ca: self.ca() });
            }
        }
        targets
    }

    /// Runs the client once for each target.
    fn each<T: Into<Outcome>>(&self, send: impl Fn(&Target) -> Option<T>) -> Option<Vec<Outcome>> {
        self.targets().iter().map(|target| send(target).map(Into::into)).collect()
    }

    /// Asserts what became of the mails to the server with an expired certificate, and of those to the one with another name.
    fn assert(self, outcomes: &[Outcome], expired: Fate, wrong_name: Fate) {
        let fates = [Fate::Sent, expired, wrong_name];
        for (((certificate, mock), outcomes), fate) in
            self.mocks.into_iter().zip(outcomes.chunks(WAYS.len())).zip(fates)
        {
            let (mails, report) = mock.stopped();
            let seen = format!("{certificate:?}: {outcomes:?} {}", report["metrics"]);
            let figure = |name: &str| report["metrics"][name].as_u64().unwrap_or_else(|| panic!("no {name}"));
            match fate {
                Fate::Sent => {
                    assert!(outcomes.iter().all(|outcome| outcome.has_sent), "{seen}");
                    let versions: Vec<_> = mails.iter().map(|mail| mail["tls_version"].as_str()).collect();
                    assert_eq!(versions, [Some("1.3"); WAYS.len()], "{seen}");
                }
                Fate::Refused(text) => {
                    let has_refused = |outcome: &Outcome| !outcome.has_sent && outcome.output.contains(text);
                    assert!(outcomes.iter().all(has_refused), "{seen}");
                    assert_eq!(mails.len(), 0, "{seen}");
                }
            }
            let wrong = if certificate == Certificate::Right { 0 } else { WAYS.len() as u64 };
            let accepted = if matches!(fate, Fate::Sent) { wrong } else { 0 };
            let figures = ["tls.wrong_certificates", "tls.wrong_certificates_accepted"].map(figure);
            assert_eq!(figures, [wrong, accepted], "{seen}");
            // Some clients verify a certificate within the handshake, others behind it.
            let refused = figure("tls.by_rule") + figure("tls.unused");
            assert_eq!(refused, wrong - accepted, "{seen}");
            let findings = report["findings"].as_array().expect("findings").iter();
            let names: Vec<_> = findings.filter_map(|finding| finding["name"].as_str()).collect();
            let expected: &[_] = if accepted > 0 { &["wrong-certificate-accepted"] } else { &[] };
            assert_eq!(names, expected, "{seen}");
        }
    }
}

#[test]
fn lettre_refuses_wrong_certificates() {
    let mocks = Mocks::start();
    let outcomes = mocks.each(|target| {
        let ca = Root::from_pem(&fs::read(&target.ca).expect("a CA")).expect("PEM");
        let parameters = TlsParameters::builder(HOST.to_owned());
        let parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(ca);
        let tls = match target.way {
            Way::Starttls => Tls::Required,
            Way::Implicit => Tls::Wrapper,
        };
        let client = SmtpTransport::builder_dangerous(HOST).port(target.port.parse().expect("a port"));
        let client = client.tls(tls(parameters.build().expect("a store"))).build();
        let sent = client.send(&lettre_message(&["bob@example.com"], "hi"));
        Some(Outcome { has_sent: sent.is_ok(), output: format!("{sent:?}") })
    });
    let outcomes = outcomes.expect("it is here");
    mocks.assert(&outcomes, Fate::Refused("Expired"), Fate::Refused("NotValidForName"));
}

#[test]
fn python_smtplib_refuses_wrong_certificates() {
    const SCRIPT: &str = "
import smtplib, ssl, sys
host, port, ca, way = sys.argv[1:]
trusting = ssl.create_default_context(cafile=ca)
try:
    if way == 'implicit':
        client = smtplib.SMTP_SSL(host, int(port), context=trusting)
    else:
        client = smtplib.SMTP(host, int(port))
        client.starttls(context=trusting)
    client.sendmail('ann@example.com', ['bob@example.com'], b'Subject: hi\\r\\n\\r\\nhi\\r\\n')
    client.quit()
except ssl.SSLCertVerificationError as error:
    sys.exit(str(error))
";
    let mocks = Mocks::start();
    let outcomes = mocks.each(|target| {
        let arguments = ["-c", SCRIPT, HOST, &target.port, &target.ca, target.way.name()];
        output_or_skip(Command::new("python3").args(arguments), "")
    });
    let Some(outcomes) = outcomes else { return };
    let refused = |text| Fate::Refused(text);
    mocks.assert(&outcomes, refused("certificate has expired"), refused("Hostname mismatch"));
}

#[test]
fn curl_refuses_wrong_certificates() {
    let mocks = Mocks::start();
    let outcomes = mocks.each(|target| {
        let scheme = if target.way == Way::Implicit { "smtps" } else { "smtp" };
        let url = format!("{scheme}://{HOST}:{}", target.port);
        let flags = ["-sS", "--ssl-reqd", "--cacert", &target.ca, &url, "-T", "-", "--max-time", "60"];
        let mail = ["--mail-from", "ann@example.com", "--mail-rcpt", "bob@example.com"];
        output_or_skip(Command::new("curl").args(flags).args(mail), MAIL)
    });
    let Some(outcomes) = outcomes else { return };
    // With OpenSSL it looks at the name by itself.
    let wrong_name = Fate::Refused("no alternative certificate subject name matches");
    mocks.assert(&outcomes, Fate::Refused("certificate has expired"), wrong_name);
}

/// This version does not look at the name.
#[test]
fn swaks_refuses_an_expired_certificate() {
    let mocks = Mocks::start();
    let outcomes = mocks.each(|target| {
        let tls = if target.way == Way::Implicit { "--tls-on-connect" } else { "--tls" };
        let server = ["--server", HOST, "--port", &target.port, tls, "--tls-verify", "--tls-ca-path"];
        let mail = ["--from", "ann@example.com", "--to", "bob@example.com"];
        output_or_skip(Command::new("swaks").args(server).arg(&target.ca).args(mail), "")
    });
    let Some(outcomes) = outcomes else { return };
    mocks.assert(&outcomes, Fate::Refused("certificate verify failed"), Fate::Sent);
}

#[test]
fn swaks_goes_on_with_wrong_certificates_where_it_does_not_verify() {
    let mocks = Mocks::start();
    let outcomes = mocks.each(|target| {
        let tls = if target.way == Way::Implicit { "--tls-on-connect" } else { "--tls" };
        let server = ["--server", HOST, "--port", &target.port, tls];
        let mail = ["--from", "ann@example.com", "--to", "bob@example.com"];
        output_or_skip(Command::new("swaks").args(server).args(mail), "")
    });
    let Some(outcomes) = outcomes else { return };
    mocks.assert(&outcomes, Fate::Sent, Fate::Sent);
}

#[test]
fn msmtp_refuses_wrong_certificates() {
    let mocks = Mocks::start();
    let outcomes = mocks.each(|target| {
        let starttls = if target.way == Way::Implicit { "off" } else { "on" };
        let flags = [
            format!("--host={HOST}"),
            format!("--port={}", target.port),
            "--tls=on".to_owned(),
            format!("--tls-starttls={starttls}"),
            format!("--tls-trust-file={}", target.ca),
            "--from=ann@example.com".to_owned(),
            "bob@example.com".to_owned(),
        ];
        output_or_skip(Command::new("msmtp").args(flags), MAIL)
    });
    let Some(outcomes) = outcomes else { return };
    let wrong_name = Fate::Refused("The name in the certificate does not match the expected");
    mocks.assert(&outcomes, Fate::Refused("uses expired certificate"), wrong_name);
}

#[test]
fn nodemailer_refuses_wrong_certificates() {
    const SCRIPT: &str = r#"
const [host, port, ca, way] = process.argv.slice(-4);
const transport = require("nodemailer").createTransport({
    host, port: Number(port), secure: way === "implicit", requireTLS: true, tls: { ca: require("fs").readFileSync(ca) },
});
transport.sendMail({ from: "ann@example.com", to: "bob@example.com", subject: "hi", text: "hi" }).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
});
"#;
    if !has_nodemailer() {
        return;
    }
    let mocks = Mocks::start();
    let outcomes = mocks.each(|target| {
        let arguments = ["-e", SCRIPT, HOST, &target.port, &target.ca, target.way.name()];
        output_or_skip(Command::new("node").args(arguments), "")
    });
    let wrong_name = Fate::Refused("does not match certificate's altnames");
    mocks.assert(&outcomes.expect("it ran before"), Fate::Refused("certificate has expired"), wrong_name);
}

#[test]
fn go_net_smtp_refuses_wrong_certificates() {
    let mocks = Mocks::start();
    let program = mocks.folder.path().join("send");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/programs/send.go");
    let mut build = Command::new("go");
    build.env("GOCACHE", mocks.folder.path().join("cache")).env("GO111MODULE", "off");
    let Some(built) = output_or_skip(build.args(["build", "-o"]).arg(&program).arg(source), "") else {
        return;
    };
    assert!(built.status.success(), "{built:?}");
    let outcomes = mocks.each(|target| {
        let arguments = [HOST, &target.port, &target.ca, target.way.name()];
        output_or_skip(Command::new(&program).args(arguments), "")
    });
    let refused = |text| Fate::Refused(text);
    let outcomes = outcomes.expect("it was built");
    mocks.assert(&outcomes, refused("certificate has expired"), refused("not localhost"));
}

/// Sends to all targets from one machine, as it takes long to start.
fn jakarta_mail(mocks: &Mocks, looks_at_name: bool) -> Option<Vec<Outcome>> {
    let root = unpacked("JAKARTA_MAIL_ROOT")?;
    let store = mocks.folder.path().join("trust.p12").display().to_string();
    let import =
        ["-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-storepass", "changeit"];
    let (ca, trusted) = (mocks.ca(), format!("-Djavax.net.ssl.trustStore={store}"));
    run_or_skip("keytool", &[&import[..], &["-file", &ca, "-keystore", &store]].concat(), "")?;
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/programs/Send.java");
    let jars = jars(&root);
    let machine = ["-cp", &jars, &trusted, "-Djavax.net.ssl.trustStorePassword=changeit", program];
    let targets = mocks.targets();
    let targets = targets.iter().flat_map(|target| [target.port.as_str(), target.way.name()]);
    let arguments = [if looks_at_name { "true" } else { "false" }, HOST].into_iter().chain(targets);
    let arguments: Vec<&str> = machine.into_iter().chain(arguments).collect();
    let output = run_or_skip("java", &arguments, "")?;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcome = |line: &str| Outcome { has_sent: line == "sent", output: line.to_owned() };
    Some(output.lines().map(outcome).collect())
}

#[test]
fn jakarta_mail_refuses_wrong_certificates() {
    let mocks = Mocks::start();
    let Some(outcomes) = jakarta_mail(&mocks, true) else { return };
    let wrong_name = Fate::Refused("Can't verify identity of server: localhost");
    mocks.assert(&outcomes, Fate::Refused("CertificateExpiredException"), wrong_name);
}

/// The default of its version 2.0.
#[test]
fn jakarta_mail_goes_on_with_the_wrong_name_where_it_does_not_look_at_it() {
    let mocks = Mocks::start();
    let Some(outcomes) = jakarta_mail(&mocks, false) else { return };
    mocks.assert(&outcomes, Fate::Refused("CertificateExpiredException"), Fate::Sent);
}

/// Sends to all targets from one Postfix at this level of security.
fn relay_by_postfix(mocks: &Mocks, level: &str) -> Option<Vec<Outcome>> {
    let targets = mocks.targets();
    let domain = |target: &Target| format!("{:?}-{}", target.certificate, target.way.name()).to_lowercase();
    let map = |target: &Target| {
        let service = if target.way == Way::Implicit { "smtps" } else { "smtp" };
        format!("{{ {} = {service}:[{HOST}]:{} }} ", domain(target), target.port)
    };
    let maps: String = targets.iter().map(map).collect();
    let settings = format!(
        "smtp_tls_security_level = {level}\nsmtp_tls_CAfile = {}\nsmtp_tls_loglevel = 1\nsmtp_host_lookup = native\n\
         inet_protocols = ipv4\ntransport_maps = inline:{{ {maps}}}",
        mocks.ca()
    );
    let recipients: Vec<String> = targets.iter().map(|target| format!("bob@{}", domain(target))).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let log = postfix::relay(&settings, &recipients)?;
    let outcome = |recipient: &&str| {
        let line = log.lines().find(|line| line.contains(&format!("to=<{recipient}>"))).expect("a status");
        Outcome { has_sent: line.contains("status=sent"), output: line.to_owned() }
    };
    Some(recipients.iter().map(outcome).collect())
}

#[test]
fn postfix_refuses_wrong_certificates_where_it_verifies() {
    for level in ["verify", "secure"] {
        let mocks = Mocks::start();
        let Some(outcomes) = relay_by_postfix(&mocks, level) else { return };
        let refused = Fate::Refused("dsn=4.7.5, status=deferred (Server certificate not verified)");
        mocks.assert(&outcomes, refused, refused);
    }
}

#[test]
fn postfix_goes_on_with_wrong_certificates_where_it_only_encrypts() {
    let mocks = Mocks::start();
    let Some(outcomes) = relay_by_postfix(&mocks, "encrypt") else { return };
    mocks.assert(&outcomes, Fate::Sent, Fate::Sent);
}

fn relay_by_exim(mocks: &Mocks, verify: &str) -> Option<Vec<Outcome>> {
    let root = unpacked("EXIM_ROOT")?;
    mocks.each(|target| {
        let protocol = if target.way == Way::Implicit { "  protocol = smtps" } else { "" };
        let settings = format!(
            "  hosts_require_tls = *\n  tls_verify_certificates = {}\n{verify}\n{protocol}",
            target.ca
        );
        let exim = Exim::new(&root, target.port.parse().expect("a port"), &settings);
        let log = exim.relay(
            "EHLO client.example\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n\
             DATA\r\nSubject: hi\r\n\r\nhi\r\n.\r\nQUIT\r\n",
        );
        Some(Outcome { has_sent: log.contains(" => "), output: log })
    })
}

#[test]
fn exim_refuses_wrong_certificates_where_it_verifies() {
    let mocks = Mocks::start();
    let Some(outcomes) = relay_by_exim(&mocks, "  tls_verify_hosts = *") else { return };
    let refused = Fate::Refused("defer (-37) H=localhost [127.0.0.1]: TLS session: (certificate");
    mocks.assert(&outcomes, refused, refused);
}

/// By default it tries to verify, and goes on where that fails.
#[test]
fn exim_goes_on_with_wrong_certificates_by_default() {
    let mocks = Mocks::start();
    let Some(outcomes) = relay_by_exim(&mocks, "") else { return };
    mocks.assert(&outcomes, Fate::Sent, Fate::Sent);
}
