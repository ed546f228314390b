//! Clients that authenticate, as far as they are installed, and Python's hashes as another implementation of what they
//! prove.

use std::process::{Command, Stdio};

use lettre::Transport as _;
use lettre::transport::smtp::authentication::{Credentials, Mechanism as Way};
use smtpmock::smtp::auth::{Credential, Mechanism};
use smtpmock::{Config, Server};

use super::clients::{lettre_message, note_skipped, run_or_skip};
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

const USER: &str = "ann@example.com";
const PASSWORD: &str = "se=cr,et \"1\"";
const TOKEN: &str = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==";

/// A server that takes mail of these credentials alone.
fn server() -> Server {
    let config = Config::default().auth((USER, PASSWORD)).auth(Credential::token(TOKEN));
    start(config.auth_required(true))
}

/// Asserts that one mail has come since the last call, from a client that has authenticated by this mechanism.
fn assert_sent_by(server: &Server, mechanism: Mechanism) {
    let messages = server.wait_for_messages_and_purge(1, PATIENCE).expect("a mail");
    assert_eq!(messages.len(), 1, "{mechanism}: {messages:?}");
    assert_eq!(messages[0].auth_mechanism(), Some(mechanism));
    assert_eq!(messages[0].auth_user().as_deref(), Some(USER), "{mechanism}");
}

/// Whether a program fails, as it should with a wrong password.
fn fails(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    !command.status().expect("it has run before").success()
}

#[test]
fn msmtp_authenticates_by_each_of_its_mechanisms() {
    let server = server();
    let port = format!("--port={}", server.port());
    let password = |text: &str| format!("--passwordeval=printf '%s' '{text}'");
    let Some(version) = run_or_skip("msmtp", &["--version"], "") else { return };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let supported = version.split("Supported authentication methods:").nth(1).unwrap_or_default();
    let is_supported = |name: &str| supported.split_whitespace().any(|word| word == name);
    let mut count = 0;
    for (name, mechanism, secret) in [
        ("plain", Mechanism::Plain, PASSWORD),
        ("login", Mechanism::Login, PASSWORD),
        ("cram-md5", Mechanism::CramMd5, PASSWORD),
        ("scram-sha-1", Mechanism::ScramSha1, PASSWORD),
        ("scram-sha-256", Mechanism::ScramSha256, PASSWORD),
        ("xoauth2", Mechanism::XOAuth2, TOKEN),
        ("oauthbearer", Mechanism::OAuthBearer, TOKEN),
    ] {
        if !is_supported(name) {
            note_skipped(&format!("msmtp with {name}"), "it was built without");
            continue;
        }
        count += 1;
        let (auth, secret) = (format!("--auth={name}"), password(secret));
        let user = format!("--user={USER}");
        let flags = ["--host=127.0.0.1", &port, "--tls=off", "--from=ann@example.com", &auth, &user];
        let mail = [&flags[..], &[&secret, "bob@example.com"]].concat();
        run_or_skip("msmtp", &mail, "Subject: hi\n\nhi\n");
        assert_sent_by(&server, mechanism);
        let wrong = password("wrong");
        assert!(fails("msmtp", &[&flags[..], &[&wrong, "bob@example.com"]].concat()), "{name}");
        assert_eq!(server.messages_and_purge().len(), 0, "{name}");
    }
    let auth = server.stats().auth;
    assert_eq!((auth.succeeded, auth.failed), (count, count), "{auth:?}");
}

#[test]
fn swaks_and_curl_authenticate() {
    let server = server();
    let address = format!("127.0.0.1:{}", server.port());
    for (name, mechanism) in
        [("PLAIN", Mechanism::Plain), ("LOGIN", Mechanism::Login), ("CRAM-MD5", Mechanism::CramMd5)]
    {
        let flags = ["--server", &address, "--from", USER, "--to", "bob@example.com", "--silent", "2"];
        let auth = ["--auth", name, "--auth-user", USER, "--auth-password"];
        if run_or_skip("swaks", &[&flags[..], &auth, &[PASSWORD]].concat(), "").is_some() {
            assert_sent_by(&server, mechanism);
            assert!(fails("swaks", &[&flags[..], &auth, &["wrong"]].concat()), "{name}");
        }
        let (url, user) = (format!("smtp://{address}"), format!("{USER}:{PASSWORD}"));
        let option = format!("AUTH={name}");
        let flags = ["-sS", &url, "--mail-from", USER, "--mail-rcpt", "bob@example.com", "-T", "-"];
        let auth = ["--login-options", &option, "--user", &user];
        if run_or_skip("curl", &[&flags[..], &auth].concat(), "Subject: hi\r\n\r\nhi\r\n").is_some() {
            assert_sent_by(&server, mechanism);
        }
    }
    let url = format!("smtp://{address}");
    let mail = ["-sS", &url, "--mail-from", USER, "--mail-rcpt", "bob@example.com", "-T", "-"];
    let bearer = ["--oauth2-bearer", TOKEN, "--user", USER];
    if run_or_skip("curl", &[&mail[..], &bearer].concat(), "Subject: hi\r\n\r\nhi\r\n").is_some() {
        assert_sent_by(&server, Mechanism::OAuthBearer);
    }
}

