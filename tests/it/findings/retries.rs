//! Deferred recipients and messages, and their retries.

use std::thread::sleep;
use std::time::Duration;

use smtpmock::smtp::ReplyKind;
use smtpmock::stats::RetryStats;
use smtpmock::{Config, Server};

use super::found::{client, findings, names, only};
use crate::support::client::Client;
use crate::support::server::{has_ipv6, ruled, start, with_rules};

const GREYLIST: &str = r#"rcpt per=sender+recipient times=1 reply="451 4.7.1 Greylisted""#;

/// Deferred, retried, times, ambiguous.
fn counts(server: &Server) -> [u64; 4] {
    let RetryStats { deferred, retried, after, ambiguous, .. } = server.stats().retries;
    [deferred, retried, after.count(), ambiguous]
}

/// Tries these recipients in a session and returns the codes of the replies.
fn try_rcpts(server: &Server, sender: &str, recipients: &[&str]) -> Vec<String> {
    let mut client = client(server);
    client.command(&format!("MAIL FROM:<{sender}>"));
    let mut ask = |recipient: &&str| client.command(&format!("RCPT TO:<{recipient}>"))[..3].to_owned();
    let codes = recipients.iter().map(&mut ask).collect();
    client.quit();
    codes
}

/// Sends a message with this Message-ID and returns the code of the reply to it.
fn try_message(server: &Server, recipient: &str, id: &str) -> String {
    let mut client = client(server);
    let text = format!("Subject: hi\r\nmessage-id: {id}\r\n\r\nHello\r\n");
    let code = client.transaction("ann@example.com", recipient, &text)[..3].to_owned();
    client.quit();
    code
}

#[test]
fn greylisted_recipients_are_tracked_individually() {
    let server = with_rules(&[GREYLIST]);
    let all = ["b@example.com", "c@example.com", "d@example.com"];
    assert_eq!(try_rcpts(&server, "ann@example.com", &all), ["451"; 3]);
    assert_eq!(counts(&server), [3, 0, 0, 0]);
    assert_eq!(try_rcpts(&server, "ann@example.com", &all[..2]), ["250"; 2]);
    assert_eq!(counts(&server), [3, 2, 2, 0]);
    assert_eq!(try_rcpts(&server, "another@example.com", &all[2..]), ["451"], "no retry");
    assert_eq!(counts(&server), [4, 2, 2, 0]);
}

