//! Extensions of SMTP: what is offered is used, and what is not is left.

use serde_json::Value;

use crate::support::files::{json, path};
use crate::support::program::plain;
use crate::support::{Act, Load, Sink, Verb};

#[test]
fn size_and_body_are_declared_where_they_are_offered() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(&folder, "message.eml");
    // Stuffed dots are not of the message (RFC 1870 section 5).
    std::fs::write(&file, "Subject: gr\u{fc}n\n\n.\n..\nend").expect("a file");
    for (offer, parameters) in [
        ("250-sink\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n", " SIZE={} BODY=8BITMIME"),
        ("250-sink\r\n250 size\r\n", " SIZE={}"),
        ("250-sink\r\n250 8bitmime\r\n", " BODY=8BITMIME"),
        ("250-SIZE is the name of this server\r\n250 HELP\r\n", ""),
    ] {
        let sink = Sink::offering(offer, |_| Act::Usual);
        Load::on(&sink).with("-c 1 --count 2 --from a@b.example --message").arg(&file).run().expect(0);
        let seen = sink.seen();
        let size = seen.messages[1].text.len();
        let parameters = parameters.replace("{}", &size.to_string());
        assert_eq!(seen.messages[1].from, format!("MAIL FROM:<a@b.example>{parameters}"), "{offer}");
    }
}

#[test]
fn a_message_of_seven_bits_has_no_body_parameter() {
    let sink = Sink::offering("250-sink\r\n250-SIZE\r\n250 8BITMIME\r\n", |_| Act::Usual);
    Load::on(&sink).with("-c 1 --count 9 --size 10..3000 --pipelining").run().expect(0);
    for message in &sink.seen().messages {
        assert!(message.from.ends_with(&format!("> SIZE={}", message.text.len())), "{}", message.from);
    }
}

#[test]
fn notifications_are_requested_where_they_are_offered() {
    let sink = Sink::offering("250-sink\r\n250-PIPELINING\r\n250 DSN\r\n", |_| Act::Usual);
    let outcome = Load::on(&sink)
        .with("-c 1 --count 2 --rcpts 2 --dsn --pipelining --from a@b.example --to u+{{seq}}.{{rcpt}}@c.example")
        .run()
        .expect(0);
    let run = outcome.report["settings"]["runs"][0].as_str().expect("a name");
    let message = sink.seen().messages[1].clone();
    assert_eq!(message.from, format!("MAIL FROM:<a@b.example> RET=HDRS ENVID={run}-1"));
    let parameters = "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;u+2B1.1@c.example";
    assert_eq!(message.to[1], format!("RCPT TO:<u+1.1@c.example> {parameters}"));
    assert_eq!(outcome.number("/sessions/without_dsn"), 0);
    let sink = Sink::usual();
    let outcome = Load::on(&sink).with("-c 2 --count 4 --dsn --to a@b.example").run().expect(0);
    assert_eq!(outcome.number("/sessions/without_dsn"), 2);
    assert_eq!(sink.seen().messages[0].to, ["RCPT TO:<a@b.example>"]);
}

#[test]
fn utf8_is_sent_with_its_parameters_and_to_no_server_that_does_not_offer_it() {
    let sink = Sink::offering("250-sink\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n", |_| Act::Usual);
    let outcome = Load::on(&sink).with("-c 1 --count 2 --smtputf8 --dsn").run().expect(0);
    let message = sink.seen().messages[1].clone();
    let from = "MAIL FROM:<smtplo\u{e4}d@ex\u{e4}mple.com> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=";
    assert!(message.from.starts_with(from), "{}", message.from);
    assert!(message.to[0].starts_with("RCPT TO:<us\u{e9}r0@ex\u{e4}mple.com> "), "{}", message.to[0]);
    assert!(message.to[0].ends_with("ORCPT=utf-8;us\\x{E9}r0@ex\\x{E4}mple.com"), "{}", message.to[0]);
    assert!(message.text.contains("Subject: smtplo\u{e4}d \u{2709}\r\n"), "{}", message.text);
    assert_eq!(outcome.count("accepted"), 2);
    for offer in ["250-sink\r\n250 8BITMIME\r\n", "502 what\r\n"] {
        let sink = Sink::offering(offer, |_| Act::Usual);
        let outcome = Load::on(&sink).with("-c 1 --count 2 --smtputf8").run().expect(1);
        let account = &outcome.report["accounting"]["measured"];
        if offer.starts_with("250") {
            let row = &account["aborted_by"][0];
            assert_eq!((row["phase"].as_str(), row["reason"].as_str()), (Some("ehlo"), Some("no-smtputf8")));
        }
        assert!(!sink.seen().verbs.contains_key(&Verb::Mail) && !sink.seen().verbs.contains_key(&Verb::Helo));
    }
}

