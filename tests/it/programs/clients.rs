//! Real clients, as far as they are installed: lettre, Python's smtplib, Ruby's Net::SMTP, curl, swaks, nodemailer and
//! Postfix's smtp-source. Their HELO names are those that they use in a container, or this machine's.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use lettre::message::header::ContentType;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport};
use smtpmock::smtp::{AddressRules, Body, Notify, ReplyKind, Ret};
use smtpmock::{Config, Server};

use crate::support::figures::after_sessions;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

/// Runs a program that succeeds; `None` if it is not installed, which is printed.
pub(crate) fn run_or_skip(program: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let output = output_or_skip(Command::new(program).args(arguments), input)?;
    assert!(output.status.success(), "{program}: {output:?}");
    Some(output)
}

/// What a program has printed, whether or not it succeeded; `None` if it is not installed, which is printed.
pub(crate) fn output_or_skip(command: &mut Command, input: &str) -> Option<Output> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            note_skipped(&command.get_program().to_string_lossy(), &error.to_string());
            return None;
        }
    };
    // It may fail before it has read all.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    Some(child.wait_with_output().expect("the program ends"))
}

/// Written directly and not through the captured output of tests: a skipped part must be visible.
pub(crate) fn note_skipped(program: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {program}, which this machine does not have ({reason})");
}

/// Asserts that these clients cause no finding, whatever the server replies.
fn assert_nothing_found(server: &Server, sessions: u64) {
    let stats = after_sessions(server, sessions);
    assert_eq!(stats.findings(), [], "{stats:?}");
}

/// A client with a pool and lettre's default features; its HELO name is this machine's.
fn lettre_client(address: SocketAddr) -> SmtpTransport {
    SmtpTransport::builder_dangerous(address.ip().to_string()).port(address.port()).build()
}

pub(super) fn lettre_message(to: &[&str], body: &str) -> Message {
    let builder = Message::builder().from("Ann <ann@example.com>".parse().unwrap()).subject("Größe");
    let builder = to.iter().fold(builder, |builder, to| builder.to(to.parse().unwrap()));
    builder.header(ContentType::TEXT_PLAIN).body(body.to_owned()).unwrap()
}

#[test]
fn lettre_sends_messages() {
    let server = start(Config::default());
    let client = lettre_client(server.local_addr());
    let host_name = ClientId::default().to_string();
    for number in 0..3 {
        let recipients = ["bob@example.com", "carol@example.com", "dave@example.com"];
        let message = lettre_message(&recipients, &format!(".{number}\r\n..\r\n."));
        let response = client.send(&message).unwrap();
        assert!(response.is_positive());
        // lettre ends the data with CRLF.CRLF, whatever the end of the message.
        let sent = String::from_utf8(message.formatted()).unwrap() + "\r\n";
        // The previous mails are there too, although all are sent over one connection.
        let messages = server.wait_for_messages(number + 1, PATIENCE).unwrap();
        let received = &messages[number];
        assert_eq!(received.msg_request(), sent);
        assert_eq!(received.subject().as_deref(), Some("Größe"));
        assert_eq!(received.forward_paths(), recipients);
        assert_eq!(received.reverse_path().unwrap(), "ann@example.com");
        assert_eq!(received.helo_name().unwrap(), host_name);
    }
    // The pool has one connection, which it closes when dropped.
    drop(client);
    assert_nothing_found(&server, 1);
}

#[test]
fn lettre_sends_from_a_machine_whose_name_is_one_label() {
    for name in ["vm", "25aea30808b2", "mail_worker_1"] {
        let server = start(Config::default());
        let address = server.local_addr();
        let client = SmtpTransport::builder_dangerous(address.ip().to_string()).port(address.port());
        let client = client.hello_name(ClientId::Domain(name.to_owned())).build();
        client.send(&lettre_message(&["bob@example.com"], "x")).unwrap();
        assert_eq!(server.messages()[0].helo_name().unwrap(), name);
    }
}

