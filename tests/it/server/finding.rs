//! Waits for messages that match, searching and taking.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use smtpmock::smtp::ReplyKind;
use smtpmock::{Config, Message, Server};

use crate::support::client::Client;
use crate::support::server::start;
use crate::support::waiting::PATIENCE;

const SHORT: Duration = Duration::from_millis(20);

fn send(server: &Server, to: &str, subject: &str) {
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.transaction("ann@example.com", to, &format!("Subject: {subject}\r\n\r\nYour code is 482913\r\n"));
}

fn is_for(address: &str) -> impl Fn(&Message) -> bool + Send + use<> {
    let address = address.to_owned();
    move |mail| mail.forward_paths().contains(&address.as_str().into())
}

fn subjects(mails: &[Message]) -> Vec<String> {
    mails.iter().filter_map(Message::subject).collect()
}

#[test]
fn what_is_there_already_is_found_and_the_oldest_first() {
    let server = start(Config::default());
    send(&server, "carol@example.com", "zero");
    send(&server, "bob@example.com", "one");
    send(&server, "bob@example.com", "two");
    let mail = server.wait_for(is_for("bob@example.com"), Duration::ZERO).unwrap();
    assert_eq!(mail.subject().as_deref(), Some("one"));
    assert_eq!(server.messages().len(), 3, "it stays");
}

/// The sender has not read its 250, and what arrives meanwhile and does not match is looked at once.
#[test]
fn a_wait_ends_with_the_message_that_matches_before_its_sender_reads_the_acceptance() {
    let server = start(Config::default());
    let looks = AtomicUsize::new(0);
    thread::scope(|scope| {
        let wait = scope.spawn(|| {
            let matches = |mail: &Message| {
                looks.fetch_add(1, Ordering::SeqCst);
                is_for("bob@example.com")(mail)
            };
            server.wait_for(matches, PATIENCE)
        });
        (0..3).for_each(|number| send(&server, "carol@example.com", &number.to_string()));
        let mut client = Client::with_envelope(server.local_addr());
        client.data();
        client.send("Subject: hi\r\n\r\n\r\n.\r\n");
        let mail = wait.join().expect("a wait").expect("a message");
        assert_eq!(mail.subject().as_deref(), Some("hi"));
        assert_eq!(client.reply(), "250 Received");
    });
    assert_eq!(looks.load(Ordering::SeqCst), 4);
}

#[test]
fn a_wait_in_vain_says_what_did_arrive() {
    let server = start(Config::default());
    send(&server, "carol@example.com", "other");
    let error = server.wait_for(is_for("bob@example.com"), SHORT).unwrap_err();
    assert_eq!(error.to_string(), "timeout waiting for a message that matches: none of 1 did within 20ms");
    assert_eq!(subjects(&error.arrived), ["other"]);
    let none = start(Config::default().keep_records(false));
    assert!(none.wait_for(|_| true, PATIENCE).is_err(), "what can never come is not waited for");
}

#[test]
fn a_refused_mail_can_be_waited_for() {
    let refusing = Config::default()
        .blacklisted_rcptto_emails(["full@example.com"])
        .reply(ReplyKind::RcptBlacklisted, "452 4.2.2 Mailbox full");
    let server = start(refusing);
    let mut client = Client::greeted(server.local_addr());
    client.ehlo();
    client.command("MAIL FROM:<ann@example.com>");
    client.command("RCPT TO:<full@example.com>");
    client.quit();
    let mail = server.wait_for(|mail| !mail.msg(), PATIENCE).unwrap();
    assert_eq!(mail.rcptto_request_response()[0].1, "452 4.2.2 Mailbox full");
}

#[tokio::test]
async fn a_future_waits_on_the_thread_of_the_sender() {
    let server = start(Config::default());
    let wait = tokio::spawn(server.wait_for_async(is_for("bob@example.com"), PATIENCE));
    tokio::task::yield_now().await;
    send(&server, "carol@example.com", "other");
    send(&server, "bob@example.com", "mine");
    assert_eq!(wait.await.unwrap().unwrap().subject().as_deref(), Some("mine"));
    let again = server.wait_for_async(is_for("bob@example.com"), Duration::ZERO).await;
    assert_eq!(again.unwrap().subject().as_deref(), Some("mine"), "it is there already");
    let error = server.wait_for_async(is_for("zoe@example.com"), SHORT).await.unwrap_err();
    assert_eq!(subjects(&error.arrived), ["other", "mine"]);
    let outlives = server.wait_for_async(|_| false, SHORT);
    drop(server);
    assert_eq!(outlives.await.unwrap_err().arrived.len(), 2);
}

/// Several tests take at the same time from one server, while others send.
#[test]
fn each_message_is_taken_once() {
    let server = start(Config::default());
    let done = AtomicUsize::new(0);
    let mut taken: Vec<String> = thread::scope(|scope| {
        let takers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut taken = Vec::new();
                    while done.load(Ordering::SeqCst) < 2 {
                        taken.extend(subjects(&server.take(is_for("bob@example.com"))));
                    }
                    taken
                })
            })
            .collect();
        for sender in 0..2 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                for number in 0..20 {
                    send(server, "bob@example.com", &format!("{sender}-{number}"));
                    send(server, "carol@example.com", "hers");
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        takers.into_iter().flat_map(|taker| taker.join().expect("a taker")).collect()
    });
    taken.extend(subjects(&server.take(is_for("bob@example.com"))));
    taken.sort();
    let mut sent: Vec<_> =
        (0..2).flat_map(|of| (0..20).map(move |number| format!("{of}-{number}"))).collect();
    sent.sort();
    assert_eq!(taken, sent);
    assert_eq!(subjects(&server.messages()), ["hers"; 40]);
}

#[cfg(feature = "mime")]
#[test]
fn messages_are_searched_and_parsed() {
    let server = start(Config::default());
    send(&server, "bob@example.com", "Welcome");
    send(&server, "carol@example.com", "Goodbye");
    assert_eq!(subjects(&server.search("mail-from:ann subject:welcome").unwrap()), ["Welcome"]);
    assert_eq!(subjects(&server.search("mail-from:ann").unwrap()), ["Welcome", "Goodbye"]);
    assert!(server.search("").is_err(), "an unset variable selects nothing");
    assert_eq!(server.search("larger:x").unwrap_err().term, "larger:x");
    let mail = server.messages()[0].mail();
    assert_eq!((mail.subject.as_deref(), mail.codes()), (Some("Welcome"), vec!["482913".to_owned()]));
    let none = start(Config::default().keep_records(false));
    assert!(none.search("mail-from:ann").unwrap().is_empty() && none.take(|_| true).is_empty());
}