#[test]
fn a_recipient_that_is_deferred_again_counts_once_with_several_times() {
    let server = with_rules(&[r#"rcpt times=3 reply="451 4.7.1 Later""#]);
    for (code, expected) in
        [("451", [1, 0, 0, 0]), ("451", [1, 1, 1, 0]), ("451", [1, 1, 2, 0]), ("250", [1, 1, 3, 0])]
    {
        assert_eq!(try_rcpts(&server, "ann@example.com", &["b@example.com"]), [code]);
        assert_eq!(counts(&server), expected);
    }
    try_rcpts(&server, "ann@example.com", &["b@example.com"]);
    assert_eq!(counts(&server), [1, 1, 3, 0], "what was accepted is no longer waited for");
}

#[test]
fn retries_are_seen_over_all_shards() {
    let server = start(ruled(Config::default().shards(2), &[GREYLIST]));
    let recipients: Vec<String> = (0..40).map(|number| format!("b{number}@example.com")).collect();
    for code in ["451", "250"] {
        for recipient in &recipients {
            assert_eq!(try_rcpts(&server, "ann@example.com", &[recipient]), [code]);
        }
    }
    assert_eq!(counts(&server), [40, 40, 40, 0]);
    assert!(server.stats().sessions_by_shard.iter().all(|sessions| *sessions > 0));
}

/// MAIL names neither a message nor a recipient.
#[test]
fn another_mail_of_a_sender_whose_mail_was_deferred_is_ambiguous() {
    let server = with_rules(&[r#"mail times=1 reply="451 4.7.1 Later""#]);
    assert_eq!(try_rcpts(&server, "ann@example.com", &["b@example.com"]), ["503"]);
    assert_eq!(counts(&server), [0, 0, 0, 0]);
    assert_eq!(try_message(&server, "c@example.com", "<1@a.example>"), "250");
    assert_eq!(counts(&server), [0, 0, 0, 1]);
    assert_eq!(names(&server, 2), [""; 0]);
}

#[test]
fn a_deferred_message_is_identified_by_its_message_id() {
    for keeps_records in [true, false] {
        let config = Config::default().keep_records(keeps_records);
        let server = start(ruled(config, &[r#"message times=2 reply="451 4.3.0 Later""#]));
        assert_eq!(try_message(&server, "b@example.com", "<1@a.example>"), "451");
        assert_eq!(try_message(&server, "b@example.com", "<2@a.example>"), "451");
        assert_eq!(counts(&server), [2, 0, 0, 0]);
        assert_eq!(try_message(&server, "c@example.com", "<1@a.example>"), "250");
        assert_eq!(counts(&server), [2, 0, 0, 0], "another recipient");
        assert_eq!(try_message(&server, "b@example.com", "\r\n <1@a.example>"), "250");
        assert_eq!(counts(&server), [2, 1, 1, 0], "the same, folded");
        assert_eq!(server.stats().retries.identified.count(), 1);
    }
}

#[test]
fn a_deferred_data_command_counts_once_for_each_accepted_recipient() {
    let server = with_rules(&[r#"data times=1 reply="451 4.3.0 Later""#]);
    for expected in [[2, 0, 0, 0], [2, 2, 2, 0]] {
        let mut client = client(&server);
        client.envelope("ann@example.com", "b@example.com");
        client.command("RCPT TO:<c@example.com>");
        client.command("RCPT TO:<c@example.com>");
        client.command("RCPT TO:<nobody>");
        if client.command("DATA").starts_with("354") {
            client.command("hi\r\n.");
        }
        client.quit();
        assert_eq!(counts(&server), expected);
    }
}

#[test]
fn the_first_100_recipients_are_tracked() {
    let server = with_rules(&[r#"message reply="451 4.3.0 Later""#]);
    for expected in [[100, 0, 0, 0], [100, 100, 100, 0]] {
        let mut client = client(&server);
        client.mail("ann@example.com");
        for number in 0..120 {
            client.rcpt(&format!("b{number}@example.com"));
        }
        client.data();
        client.expect("hi\r\n.", "451 4.3.0 Later");
        client.quit();
        assert_eq!(counts(&server), expected);
    }
}

#[test]
fn configured_replies_can_defer_too() {
    let config = Config::default()
        .blacklisted_mailfrom_emails(["ann@example.com"])
        .reply(ReplyKind::MailBlacklisted, "450 4.7.1 Later");
    let server = start(config);
    try_rcpts(&server, "ann@example.com", &[]);
    try_rcpts(&server, "ann@example.com", &[]);
    assert_eq!(counts(&server), [0, 0, 0, 1]);
}

#[test]
fn the_wait_before_a_retry_begins_when_a_delayed_reply_is_sent() {
    let server = with_rules(&[r#"rcpt times=1 delay=300ms reply="451 4.7.1 Later""#]);
    let mut client = client(&server);
    client.mail("ann@example.com");
    assert!(client.command("RCPT TO:<b@example.com>").starts_with("451"));
    client.rcpt("b@example.com");
    client.quit();
    let total = server.stats().sessions.duration.max();
    let after = server.stats().retries.after.max();
    assert!(after <= total.saturating_sub(Duration::from_millis(300)), "{after:?} of {total:?}");
}

/// Several mails from one sender to one recipient, of which the first is deferred and not tried again.
#[test]
fn other_mails_to_the_same_recipient_are_not_retries() {
    let server = with_rules(&[r#"rcpt times=1 reply="451 4.7.1 Later""#]);
    assert_eq!(try_rcpts(&server, "ann@example.com", &["b@example.com"]), ["451"]);
    for id in ["<2@a.example>", "<3@a.example>", "<4@a.example>", "<5@a.example>"] {
        assert_eq!(try_message(&server, "b@example.com", id), "250");
        assert_eq!(names(&server, 0), [""; 0]);
    }
    assert_eq!(counts(&server), [1, 0, 0, 1]);
    assert_eq!(try_message(&server, "b@example.com", "<1@a.example>"), "250", "that was put off");
    assert_eq!(counts(&server), [1, 0, 0, 1]);
}

/// The same on one connection; one in three is deferred and not sent again, as by a load generator.
#[test]
fn a_generator_that_never_retries_has_no_finding_of_retries() {
    let server = with_rules(&[r#"rcpt every=3 reply="451 4.7.1 Later""#]);
    let mut client = client(&server);
    for number in 0..60 {
        client.mail("ann@example.com");
        match &client.command("RCPT TO:<b@example.com>")[..3] {
            "250" => client.message(&format!("Message-ID: <{number}@a.example>\r\n\r\nhi\r\n")),
            _ => client.expect("RSET", "250 Ok"),
        }
    }
    client.quit();
    let retries = server.stats().retries;
    assert_eq!((retries.deferred, retries.after.count(), retries.ambiguous), (20, 0, 19));
    assert_eq!(names(&server, 1), [""; 0]);
}

/// A queue with concurrent connections that retries deferred mails after a long enough wait.
#[test]
fn a_queue_that_waits_has_no_finding() {
    let server = with_rules(&[
        r#"mail every=7 reply="451 4.7.1 Slow down""#,
        r#"rcpt per=sender+recipient times=1 reply="451 4.7.1 Greylisted""#,
        r#"message every=5 reply="451 4.3.0 Later""#,
    ]);
    // Three to each of ten recipients.
    let mut queue: Vec<usize> = (0..30).collect();
    while !queue.is_empty() {
        let mut clients = [client(&server), client(&server), client(&server)];
        let mut put_off = Vec::new();
        for (turn, number) in queue.into_iter().enumerate() {
            if !deliver(&mut clients[turn % 3], number) {
                put_off.push(number);
            }
        }
        clients.into_iter().for_each(Client::quit);
        queue = put_off;
        assert_eq!(names(&server, 0), [""; 0]);
        sleep(Duration::from_millis(1010));
    }
    let retries = server.stats().retries;
    assert!(
        retries.identified.count() > 0 && retries.identified.min() > Duration::from_secs(1),
        "{retries:?}"
    );
    assert!(retries.after.min() > Duration::from_secs(1), "{retries:?}");
}

/// Tries to deliver a mail, and ends the transaction where it is deferred.
fn deliver(client: &mut Client, number: usize) -> bool {
    let lines = [
        "MAIL FROM:<ann@example.com>".to_owned(),
        format!("RCPT TO:<b{}@example.com>", number % 10),
        "DATA".to_owned(),
        format!("Message-ID: <{number}@a.example>\r\n\r\nhi\r\n."),
    ];
    let is_accepted = lines.iter().all(|line| !client.command(line).starts_with('4'));
    if !is_accepted {
        client.expect("RSET", "250 Ok");
    }
    is_accepted
}

/// The reply to MAIL with these parameters, on its own connection.
fn try_mail(server: &Server, parameters: &str) -> String {
    let mut client = Client::greeted(server.local_addr());
    client.command("EHLO client.example");
    (0..2).for_each(|_| drop(client.reply()));
    let code = client.command(&format!("MAIL FROM:<ann@example.com> {parameters}"))[..3].to_owned();
    client.quit();
    code
}

#[test]
fn an_envid_or_a_size_tells_messages_apart_at_mail() {
    let config = Config::default().reply(ReplyKind::HeloReceived, "250-mx.example\n250-DSN\n250 SIZE");
    let server = start(ruled(config, &[r#"mail times=2 reply="451 4.7.1 Later""#]));
    assert_eq!(try_mail(&server, "SIZE=100"), "451");
    assert_eq!(try_mail(&server, "ENVID=one"), "451");
    assert_eq!(try_mail(&server, "SIZE=200"), "250");
    assert_eq!(try_mail(&server, "ENVID=two"), "250");
    let retries = server.stats().retries;
    assert_eq!((retries.ambiguous, retries.identified.count()), (0, 0), "others");
    assert_eq!(try_mail(&server, "SIZE=100"), "250");
    assert_eq!(try_mail(&server, "SIZE=300 ENVID=one"), "250");
    let retries = server.stats().retries;
    assert_eq!((retries.ambiguous, retries.identified.count()), (1, 1));
}

#[test]
fn the_next_address_of_a_server_is_tried_at_once() {
    if !has_ipv6() {
        return;
    }
    let config = Config::default().hosts(["127.0.0.1", "::1"]);
    let server = start(ruled(config, &[LATER_ONCE]));
    assert_is_the_next_address(&server, server.local_addrs().iter().map(|address| Client::greeted(*address)));
}

#[test]
fn another_unix_socket_of_a_server_is_another_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = ["one", "two"].map(|name| folder.path().join(name));
    let config = Config::default();
    let config =
        paths.iter().fold(config, |config, path| config.listen(format!("smtp+unix://{}", path.display())));
    let server = start(ruled(config, &[LATER_ONCE]));
    assert_is_the_next_address(&server, paths.iter().map(|path| Client::greeted_at(path)));
}

const LATER_ONCE: &str = r#"message times=1 reply="451 4.3.0 Later""#;

/// Each client tries the same message after the previous one was deferred.
fn assert_is_the_next_address(server: &Server, clients: impl Iterator<Item = Client>) {
    let replies: Vec<_> = clients
        .map(|mut client| {
            client.ehlo();
            let reply = client.transaction(
                "ann@example.com",
                "bob@example.com",
                "Message-ID: <1@a.example>\r\n\r\nhi\r\n",
            );
            client.quit();
            reply
        })
        .collect();
    assert_eq!(replies, ["451 4.3.0 Later", "250 Received"]);
    assert_eq!(counts(server), [1, 0, 0, 0]);
    assert_eq!(names(server, 2), [""; 0]);
}

#[test]
fn retrying_the_same_message_at_once_is_found() {
    let server = with_rules(&[r#"message per=recipient times=1 reply="451 4.3.0 Later""#]);
    let found = (0..10).any(|number| {
        let recipient = format!("b{number}@example.com");
        assert_eq!(try_message(&server, &recipient, "<1@a.example>"), "451");
        assert_eq!(try_message(&server, &recipient, "<1@a.example>"), "250");
        // Only a very busy machine takes longer than a second.
        !findings(&server, 0).is_empty()
    });
    assert!(found);
    let text = only(&server, 0, "retried-at-once");
    assert!(text.starts_with("tried again within 1 s of a 4yz reply with the same message 1 of "), "{text}");
    assert!(text.ends_with("; RFC 5321 section 4.5.4.1 asks for 30 minutes in general"), "{text}");
}

#[test]
fn retrying_recipients_at_once_is_found_if_it_is_frequent() {
    let server = with_rules(&[GREYLIST]);
    let mut number = 0;
    let mut greylist = |comes_back: bool| {
        number += 1;
        let recipient = format!("b{number}@example.com");
        assert_eq!(try_rcpts(&server, "ann@example.com", &[&recipient]), ["451"]);
        if comes_back {
            assert_eq!(try_rcpts(&server, "ann@example.com", &[&recipient]), ["250"]);
        }
        !findings(&server, 0).is_empty()
    };
    assert_eq!([true; 4].map(&mut greylist), [false; 4], "the other mail may be on its way");
    // Only a very busy machine takes longer than a second.
    assert!((0..50).any(|_| greylist(true)));
    let text = only(&server, 0, "retried-at-once");
    assert!(text.starts_with("tried again within 1 s of a 4yz reply "), "{text}");
    // Others that are left waiting.
    assert!((0..50).any(|_| !greylist(false)));
}

#[test]
fn retrying_later_is_not() {
    let server = with_rules(&[r#"message times=1 reply="451 4.3.0 Later""#]);
    assert_eq!(try_message(&server, "b@example.com", "<1@a.example>"), "451");
    sleep(Duration::from_millis(1010));
    assert_eq!(try_message(&server, "b@example.com", "<1@a.example>"), "250");
    assert_eq!(counts(&server), [1, 1, 1, 0]);
    assert_eq!(names(&server, 2), [""; 0]);
}