#[test]
fn lettre_reports_a_refused_recipient() {
    let server = start(Config::default().not_registered_emails(["gone@example.com"]));
    let error =
        lettre_client(server.local_addr()).send(&lettre_message(&["gone@example.com"], "x")).unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(
        error.to_string().contains("550") || error.status().is_some_and(|code| code.to_string() == "550")
    );
    assert_nothing_found(&server, 1);
}

/// It sends QUIT after a 421, which is not a finding.
#[test]
fn lettre_leaves_after_a_421() {
    let server = start(Config::default().blacklisted_mailfrom_emails(["ann@example.com"]));
    let error = lettre_client(server.local_addr()).send(&lettre_message(&["bob@example.com"], "x"));
    assert!(error.is_err_and(|error| error.is_transient()));
    assert_nothing_found(&server, 1);
}

#[test]
fn python_smtplib_sends_a_message() {
    const SCRIPT: &str = r#"
import smtplib, sys
from email.message import EmailMessage
message = EmailMessage()
message["From"], message["To"], message["Subject"] = "ann@example.com", "bob@example.com", "hi"
message.set_content(".dots\n..at the start\n.\nend\n")
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), local_hostname="vm") as client:
    client.send_message(message)
    client.noop()
    client.rset()
    client.sendmail("", ["postmaster"], b"bounce\r\n")
    try:
        client.docmd("VRFY", "bob")
        client.sendmail("not an address", ["bob@example.com"], "x")
        sys.exit("a bad address was accepted")
    except smtplib.SMTPSenderRefused as error:
        assert error.smtp_code == 501, error
"#;
    let server = start(Config::default());
    let port = server.port().to_string();
    if run_or_skip("python3", &["-c", SCRIPT, "127.0.0.1", &port], "").is_none() {
        return;
    }
    let messages = server.messages();
    assert!(messages[0].msg_request().ends_with("\r\n\r\n.dots\r\n..at the start\r\n.\r\nend\r\n"));
    assert_eq!(messages[0].helo_name().unwrap(), "vm");
    assert_eq!(messages[1].reverse_path().unwrap(), "");
    assert_eq!(messages[1].forward_paths(), ["postmaster"]);
    assert_eq!(messages[1].body(), b"bounce\r\n");
    assert_nothing_found(&server, 1);
}

/// Clients believe what the reply to EHLO offers.
#[test]
fn lettre_and_python_smtplib_use_what_a_configured_reply_offers() {
    const SCRIPT: &str = r#"
import smtplib, sys
from email.message import EmailMessage
message = EmailMessage()
message["From"], message["To"], message["Subject"] = "jürgen@example.com", "bob@example.com", "Größe"
message.set_content("hi\n")
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), local_hostname="vm") as client:
    client.send_message(message)
    client.sendmail("ann@example.com", ["bob@example.com"], b"hi\r\n", rcpt_options=["NOTIFY=NEVER"])
"#;
    let offer = "250-mx.example\n250-SIZE 1000000\n250-8BITMIME\n250-SMTPUTF8\n250 DSN";
    for rules in [AddressRules::Lenient, AddressRules::Compat, AddressRules::Rfc5321] {
        let server = start(Config::default().addresses(rules).reply(ReplyKind::HeloReceived, offer));
        let client = SmtpTransport::builder_dangerous("127.0.0.1").port(server.port());
        let client = client.hello_name(ClientId::Domain("client.example".to_owned())).build();
        client.send(&lettre_message(&["用户@example.com"], "Größe")).unwrap();
        let message = &server.messages()[0];
        assert!(message.mailfrom_request().contains(" SMTPUTF8"), "{message:?}");
        assert_eq!(message.forward_paths(), ["用户@example.com"]);
    }
    let server = start(Config::default().reply(ReplyKind::HeloReceived, offer));
    if run_or_skip("python3", &["-c", SCRIPT, "127.0.0.1", &server.port().to_string()], "").is_some() {
        let messages = server.wait_for_messages(2, PATIENCE).unwrap();
        assert_eq!(messages[0].reverse_path().unwrap(), "jürgen@example.com");
        assert!(messages[0].mailfrom_request().to_lowercase().contains(" smtputf8"), "{messages:?}");
        assert_eq!(messages[1].mailfrom_request(), "mail FROM:<ann@example.com> size=4");
        assert_eq!(messages[1].forward_paths(), ["bob@example.com"]);
    }
}