#[test]
fn lettre_authenticates() {
    let server = server();
    for (way, mechanism, secret) in [
        (Way::Plain, Mechanism::Plain, PASSWORD),
        (Way::Login, Mechanism::Login, PASSWORD),
        (Way::Xoauth2, Mechanism::XOAuth2, TOKEN),
    ] {
        let client = |secret: &str| {
            let client = lettre::SmtpTransport::builder_dangerous("127.0.0.1").port(server.port());
            let credentials = Credentials::new(USER.to_owned(), secret.to_owned());
            client.authentication(vec![way]).credentials(credentials).build()
        };
        client(secret).send(&lettre_message(&["bob@example.com"], "hi")).expect("accepted");
        assert_sent_by(&server, mechanism);
        let error = client("wrong").send(&lettre_message(&["bob@example.com"], "hi")).unwrap_err();
        // It takes the challenge with the error of XOAUTH2 for an error of the server's.
        assert!(error.is_permanent() || mechanism == Mechanism::XOAuth2, "{error}");
    }
}

/// SCRAM's and CRAM-MD5's client by `hmac` and `hashlib`, and smtplib's own mechanisms.
#[test]
fn python_proves_a_password_and_verifies_the_server() {
    const SCRIPT: &str = r#"
import base64, hashlib, hmac, smtplib, sys
host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

def send(client):
    client.sendmail("ann@example.com", ["bob@example.com"], b"hi\r\n")

def scram(client, name, digest, password):
    def mac(key, text):
        return hmac.new(key, text, digest).digest()
    def ask(line):
        code, text = client.docmd(line)
        return code, base64.b64decode(text) if code == 334 else text
    sasl_name = user.replace("=", "=3D").replace(",", "=2C")
    bare = "n=%s,r=clientnonce" % sasl_name
    code, first = ask("AUTH %s %s" % (name, base64.b64encode(("n,," + bare).encode()).decode()))
    assert code == 334, (code, first)
    fields = dict(field.split("=", 1) for field in first.decode().split(","))
    assert fields["r"].startswith("clientnonce") and len(fields["r"]) > 30, fields
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    without_proof = "c=biws,r=" + fields["r"]
    message = ",".join([bare, first.decode(), without_proof]).encode()
    client_key = mac(salted, b"Client Key")
    signature = mac(hashlib.new(digest, client_key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    last = without_proof + ",p=" + base64.b64encode(proof).decode()
    code, final = ask(base64.b64encode(last.encode()).decode())
    if code != 334:
        return code
    assert final == b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), message)), final
    return client.docmd("")[0]

def cram_md5(client, password):
    code, challenge = client.docmd("AUTH CRAM-MD5")
    digest = hmac.new(password.encode(), base64.b64decode(challenge), hashlib.md5).hexdigest()
    return client.docmd(base64.b64encode(("%s %s" % (user, digest)).encode()).decode())[0]

for way in (lambda client, password: scram(client, "SCRAM-SHA-1", "sha1", password),
            lambda client, password: scram(client, "SCRAM-SHA-256", "sha256", password),
            cram_md5):
    with smtplib.SMTP(host, port, local_hostname="vm.example") as client:
        client.ehlo()
        assert way(client, password + "x") == 535
        assert way(client, password) == 235
        send(client)
# smtplib's own take nothing but ASCII.
for name in ("auth_cram_md5", "auth_plain", "auth_login") if password.isascii() else ():
    with smtplib.SMTP(host, port, local_hostname="vm.example") as client:
        client.ehlo()
        client.user, client.password = user, password
        assert client.auth(name[5:].upper().replace("_", "-"), getattr(client, name))[0] == 235
        send(client)
with smtplib.SMTP(host, port, local_hostname="vm.example") as client:
    try:
        client.login(user, "wrong")
        sys.exit("a wrong password was accepted")
    except smtplib.SMTPAuthenticationError as error:
        assert error.smtp_code == 535, error
"#;
    for (user, password) in
        [("ann@example.com", "secret"), ("a,b=c", "=,\u{1f600} \"'\\ "), ("tim", &"x".repeat(200))]
    {
        let server = start(Config::default().auth((user, password)).auth_required(true));
        let arguments = ["-c", SCRIPT, "127.0.0.1", &server.port().to_string(), user, password];
        if run_or_skip("python3", &arguments, "").is_none() {
            return;
        }
        let sent: Vec<_> = server
            .messages()
            .iter()
            .map(|message| message.auth_mechanism().expect("it has authenticated"))
            .collect();
        let all = [
            Mechanism::ScramSha1,
            Mechanism::ScramSha256,
            Mechanism::CramMd5,
            Mechanism::CramMd5,
            Mechanism::Plain,
            Mechanism::Login,
        ];
        assert_eq!(sent, if password.is_ascii() { &all[..] } else { &all[..3] });
        assert!(server.messages().iter().all(|message| message.auth_user().as_deref() == Some(user)));
    }
}
