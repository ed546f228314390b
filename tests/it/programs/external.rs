//! Clients that authenticate by their certificate: msmtp, and Python's smtplib.

use std::fs;

use smtpmock::smtp::auth::Mechanism;
use smtpmock::{Config, Server, Tls};

use super::clients::{note_skipped, run_or_skip};
use crate::server::client_ca::{Ca, having};
use crate::support::encrypted::{Encrypted, connect};
use crate::support::figures::after_sessions;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

/// A server that asks for certificates, and a folder with its CA's, and a client's.
fn asking() -> (Server, tempfile::TempDir) {
    let ca = Ca::new();
    let tls = Tls::self_signed().client_ca(&ca.pem).client_required(true);
    let config = Config::default().tls(tls).auth_mechanisms([Mechanism::External]).auth_required(true);
    let server = start(config);
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = ca.ann();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    file("ca.pem", server.ca_pem().expect("a CA"));
    file("cert.pem", &certificate);
    file("key.pem", &key);
    (server, folder)
}

fn assert_sent(server: &Server, user: &str) {
    let messages = server.wait_for_messages_and_purge(1, PATIENCE).expect("a mail");
    assert_eq!(messages[0].auth_mechanism(), Some(Mechanism::External));
    assert_eq!(messages[0].auth_user().as_deref(), Some(user));
    let client = messages[0].tls().and_then(|tls| tls.client_certificate()).expect("a certificate");
    assert_eq!(client.name(), Some("ann"));
}

#[test]
fn msmtp_authenticates_by_its_certificate() {
    let Some(version) = run_or_skip("msmtp", &["--version"], "") else { return };
    if !String::from_utf8_lossy(&version.stdout).contains("external") {
        return note_skipped("msmtp with external", "it was built without");
    }
    let (server, folder) = asking();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let port = format!("--port={}", server.port());
    for user in ["ann", "ann@example.com"] {
        let files = [("trust", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")];
        let files = files.map(|(flag, name)| format!("--tls-{flag}-file={}", path(name)));
        let user_flag = format!("--user={user}");
        let flags =
            ["--host=localhost", &port, "--tls=on", "--tls-starttls=on", "--auth=external", &user_flag];
        let flags = flags.into_iter().chain(files.iter().map(String::as_str));
        let arguments: Vec<&str> = flags.chain(["--from=ann@example.com", "bob@example.com"]).collect();
        run_or_skip("msmtp", &arguments, "Subject: hi\n\nhi\n");
        assert_sent(&server, user);
    }
}

/// Makes a certificate for a client by OpenSSL, and prints its subject as OpenSSL writes it.
const OPENSSL: &str = r#"
set -e
cd "$1"
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8"
openssl req -x509 $new -subj /CN=clients -keyout ca.key -out clients.pem 2>/dev/null
openssl req $new -subj '/DC=example/C=DE/O=Ex, "a"+b<>;/CN=Änn #1\\x/emailAddress=ann@example.com' -keyout key.pem -out request.pem 2>/dev/null
openssl x509 -req -in request.pem -CA clients.pem -CAkey ca.key -out old.pem 2>/dev/null
echo subjectAltName=email:ann@example.com > extensions
openssl x509 -req -in request.pem -CA clients.pem -CAkey ca.key -extfile extensions -out cert.pem 2>/dev/null
openssl x509 -in cert.pem -noout -subject -nameopt RFC2253,-esc_msb,utf8
"#;

#[test]
fn subjects_are_written_as_openssl_writes_them_and_certificates_without_extensions_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    if run_or_skip("openssl", &["version"], "").is_none() {
        return;
    }
    let output = run_or_skip("sh", &["-c", OPENSSL, "sh", &path("")], "").expect("a shell");
    let subject = String::from_utf8(output.stdout).expect("UTF-8");
    let subject = subject.trim().strip_prefix("subject=").expect("a subject");
    let read = |name: &str| fs::read_to_string(path(name)).expect("a file");
    let tls = Tls::self_signed().client_ca(read("clients.pem"));
    let config = Config::default().tls(tls).listen("smtps://127.0.0.1");
    let server = start(config);
    let config = having(&server, Some((read("cert.pem"), read("key.pem"))), rustls::ALL_VERSIONS);
    let mut client = Encrypted::over(connect(server.local_addr()), &config, "localhost");
    assert_eq!(client.reply(), "220 Welcome");
    client.command("EHLO client.example");
    client.mail();
    client.quit();
    // A client that has not looked at its own certificate. It waits for the server's end, also behind that of its input.
    let port = server.port();
    let old = format!(
        "cd \"$1\"; openssl s_client -ign_eof -connect 127.0.0.1:{port} -cert old.pem -key key.pem 2>&1; true"
    );
    let output = run_or_skip("sh", &["-c", &old, "sh", &path("")], "").expect("a shell");
    assert!(String::from_utf8_lossy(&output.stdout).contains("alert"), "{output:?}");
    let messages = server.messages();
    let client = messages[0].tls().and_then(|tls| tls.client_certificate()).expect("a certificate");
    assert_eq!((client.subject(), client.alternative_name()), (subject, Some("ann@example.com")));
    assert_eq!(after_sessions(&server, 2).tls.bad_client_certificate, 1);
}

const SMTPLIB: &str = "
import smtplib, ssl, sys
ca, cert, key, port = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
client = smtplib.SMTP('localhost', int(port))
client.starttls(context=context)
client.ehlo()
assert 'EXTERNAL' in client.esmtp_features['auth'], client.esmtp_features
client.auth('EXTERNAL', lambda challenge=None: '')
client.sendmail('ann@example.com', ['bob@example.com'], 'Subject: hi\\r\\n\\r\\nHello\\r\\n')
client.quit()
without = smtplib.SMTP('localhost', int(port))
try:
    without.starttls(context=ssl.create_default_context(cafile=ca))
    without.ehlo()
    sys.exit('a client without a certificate was let in')
except (ssl.SSLError, ConnectionError, smtplib.SMTPServerDisconnected):
    pass
";

#[test]
fn python_authenticates_by_its_certificate() {
    let (server, folder) = asking();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let port = server.port().to_string();
    let arguments = ["-c", SMTPLIB, &path("ca.pem"), &path("cert.pem"), &path("key.pem"), &port];
    if run_or_skip("python3", &arguments, "").is_some() {
        assert_sent(&server, "ann");
        assert_eq!(server.stats().tls.no_client_certificate, 1);
    }
}
