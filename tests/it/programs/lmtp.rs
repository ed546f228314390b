//! Clients of LMTP, as far as they are installed: Python's smtplib, swaks, and Postfix's smtp-source and lmtp(8).

use smtpmock::smtp::{Notify, Protocol, Ret};
use smtpmock::{Config, Message, Server};

use super::clients::run_or_skip;
use super::postfix;
use crate::support::server::{ruled, start};
use crate::support::waiting::PATIENCE;

const RULES: [&str; 2] =
    ["rcpt to=gone@* reply=\"550 5.1.1 No such user\"", "message to=full@* reply=\"452 4.2.2 Mailbox full\""];

/// A server that listens at a TCP port and at a Unix socket.
fn both(folder: &tempfile::TempDir) -> (Server, [String; 2]) {
    let path = folder.path().join("mock.sock").display().to_string();
    let config = Config::default().listen("lmtp://127.0.0.1").listen(format!("lmtp+unix://{path}?mode=0666"));
    let server = start(ruled(config, &RULES));
    let address = server.local_addr().to_string();
    (server, [address, path])
}

fn assert_answered(message: &Message) {
    assert_eq!(message.protocol(), Protocol::Lmtp);
    assert_eq!(message.forward_paths(), ["full@example.com", "bob@example.com"]);
    assert_eq!(message.delivered_to(), ["bob@example.com"]);
    let responses = message.recipient_responses();
    assert_eq!(responses[0].1, "452 4.2.2 Mailbox full");
    assert!(responses[1].1.starts_with("250 2.0.0 Ok: queued as "), "{responses:?}");
}

/// It reads one reply to the message, so that it is given one recipient, or two that are answered alike.
#[test]
fn python_smtplib_delivers_over_tcp_and_a_unix_socket() {
    const SCRIPT: &str = r#"
import smtplib, sys
host, port = (sys.argv[1], 0) if sys.argv[1].startswith("/") else sys.argv[1].split(":")
with smtplib.LMTP(host, int(port), local_hostname="vm.example") as client:
    client.sendmail("ann@example.com", ["bob@example.com"], b"one\r\n", ["ENVID=a+2Bb", "RET=HDRS"], ["NOTIFY=NEVER"])
    assert client.has_extn("pipelining") and client.has_extn("enhancedstatuscodes")
    try:
        client.sendmail("ann@example.com", ["full@example.com"], b"two\r\n")
        sys.exit("a full mailbox accepted a message")
    except smtplib.SMTPDataError as refusal:
        assert refusal.smtp_code == 452, refusal
    try:
        client.sendmail("ann@example.com", ["gone@example.com"], b"three\r\n")
        sys.exit("a recipient that is gone was accepted")
    except smtplib.SMTPRecipientsRefused as refusal:
        assert refusal.recipients["gone@example.com"][0] == 550, refusal
    assert client.docmd("HELO", "vm.example")[0] == 500
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let (server, places) = both(&folder);
    for place in &places {
        if run_or_skip("python3", &["-c", SCRIPT, place], "").is_none() {
            return;
        }
        let messages = server.wait_for_messages_and_purge(3, PATIENCE).expect("three records");
        let accepted: Vec<_> = messages.iter().filter(|message| message.msg()).collect();
        let [message] = accepted[..] else { panic!("one is accepted: {messages:?}") };
        assert_eq!(message.body(), b"one\r\n");
        assert_eq!(message.helo_request(), "lhlo vm.example");
        let mail = message.mail_parameters();
        assert_eq!((mail.envid().as_deref(), mail.ret()), (Some(&b"a+b"[..]), Some(Ret::Headers)));
        let never = Notify { success: false, failure: false, delay: false };
        assert_eq!(message.rcpt_parameters()[0].notify(), Some(never));
    }
}

#[test]
fn swaks_delivers_over_tcp_and_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, [address, path]) = both(&folder);
    let recipients = "full@example.com,gone@example.com,bob@example.com";
    let mail =
        ["--protocol", "LMTP", "--helo", "vm.example", "--from", "ann@example.com", "--to", recipients];
    for place in [["--server", &address], ["--socket", &path]] {
        for pipeline in [&[][..], &["--pipeline"]] {
            let Some(output) = run_or_skip("swaks", &[&mail[..], &place, pipeline].concat(), "") else {
                return;
            };
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.contains("LHLO vm.example") && output.contains("452 4.2.2 Mailbox full"),
                "{output}"
            );
            assert_answered(&server.wait_for_messages_and_purge(1, PATIENCE).expect("a message")[0]);
        }
    }
}

#[test]
fn postfix_smtp_source_delivers_all_it_sends() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, [address, path]) = both(&folder);
    let load =
        ["-L", "-d", "-s", "4", "-m", "100", "-r", "3", "-f", "ann@example.com", "-t", "bob@example.com"];
    for (place, messages) in [(address, 100), (format!("unix:{path}"), 200)] {
        if run_or_skip("smtp-source", &[&load[..], &[&place]].concat(), "").is_none() {
            return;
        }
        let stats = server.stats();
        assert_eq!(stats.messages.accepted, messages);
        assert_eq!(stats.messages.recipients.max(), 3);
    }
    assert!(server.messages().iter().all(|message| message.recipient_responses().len() == 3));
}

/// A Postfix of its own: a message to recipients behind its lmtp(8) and smtp(8), with what the sender asked of DSN.
#[test]
fn postfix_delivers_by_lmtp_and_passes_dsn_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock").display().to_string();
    let config = Config::default().esmtp().listen("lmtp://127.0.0.1").listen("smtp://127.0.0.1");
    let server = start(ruled(config.listen(format!("lmtp+unix://{path}?mode=0666")), &RULES));
    let at = |index: usize| format!("[127.0.0.1]:{}", server.local_addrs()[index].port());
    let maps = [
        format!("tcp.example = lmtp:inet:{}", at(0)),
        format!("unix.example = lmtp:unix:{path}"),
        format!("smtp.example = smtp:{}", at(1)),
    ];
    let settings = format!("transport_maps = inline:{{ {{ {} }} }}", maps.join(" } { "));
    let recipients = ["full@tcp.example", "bob@tcp.example", "bob@unix.example", "bob@smtp.example"];
    let Some(log) = postfix::relay(&settings, &recipients) else { return };
    assert!(log.contains("dsn=4.2.2, status=deferred"), "{log}");
    assert_eq!(log.matches("dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as ").count(), 3, "{log}");
    let messages = server.wait_for_messages(3, PATIENCE).expect("three messages");
    for message in &messages {
        let mail = message.mail_parameters();
        assert_eq!((mail.envid().as_deref(), mail.ret()), (Some(&b"a+b"[..]), Some(Ret::Headers)));
        for rcpt in message.rcpt_parameters() {
            assert_eq!(rcpt.notify(), Some(Notify { success: false, failure: true, delay: false }));
            assert_eq!(rcpt.value("ORCPT"), Some(&b"rfc822;orig@x.example"[..]));
        }
    }
    let of_two = messages.iter().find(|message| message.forward_paths().len() == 2).expect("two recipients");
    assert_eq!(of_two.delivered_to(), ["bob@tcp.example"]);
    assert_eq!(messages.iter().filter(|message| message.protocol() == Protocol::Lmtp).count(), 2);
}
