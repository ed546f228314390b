//! Clients that nobody here wrote, with verification of certificates on: Python's smtplib, curl and OpenSSL's s_client, as
//! far as they are installed.

use smtpmock::{Config, Server, Tls, TlsVersion};

use super::clients::run_or_skip;
use crate::support::figures::after_sessions;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

/// A server with a listener for STARTTLS, one for TLS from the first octet, and one of LMTP, and the file of its CA.
pub(super) struct Encrypting {
    pub(super) server: Server,
    folder: tempfile::TempDir,
}

impl Encrypting {
    pub(super) fn start() -> Self {
        let tls = Tls::self_signed().names(["mx.example.com"]);
        let config = Config::default().tls(tls).auth(("ann", "secret"));
        let kinds = ["smtp", "smtps", "lmtp"].map(|kind| format!("{kind}://127.0.0.1"));
        let server = start(kinds.into_iter().fold(config, Config::listen));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), server.ca_pem().expect("a CA")).expect("a file");
        Self { server, folder }
    }

    pub(super) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// Of a file in its folder.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(super) fn ports(&self) -> [String; 3] {
        let ports = self.server.local_addrs().iter().map(|address| address.port().to_string());
        ports.collect::<Vec<_>>().try_into().expect("three listeners")
    }

    /// Asserts that so many mails have come, encrypted.
    fn assert_encrypted(&self, mails: usize) {
        let messages = self.server.wait_for_messages(mails, PATIENCE).expect("mails");
        assert_eq!(messages.len(), mails);
        assert!(messages.iter().all(|message| message.msg() && message.tls().is_some()), "{messages:?}");
    }
}

const SMTPLIB: &str = "
import smtplib, ssl, sys
ca, clear, encrypted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
trusting = ssl.create_default_context(cafile=ca)
mail = ('ann@example.com', ['bob@example.com'], 'Subject: hi\\r\\n\\r\\nHello\\r\\n' + 3000 * ('x' * 76 + '\\r\\n'))
client = smtplib.SMTP('localhost', clear)
client.starttls(context=trusting)
assert client.sock.version() == 'TLSv1.3', client.sock.version()
client.login('ann', 'secret')
client.sendmail(*mail)
client.sendmail(*mail)
client.quit()
client = smtplib.SMTP_SSL('127.0.0.1', encrypted, context=trusting)
client.sendmail(*mail)
client.quit()
try:
    smtplib.SMTP_SSL('localhost', encrypted, context=ssl.create_default_context())
    sys.exit('a certificate of an unknown CA was taken')
except ssl.SSLCertVerificationError:
    pass
";

#[test]
fn python_sends_mails_to_a_server_that_it_verifies() {
    let encrypting = Encrypting::start();
    let [clear, encrypted, _] = encrypting.ports();
    if run_or_skip("python3", &["-c", SMTPLIB, &encrypting.ca(), &clear, &encrypted], "").is_none() {
        return;
    }
    encrypting.assert_encrypted(3);
    let first = &encrypting.server.messages()[0];
    assert_eq!(first.tls().and_then(|tls| tls.server_name()), Some("localhost"));
    assert_eq!(first.auth_user().as_deref(), Some("ann"));
    let stats = after_sessions(&encrypting.server, 3);
    assert_eq!((stats.tls.handshakes, stats.tls.refused, stats.tls.truncated), (2, 1, 0));
}

#[test]
fn curl_sends_mails_to_a_server_that_it_verifies() {
    let encrypting = Encrypting::start();
    let [clear, encrypted, _] = encrypting.ports();
    let ca = encrypting.ca();
    let send = |url: &str, more: &[&str]| {
        let arguments = ["--silent", "--show-error", "--cacert", &ca, "-T", "-", "--max-time", "30", url];
        let mail = ["--mail-from", "ann@example.com", "--mail-rcpt", "bob@example.com"];
        let arguments: Vec<&str> = arguments.into_iter().chain(mail).chain(more.iter().copied()).collect();
        run_or_skip("curl", &arguments, "Subject: hi\r\n\r\nHello\r\n").is_some()
    };
    if !send(&format!("smtp://localhost:{clear}"), &["--ssl-reqd"]) {
        return;
    }
    send(&format!("smtps://localhost:{encrypted}"), &[]);
    send(&format!("smtps://localhost:{encrypted}"), &["--tls-max", "1.2", "--user", "ann:secret"]);
    encrypting.assert_encrypted(3);
    let last = &encrypting.server.messages()[2];
    assert_eq!(last.tls().map(smtpmock::TlsSession::version), Some(TlsVersion::V1_2));
}

#[test]
fn openssl_verifies_the_chain_and_the_name() {
    let encrypting = Encrypting::start();
    let [clear, encrypted, lmtp] = encrypting.ports();
    let ca = encrypting.ca();
    let [clear, encrypted, lmtp] = [clear, encrypted, lmtp].map(|port| format!("127.0.0.1:{port}"));
    let name = ["-servername", "mx.example.com", "-verify_hostname", "mx.example.com"];
    for (more, version) in [
        (&["-connect", &clear, "-starttls", "smtp"][..], "TLSv1.3"),
        (&["-connect", &lmtp, "-starttls", "lmtp"], "TLSv1.3"),
        (&["-connect", &encrypted], "TLSv1.3"),
        (&["-connect", &encrypted, "-tls1_2"], "TLSv1.2"),
    ] {
        let arguments = ["s_client", "-CAfile", &ca, "-verify_return_error", "-ign_eof"];
        let arguments: Vec<&str> = arguments.into_iter().chain(name).chain(more.iter().copied()).collect();
        let Some(output) = run_or_skip("openssl", &arguments, "QUIT\r\n") else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("Verification: OK") && text.contains("221 "), "{text}");
        assert!(text.contains(version), "{text}");
    }
    let stats = after_sessions(&encrypting.server, 4);
    assert_eq!((stats.tls.handshakes, stats.tls.v1_2, stats.sessions.quit), (4, 1, 4));
}