/// Extended SMTP as clients that nobody here wrote use it; Python's and curl's parameters are their own idea.
#[test]
fn python_smtplib_curl_and_swaks_use_what_extended_smtp_offers() {
    const SCRIPT: &str = r#"
import smtplib, sys
from email.message import EmailMessage
message = EmailMessage()
message["From"], message["To"], message["Subject"] = "jürgen@example.com", "bob@example.com", "Größe"
message.set_content("hi\n")
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), local_hostname="vm.example") as client:
    client.send_message(message)
    assert all(client.has_extn(keyword) for keyword in ("size", "dsn", "pipelining", "enhancedstatuscodes"))
    client.sendmail("ann@example.com", ["bob@example.com"], b"hi\r\n", ["body=8bitmime", "ret=hdrs", "envid=a+2Bb"],
        ["notify=success,delay", "orcpt=rfc822;bob@example.com"])
    assert client.verify("bob")[0] == 252 and client.docmd("HELP")[0] == 214
    try:
        client.sendmail("ann@example.com", ["bob@example.com"], b"x" * 5000)
    except smtplib.SMTPSenderRefused as refusal:
        assert refusal.smtp_code == 552 and refusal.smtp_error.startswith(b"5.3.4 "), refusal
"#;
    for rules in [AddressRules::Lenient, AddressRules::Rfc5321] {
        let server = start(Config::default().esmtp().addresses(rules).message_size_limit(4000));
        if run_or_skip("python3", &["-c", SCRIPT, "127.0.0.1", &server.port().to_string()], "").is_some() {
            let messages = server.wait_for_messages(2, PATIENCE).unwrap();
            assert_eq!(messages[0].reverse_path().unwrap(), "jürgen@example.com");
            assert!(messages[0].mail_parameters().has_smtputf8(), "{messages:?}");
            let mail = messages[1].mail_parameters();
            assert_eq!(
                (mail.size(), mail.body(), mail.ret()),
                (Some(4), Some(Body::EightBitMime), Some(Ret::Headers))
            );
            assert_eq!(mail.envid().as_deref(), Some(&b"a+b"[..]));
            let notify = messages[1].rcpt_parameters()[0].notify();
            assert_eq!(notify, Some(Notify { success: true, failure: false, delay: true }));
            assert_eq!(server.stats().findings(), []);
        }
    }
    let server = start(Config::default().esmtp());
    let address = format!("127.0.0.1:{}", server.port());
    let url = format!("smtp://{address}/vm.example");
    let mail = ["-sS", &url, "--mail-from", "ann@example.com", "--mail-rcpt", "bob@example.com", "-T", "-"];
    if run_or_skip("curl", &mail, "Subject: hi\r\n\r\nhi\r\n").is_some() {
        let messages = server.wait_for_messages_and_purge(1, PATIENCE).unwrap();
        assert_eq!(messages[0].forward_paths(), ["bob@example.com"]);
    }
    let mail = [
        "--server",
        &address,
        "--helo",
        "vm.example",
        "--from",
        "ann@example.com",
        "--to",
        "bob@example.com",
    ];
    if let Some(output) = run_or_skip("swaks", &[&mail[..], &["--pipeline"]].concat(), "") {
        let messages = server.wait_for_messages_and_purge(1, PATIENCE).unwrap();
        let queued = format!("250 2.0.0 Ok: queued as {}", messages[0].id());
        assert_eq!(messages[0].msg_response(), queued);
        assert!(String::from_utf8_lossy(&output.stdout).contains(&queued), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("250 2.1.5 Received"), "{output:?}");
        assert_eq!(server.stats().findings(), []);
    }
}

