//! Real clients that send messages in chunks: Exim, and Jakarta Mail, which `.ci/run` unpacks.

#[cfg(feature = "cli")]
use std::fs;
use std::path::Path;

use smtpmock::smtp::{Notify, Ret};
use smtpmock::{Config, Message};

use super::clients::run_or_skip;
use super::exim::{Exim, unpacked};
use crate::support::client::Client;
#[cfg(feature = "cli")]
use crate::support::program;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

fn body(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

/// Its own idea of chunks, with parameters of DSN and SMTPUTF8, and pipelined.
#[test]
fn exim_sends_in_chunks() {
    let Some(root) = unpacked("EXIM_ROOT") else { return };
    let server = start(Config::default().esmtp());
    let exim = Exim::new(&root, server.port(), "");
    let long = "a line of a text of some length\r\n".repeat(3000);
    let (stuffed, dots) = ("..dots\r\n...two\r\n..\r\nend\r\n", ".dots\r\n..two\r\n.\r\nend\r\n");
    for (sent, text) in [(stuffed, dots), (&long, &long)] {
        let log = exim.relay(&format!(
            "EHLO client.example\r\n\
             MAIL FROM:<jürgen@example.com> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=a+2Bb\r\n\
             RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@example.com\r\n\
             DATA\r\nSubject: Größe\r\n\r\n{sent}.\r\nQUIT\r\n"
        ));
        assert!(log.contains(" => "), "{log}");
        let messages = server.wait_for_messages_and_purge(1, PATIENCE).unwrap();
        let message = &messages[0];
        assert!(message.data_request().starts_with("BDAT "), "{message:?}");
        assert!(body(message).ends_with(&format!("\r\n\r\n{text}")), "{message:?}");
        assert_eq!(message.reverse_path().unwrap(), "jürgen@example.com");
        let (mail, rcpt) = (message.mail_parameters(), message.rcpt_parameters()[0]);
        assert!(mail.has_smtputf8() && mail.ret() == Some(Ret::Headers), "{message:?}");
        assert_eq!(mail.envid().as_deref(), Some(&b"a+b"[..]));
        assert_eq!(rcpt.notify(), Some(Notify { success: true, failure: false, delay: true }));
    }
    assert_eq!(server.stats().findings(), []);
}

/// The class path of Jakarta Mail.
pub(super) fn jars(root: &Path) -> String {
    let jars = ["jakarta-mail.jar", "jakarta-activation.jar"];
    let jars = std::env::join_paths(jars.map(|jar| root.join("usr/share/java").join(jar)));
    jars.expect("paths without colons").into_string().expect("paths in UTF-8")
}

#[test]
fn jakarta_mail_sends_in_chunks_of_a_size() {
    let Some(root) = unpacked("JAKARTA_MAIL_ROOT") else { return };
    let server = start(Config::default().esmtp());
    let jars = jars(&root);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/programs/Chunks.java");
    let port = server.port().to_string();
    if run_or_skip("java", &["-cp", &jars, program, "127.0.0.1", &port], "").is_none() {
        return;
    }
    let messages = server.wait_for_messages(2, PATIENCE).unwrap();
    assert!(messages[0].data_request().ends_with(" LAST"), "{messages:?}");
    // Version 2.0.0 doubles dots in chunks too, and nothing is removed from them.
    assert!(body(&messages[0]).ends_with("\r\n\r\n..dots\r\n...two\r\n..\r\nend\r\n"), "{messages:?}");
    assert_eq!(messages[1].data_request(), "BDAT 1000");
    assert!(body(&messages[1]).ends_with(&"a line of the text\r\n".repeat(500)));
    assert_eq!(messages[1].mail_parameters().ret(), Some(Ret::Headers));
    assert_eq!(server.stats().stages[smtpmock::smtp::Stage::Bdat].count, 10);
}

/// Octets that no DATA could have: each form of the capture has them as they were sent.
#[cfg(feature = "cli")]
#[test]
fn a_capture_has_any_octets_of_a_chunk() {
    const CONTENT: &[u8] = b".\r\nFrom me\r\nbare \n cr \r nul \0 \xff\x80\r\n.\r\nno end";
    const BASE64: &str = "Lg0KRnJvbSBtZQ0KYmFyZSAKIGNyIA0gbnVsIAAg/4ANCi4NCm5vIGVuZA==";
    const LF: &[u8] = b"\n.\n>From me\nbare \n cr \r nul \0 \xff\x80\n.\nno end\n\n";
    let folder = tempfile::tempdir().expect("a folder");
    for format in ["jsonl", "mbox", "eml"] {
        let path = folder.path().join(format);
        let flags = ["--esmtp", "--capture-format", format, "--capture", &path.display().to_string()];
        let program = program::start(flags);
        let mut client = Client::extended(program.address());
        for line in ["MAIL FROM:<ann@example.com> BODY=BINARYMIME", "RCPT TO:<bob@example.com>"] {
            assert!(client.command(line).starts_with("250 "), "{line}");
        }
        assert!(client.bdat(CONTENT, " LAST").starts_with("250 "));
        client.quit_extended();
        assert_eq!(program.stopped().code(), Some(0));
        let file = match format {
            "eml" => fs::read_dir(&path).expect("a folder").next().expect("a mail").expect("an entry").path(),
            _ => path,
        };
        let octets = fs::read(file).expect("a capture");
        let expected = match format {
            "jsonl" => format!("\"msg_request_base64\":\"{BASE64}\"").into_bytes(),
            "mbox" => LF.to_vec(),
            _ => CONTENT.to_vec(),
        };
        let is_there = octets.windows(expected.len()).any(|part| part == expected);
        assert!(
            is_there && (format == "jsonl" || octets.ends_with(&expected)),
            "{format}: {}",
            octets.escape_ascii()
        );
    }
}
