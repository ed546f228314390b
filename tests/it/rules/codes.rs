//! The code of a reply (RFC 5321 section 4.2.1) determines the effect of the command, whatever the source of the reply.

use smtpmock::smtp::{ReplyKind, Stage};
use smtpmock::{Config, Server};

use crate::support::client::Client;
use crate::support::figures::after_sessions;
use crate::support::server::{ruled, start, with_rules};

/// Each command of a mail transaction, the reply that accepts it, and one that accepts it under every configuration.
const COMMANDS: [(&str, &str, ReplyKind, &str); 5] = [
    ("helo", "EHLO client.example", ReplyKind::HeloReceived, "250"),
    ("mail", "MAIL FROM:<ann@example.com>", ReplyKind::MailReceived, "250"),
    ("rcpt", "RCPT TO:<bob@example.com>", ReplyKind::RcptReceived, "250"),
    ("data", "DATA", ReplyKind::DataReceived, "354"),
    ("message", "Subject: hi\r\n\r\nHello\r\n.", ReplyKind::MessageReceived, "250"),
];

/// The codes of the replies to a transaction. It ends at DATA if the reply does not ask for the message.
fn codes(server: &Server) -> Vec<String> {
    let mut client = Client::greeted(server.local_addr());
    let mut codes = Vec::new();
    for (_, line, _, accepted) in COMMANDS {
        codes.push(client.command(line)[..3].to_owned());
        if line == "DATA" && codes.last().map(String::as_str) != Some(accepted) && !codes[3].starts_with('3')
        {
            break;
        }
    }
    client.quit();
    after_sessions(server, 1);
    codes
}

/// Servers that answer this command with this code: by a rule, and by the text of their own reply.
fn answering(stage: &str, kind: ReplyKind, code: &str) -> [Server; 2] {
    let reply = format!("{code} as configured");
    let rule = format!("{stage} reply=\"{reply}\"");
    [with_rules(&[&rule]), start(Config::default().reply(kind, reply))]
}

#[test]
fn only_the_right_class_of_codes_accepts_a_command() {
    for (index, (stage, _, kind, usual)) in COMMANDS.into_iter().enumerate() {
        for code in ["150", "250", "251", "354", "451", "550"] {
            for server in answering(stage, kind, code) {
                let heard = codes(&server);
                let accepted = code.starts_with(&usual[..1]);
                assert_eq!(heard[index], code, "{stage} {code}");
                // The next command is out of sequence, or the message is not sent without a 354.
                let next = heard.get(index + 1).map(String::as_str);
                let expected = COMMANDS.get(index + 1).filter(|_| accepted || stage != "data");
                let expected = expected.map(|(_, _, _, usual)| if accepted { *usual } else { "503" });
                assert_eq!(next, expected, "{stage} {code}: {heard:?}");
                let (stats, messages) = (server.stats(), server.messages());
                assert_eq!(stats.messages.accepted, u64::from(accepted), "{stage} {code}");
                let is_in_record = messages.iter().any(|message| message.msg() && message.is_consistent());
                assert_eq!(is_in_record, accepted, "{stage} {code}: {messages:?}");
            }
        }
    }
}

#[test]
fn a_message_that_is_not_accepted_is_captured_as_not_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mail.jsonl");
    let config = Config::default().capture(&path);
    let server = start(ruled(config, &[r#"message times=1 reply="354 go on""#]));
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    assert_eq!(client.transaction("ann@example.com", "bob@example.com", "one\r\n"), "354 go on");
    assert_eq!(client.transaction("ann@example.com", "bob@example.com", "two\r\n"), "250 Received");
    client.quit();
    server.stop();
    let captured = std::fs::read_to_string(&path).expect("a capture");
    let messages: Vec<serde_json::Value> =
        captured.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let accepted: Vec<_> = messages.iter().map(|message| message["is_consistent"].as_bool()).collect();
    assert_eq!(accepted, [Some(false), Some(true)], "{captured}");
}

#[test]
fn records_per_session_accept_any_text_of_the_servers_own_replies() {
    let config = Config::default().records(smtpmock::smtp::RecordMode::Session);
    let server =
        start(config.reply(ReplyKind::RcptReceived, "550 no").reply(ReplyKind::MailReceived, "450 no"));
    assert_eq!(codes(&server), ["250", "450", "550", "354", "250"]);
    assert!(server.messages()[0].is_consistent());
}

/// Every command except QUIT, with its default reply.
const ANYTHING: [&str; 10] = [
    "EHLO client.example",
    "HELO nobody@",
    "MAIL FROM:<ann@example.com>",
    "RCPT TO:<bob@example.com>",
    "DATA",
    "RSET",
    "NOOP",
    "QUIT now",
    "STARTTLS",
    "",
];

#[test]
fn after_a_greeting_that_refuses_the_session_only_quit_is_accepted() {
    for greeting in ["554 No service", "421 4.3.2 Later", "354 What", "hello"] {
        let text = greeting.to_owned();
        let rule = format!("connect reply=\"{greeting}\"");
        for server in [with_rules(&[&rule]), start(Config::default().reply(ReplyKind::Greeting, text))] {
            let mut client = Client::connect(server.local_addr());
            assert_eq!(client.reply(), greeting);
            for line in ANYTHING {
                assert_eq!(
                    client.command(line),
                    "503 5.5.1 Bad sequence of commands. The session was refused, QUIT is expected",
                    "{greeting}: {line}"
                );
            }
            client.quit();
            let sessions = after_sessions(&server, 1).sessions;
            assert_eq!((sessions.refused, sessions.quit), (1, 0), "{greeting}");
            assert_eq!(server.stats().stages[Stage::Helo].refused.get(&503), Some(&2));
            assert!(server.messages().iter().all(|message| !message.helo()));
        }
    }
}

#[test]
fn rules_apply_to_a_refused_session_too() {
    let server = with_rules(&[r#"connect reply="554 No""#, r#"noop reply="250 Still here""#, "rset close"]);
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.reply(), "554 No");
    client.expect("NOOP", "250 Still here");
    assert!(client.command("EHLO client.example").starts_with("503"));
    assert!(client.command("RSET").starts_with("503"));
    assert_eq!(client.rest(), "");
}