#[test]
fn a_load_of_python_smtplib_has_no_finding() {
    const SCRIPT: &str = r#"
import smtplib, sys
for session in range(6):
    with smtplib.SMTP(sys.argv[1], int(sys.argv[2])) as client:
        for number in range(20):
            client.sendmail("ann@example.com", ["bob@example.com"], b"hi\r\n" * 10_000)
"#;
    let server = start(Config::default());
    let port = server.port().to_string();
    if run_or_skip("python3", &["-c", SCRIPT, "127.0.0.1", &port], "").is_some() {
        assert_eq!(server.stats().messages.accepted, 120);
        assert_nothing_found(&server, 6);
    }
}

#[test]
fn curl_uploads_a_message() {
    let server = start(Config::default());
    let url = format!("smtp://{}", server.local_addr());
    let ran = run_or_skip(
        "curl",
        &[
            "--silent",
            "--show-error",
            "--url",
            &url,
            "--mail-from",
            "ann@example.com",
            "--mail-rcpt",
            "bob@example.com",
            "--mail-rcpt",
            "carol@example.com",
            "--upload-file",
            "-",
        ],
        "Subject: hi\r\n\r\n.from curl\r\n",
    );
    if ran.is_none() {
        return;
    }
    let messages = server.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body(), b"Subject: hi\r\n\r\n.from curl\r\n");
    assert_eq!(messages[0].forward_paths(), ["bob@example.com", "carol@example.com"]);
    assert!(messages[0].is_consistent());
    assert_nothing_found(&server, 1);
}

#[test]
fn swaks_sends_a_message() {
    let server = start(Config::default());
    let address = server.local_addr().to_string();
    let ran = run_or_skip(
        "swaks",
        &[
            "--server",
            &address,
            "--from",
            "ann@example.com",
            "--to",
            "bob@example.com",
            "--body",
            "from swaks",
            "--silent",
            "2",
        ],
        "",
    );
    if ran.is_none() {
        return;
    }
    let messages = server.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].msg_request().contains("from swaks"));
    assert!(messages[0].is_consistent());
    assert_nothing_found(&server, 1);
}

pub(super) fn has_nodemailer() -> bool {
    let output = Command::new("node").args(["-e", "require.resolve('nodemailer')"]).output();
    let has_it = output.is_ok_and(|output| output.status.success());
    if !has_it {
        note_skipped("nodemailer", "npm install nodemailer, and NODE_PATH to find it");
    }
    has_it
}