#[test]
fn helo_follows_where_ehlo_is_refused() {
    let sink = Sink::answering(Verb::Ehlo, Act::Say("502-5.5.1 PIPELINING\r\n502 SIZE\r\n"));
    let outcome = Load::on(&sink).with("-c 2 --count 10 --pipelining --helo me.example").run().expect(0);
    assert_eq!(outcome.count("accepted"), 10);
    assert_eq!(outcome.number("/sessions/established"), 2);
    assert_eq!(outcome.number("/sessions/without_ehlo"), 2);
    assert_eq!(outcome.number("/sessions/without_pipelining"), 2);
    let ehlo = ["ok", "failed"].map(|end| outcome.number(&format!("/latency/ehlo/{end}/count")));
    assert_eq!(ehlo, [2, 2], "both are measured");
    assert!(sink.seen().lines.contains(&"HELO me.example".to_owned()));
}

#[test]
fn a_server_that_refuses_helo_as_well_is_not_asked_a_third_time() {
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Ehlo | Verb::Helo => Act::Say("550 5.7.1 go away\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 2").run().expect(1);
    let row = &outcome.report["accounting"]["measured"]["refused_by"][0];
    assert_eq!((row["phase"].as_str(), row["count"].as_u64()), (Some("ehlo"), Some(2)));
    let verbs = &sink.seen().verbs;
    assert_eq!([verbs[&Verb::Ehlo], verbs[&Verb::Helo], verbs[&Verb::Quit]], [2, 2, 2]);
    // A 4yz is no refusal of EHLO itself.
    let sink = Sink::answering(Verb::Ehlo, Act::Say("450 later\r\n"));
    Load::on(&sink).with("-c 1 --count 1").run().expect(1);
    assert!(!sink.seen().verbs.contains_key(&Verb::Helo));
}

#[test]
fn refusals_are_counted_by_enhanced_code_as_well() {
    let sink = Sink::start(|turn| match (turn.verb, turn.nth % 10) {
        (Verb::Mail, 1) => Act::Say("450-4.7.1 try\r\n450 4.7.1 again\r\n"),
        (Verb::Mail, 2) => Act::Say("450 4.2.0 later\r\n"),
        (Verb::Mail, 3) => Act::Say("450 no code\r\n"),
        (Verb::Dot, 4) => Act::Say("550 5.2.2 full\r\n"),
        (Verb::Rcpt, 5) => Act::Say("550 5.1.1 nobody\r\n"),
        _ => Act::Usual,
    });
    let folder = tempfile::tempdir().expect("a folder");
    let files = [path(&folder, "a.json"), path(&folder, "b.json")];
    for file in &files {
        Load::into_file(&sink, file).with("-c 1 --count 100 --rcpts 2").run().code_is(0);
    }
    let merged = path(&folder, "sum.json");
    let shown = plain(&["merge", &files[0], &files[1], "--json", &merged]);
    shown.code_is(0);
    let all = files.map(|file| json(&file)["accounting"]["measured"].clone());
    let sum = json(&merged)["accounting"]["measured"].clone();
    let count = |account: &Value, list: &str, enhanced: &str| -> u64 {
        let rows = account[list].as_array().cloned().unwrap_or_default();
        let of_code = rows.iter().filter(|row| row["enhanced"] == enhanced);
        of_code.map(|row| row["count"].as_u64().expect("a count")).sum()
    };
    for (list, enhanced) in [
        ("refused_by_enhanced", "4.7.1"),
        ("refused_by_enhanced", "4.2.0"),
        ("refused_by_enhanced", "5.2.2"),
        ("recipients_refused_by_enhanced", "5.1.1"),
    ] {
        let counts = all.each_ref().map(|one| count(one, list, enhanced));
        assert!(counts.iter().all(|count| *count >= 5), "{enhanced}: {counts:?}");
        assert_eq!(count(&sum, list, enhanced), counts[0] + counts[1], "{enhanced}");
        assert!(
            shown.stdout.contains(&format!(" {enhanced} x{}", counts[0] + counts[1])),
            "{}",
            shown.stdout
        );
    }
    let by_code: u64 = all.iter().map(|one| one["refused_by"][0]["count"].as_u64().expect("a count")).sum();
    let by_enhanced =
        count(&sum, "refused_by_enhanced", "4.7.1") + count(&sum, "refused_by_enhanced", "4.2.0");
    assert!(by_code > by_enhanced, "those without an enhanced code are among those by code");
    assert!(shown.stdout.contains(&format!("mail: 450 x{}", by_code - by_enhanced)), "{}", shown.stdout);
}

#[test]
fn what_follows_a_refused_mail_in_its_group_is_answered_and_counts_for_nothing() {
    // The server accepts recipients and DATA all the same: a lone dot ends it (RFC 2920 section 3.1).
    let sink = Sink::start(|turn| match turn.verb {
        Verb::Mail if turn.nth % 2 == 0 => Act::Say("451 4.3.0 later\r\n"),
        _ => Act::Usual,
    });
    let outcome = Load::on(&sink).with("-c 1 --count 10 --rcpts 2 --pipelining").run().expect(0);
    assert_eq!((outcome.count("accepted"), outcome.count("refused_4xx")), (5, 5));
    assert_eq!((outcome.count("recipients_accepted"), outcome.number("/latency/rcpt/ok/count")), (10, 20));
    let messages = &sink.seen().messages;
    assert_eq!(
        messages.iter().filter(|message| message.text.is_empty()).count(),
        5,
        "of which nothing was sent"
    );
    assert_eq!((messages.len(), sink.sessions()), (10, 1));
}