/// A pool of one connection: three messages in a session, one of them refused for a recipient.
#[test]
fn nodemailer_sends_messages_through_a_pool() {
    const SCRIPT: &str = r#"
const [host, port] = process.argv.slice(-2);
const pool = require("nodemailer").createTransport({
    host, port: Number(port), name: "25aea30808b2", pool: true, maxConnections: 1, ignoreTLS: true,
});
const mail = (to, text) => pool.sendMail({ from: "ann@example.com", to, subject: "Größe", text });
(async () => {
    const sent = await mail(["bob@example.com", "gone@example.com"], ".dots\n..at the start\n.\nend\n");
    const refused = await mail("gone@example.com", "hi").catch((error) => error);
    const again = await mail("carol@example.com", "hi");
    pool.close();
    console.log(JSON.stringify([sent.accepted, sent.rejected, refused.responseCode, again.response]));
})();
"#;
    if !has_nodemailer() {
        return;
    }
    let server = start(Config::default().not_registered_emails(["gone@example.com"]));
    let port = server.port().to_string();
    let output = run_or_skip("node", &["-e", SCRIPT, "127.0.0.1", &port], "").expect("it ran before");
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(told.trim(), r#"[["bob@example.com"],["gone@example.com"],550,"250 Received"]"#);
    let messages = server.messages();
    let accepted: Vec<_> = messages.iter().filter(|message| message.is_consistent()).collect();
    assert_eq!(accepted.len(), 2, "{messages:?}");
    assert!(accepted[0].msg_request().ends_with("\r\n\r\n.dots\r\n..at the start\r\n.\r\nend\r\n"));
    assert_eq!(accepted[1].forward_paths(), ["carol@example.com"]);
    assert_eq!(accepted[1].subject().as_deref(), Some("Größe"));
    assert_nothing_found(&server, server.stats().sessions.opened);
}

#[test]
fn ruby_net_smtp_sends_a_message() {
    const SCRIPT: &str = r#"
require "net/smtp"
host, port = ARGV
Net::SMTP.start(host, port.to_i, "mail_worker_1") do |client|
  client.send_message(".dots\n..at the start\n.\nend\n", "ann@example.com", ["bob@example.com", "carol@example.com"])
  begin
    client.send_message("hi\n", "ann@example.com", ["gone@example.com"])
    abort "a recipient that is gone was accepted"
  rescue Net::SMTPFatalError => error
    abort error.message unless error.message.start_with?("550")
  end
end
"#;
    let server = start(Config::default().not_registered_emails(["gone@example.com"]));
    let port = server.port().to_string();
    if run_or_skip("ruby", &["-e", SCRIPT, "127.0.0.1", &port], "").is_none() {
        return;
    }
    let messages = server.messages();
    assert_eq!(messages[0].msg_request(), ".dots\r\n..at the start\r\n.\r\nend\r\n");
    assert_eq!(messages[0].forward_paths(), ["bob@example.com", "carol@example.com"]);
    assert_nothing_found(&server, 1);
}

/// Postfix's load generator, with one session for all messages of a client.
#[test]
fn postfix_smtp_source_delivers_all_it_sends() {
    let server = start(Config::default());
    let address = server.local_addr().to_string();
    let arguments = ["-d", "-s", "4", "-m", "200", "-l", "5000"];
    let envelope = ["-f", "ann@example.com", "-t", "bob@example.com", &address];
    if run_or_skip("smtp-source", &[&arguments[..], &envelope].concat(), "").is_none() {
        return;
    }
    assert_nothing_found(&server, 4);
    assert_eq!(server.stats().messages.accepted, 200);
}

/// The clients that can connect to one.
#[test]
fn clients_deliver_over_a_unix_socket() {
    const SCRIPT: &str = r#"
import smtplib, socket, sys
class Local(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(host)
        return stream
with Local(sys.argv[1], 25) as client:
    client.sendmail("ann@example.com", ["bob@example.com"], b"hi\r\n")
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock").display().to_string();
    let server = start(Config::default().listen(format!("smtp+unix://{path}")).shards(2));
    let (swaks, curl) =
        (["--from", "ann@example.com", "--to", "bob@example.com", "--silent", "2"], "smtp://localhost");
    let mails = ["--mail-from", "ann@example.com", "--mail-rcpt", "bob@example.com", "--upload-file", "-"];
    let load = format!("unix:{path}");
    let load = ["-d", "-s", "4", "-m", "100", "-f", "ann@example.com", "-t", "bob@example.com", &load];
    let mut expected = (0, 0);
    for (program, arguments, input, sessions, messages) in [
        ("python3", vec!["-c", SCRIPT, &path], "", 1, 1),
        ("swaks", [&["--socket", &path], &swaks[..]].concat(), "", 1, 1),
        ("curl", [&["--silent", "--unix-socket", &path, curl], &mails[..]].concat(), "hi\r\n", 1, 1),
        ("smtp-source", load.to_vec(), "", 4, 100),
    ] {
        if run_or_skip(program, &arguments, input).is_some() {
            expected = (expected.0 + sessions, expected.1 + messages);
        }
        assert_nothing_found(&server, expected.0);
        assert_eq!(server.stats().messages.accepted, expected.1, "{program}");
    }
    assert!(server.messages().iter().all(|message| message.peer_addr().ip().is_none()));
}
