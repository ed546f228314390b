//! Inboxes: tests that share a server see their own mail.

use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};
use smtpmock::smtp::auth::Credential;
use smtpmock::{Config, Message};

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, plane};
use crate::support::server::ruled;

/// Sends a mail, and returns the code of the last reply.
fn send(client: &mut Client, to: &str, header: &str) -> String {
    client.command("MAIL FROM:<ann@example.com>");
    client.command(&format!("RCPT TO:<{to}>"));
    client.command("DATA");
    client.command(&format!("{header}\r\n\r\nHello\r\n."))[..3].to_owned()
}

fn subjects(reply: &Value) -> Vec<&str> {
    let messages = reply["messages"].as_array().expect("a list").iter();
    messages.map(|message| message["subject"].as_str().unwrap_or_default()).collect()
}

fn greeted(address: SocketAddr) -> Client {
    let mut client = Client::greeted(address);
    client.command("HELO client.example");
    client
}

/// A client of the server's own listener.
fn client(plane: &Plane) -> Client {
    greeted(plane.smtp())
}

#[test]
fn a_message_belongs_to_the_inboxes_of_its_listener_user_recipients_and_field() {
    let config =
        Config::default().esmtp().auth(Credential::any()).listen("smtp://127.0.0.1?inbox=Listener-1");
    let plane = plane(config.port(0));
    let mut plain = client(&plane);
    send(&mut plain, "bob@Domain-1.example", "Subject: domain");
    send(&mut plain, "bob+Tag-1@example.com", "Subject: tag");
    send(&mut plain, "bob@example.com", "Subject: field\r\nX-Smtpmock-Inbox:  Field-1 ");
    let mut listener = greeted(plane.server.local_addrs()[1]);
    send(&mut listener, "bob@example.com", "Subject: listener");
    // AUTH PLAIN of ann-1 with the password x.
    let mut user = Client::extended(plane.smtp());
    assert_eq!(&user.command("AUTH PLAIN AGFubi0xAHg=")[..3], "235");
    send(&mut user, "bob@example.com", "Subject: user");
    for (inbox, expected) in [
        ("domain-1.example", &["domain"][..]),
        ("DOMAIN-1.EXAMPLE", &["domain"]),
        ("tag-1", &["tag"]),
        ("field-1", &["field"]),
        ("listener-1", &["listener"]),
        ("ann-1", &["user"]),
        ("tag-", &[]),
        ("tag-10", &[]),
        ("example.com", &["user", "listener", "field", "tag"]),
    ] {
        assert_eq!(subjects(&plane.json(&format!("/v1/messages?inbox={inbox}"))), expected, "{inbox}");
        let query = format!("/v1/messages?query=inbox:{inbox}");
        assert_eq!(subjects(&plane.json(&query)), expected, "{inbox}");
        let by_library = plane.server.messages().iter().filter(|message| message.is_in(inbox)).count();
        assert_eq!(by_library, expected.len(), "{inbox}");
    }
    let tagged = &plane.json("/v1/messages?inbox=tag-1")["messages"][0]["inboxes"];
    assert_eq!(tagged, &json!(["example.com", "tag-1"]));
    assert_eq!(plane.server.listeners()[1].inbox.as_deref(), Some("listener-1"));
}

#[test]
fn a_wait_for_an_inbox_says_what_the_nearest_message_belongs_to() {
    let plane = plane(Config::default());
    send(&mut client(&plane), "bob+test-2@example.com", "Subject: other");
    let reply = plane.get("/v1/messages/wait?inbox=test-1&timeout=20ms").json_as(404);
    let expected = json!(["inbox=test-1: the inboxes are [\"example.com\", \"test-2\"]"]);
    assert_eq!(reply["nearest"][0]["missed"], expected);
}

/// That of a variable that is not set was all messages.
#[test]
fn an_empty_inbox_deletes_nothing() {
    let plane = plane(Config::default());
    send(&mut client(&plane), "bob@example.com", "Subject: hi");
    let reply = HttpClient::connect(plane.http).request("DELETE", "/v1/messages?inbox=", &[]);
    assert_eq!(reply.json_as(400)["error"]["at"], "inbox");
    assert_eq!(plane.server.messages().len(), 1);
}

#[test]
fn what_a_refused_recipient_would_have_got_is_in_its_inbox() {
    let plane = plane(ruled(Config::default(), &["rcpt inbox=test-1 reply=\"452 4.2.2 full\""]));
    let mut client = client(&plane);
    client.command("MAIL FROM:<ann@example.com>");
    assert_eq!(client.command("RCPT TO:<bob+test-1@example.com>"), "452 4.2.2 full");
    client.quit();
    let reply = plane.json("/v1/messages/wait?inbox=test-1&accepted=false&timeout=1m");
    assert_eq!(reply["messages"][0]["envelope"]["to"][0]["reply"], "452 4.2.2 full");
}

/// One of several tests at the same time: it changes the behaviour for its own mail, sends, waits, looks, takes, and meets no
/// other's.
fn one_test(plane: &Plane, number: usize) {
    const ROUNDS: usize = 6;
    let inbox = format!("test-{number}");
    let to = format!("bob+{inbox}@example.com");
    let mut http = HttpClient::connect(plane.http);
    let rule =
        json!({"id": inbox, "rule": format!("rcpt inbox={inbox} times=1 reply=\"451 4.7.1 {number}\"")});
    http.request_with("POST", "/v1/rules", &rule.to_string()).json_as(201);
    let mut client = client(plane);
    client.command("MAIL FROM:<ann@example.com>");
    assert_eq!(client.command(&format!("RCPT TO:<{to}>")), format!("451 4.7.1 {number}"));
    let is_own = |reply: &Value, expected: &[String]| {
        assert_eq!(subjects(reply), expected);
    };
    for round in 0..ROUNDS {
        let subject = format!("{number}-{round}");
        assert_eq!(send(&mut client, &to, &format!("Subject: {subject}")), "250");
        let wait = format!("/v1/messages/wait?inbox={inbox}&timeout=1m");
        is_own(&http.request("GET", &wait, &[]).json_as(200), std::slice::from_ref(&subject));
        let found = plane.server.search(&format!("inbox:{inbox}")).expect("a query");
        assert_eq!(found.iter().filter_map(Message::subject).collect::<Vec<_>>(), [subject.as_str()]);
        if round % 2 == 0 {
            let take = format!("/v1/messages?inbox={inbox}&return=true");
            is_own(&http.request("DELETE", &take, &[]).json_as(200), &[subject]);
        } else {
            let taken = plane.server.take(|message| message.is_in(&inbox));
            assert_eq!(taken.iter().filter_map(Message::subject).collect::<Vec<_>>(), [subject]);
        }
        is_own(&http.request("GET", &format!("/v1/messages?inbox={inbox}"), &[]).json_as(200), &[]);
    }
    let rule = http.request("GET", &format!("/v1/rules/{inbox}"), &[]).json_as(200);
    assert_eq!((&rule["fired"], &rule["reached"]), (&json!(1), &json!(ROUNDS + 1)));
}

#[test]
fn tests_at_the_same_time_never_see_the_mail_of_each_other() {
    let plane = plane(Config::default());
    thread::scope(|scope| {
        let plane = &plane;
        for number in 0..6 {
            scope.spawn(move || one_test(plane, number));
        }
    });
    assert_eq!(plane.server.messages().iter().filter(|message| message.msg()).count(), 0);
}

/// The text of these mails is short, and their envelopes are not.
#[test]
fn recipients_without_end_filled_one_reply() {
    const RECIPIENTS: usize = 10_000;
    let plane = plane(Config::default());
    let mut client = client(&plane);
    let recipients: String = (0..RECIPIENTS)
        .map(|number| format!("RCPT TO:<someone-{number}+some-inbox-{number}@example-{number}.example>\r\n"))
        .collect();
    for _ in 0..6 {
        client.mail("ann@example.com");
        let mut writer = client.writer();
        thread::scope(|scope| {
            scope.spawn(|| writer.write_all(recipients.as_bytes()).expect("an open connection"));
            (0..RECIPIENTS).for_each(|_| assert_eq!(client.reply(), "250 Received"));
        });
        client.message("Subject: hi\r\n\r\n");
    }
    let reply = plane.get("/v1/messages/wait?count=6&limit=500&timeout=2m");
    let octets = reply.body.len();
    let reply = reply.json_as(200);
    let messages = reply["messages"].as_array().expect("a list");
    assert_eq!(reply["total"], 6);
    assert!((1..6).contains(&messages.len()) && octets < 20 << 20, "{} in {octets}", messages.len());
    let list = plane.get("/v1/messages?limit=500");
    assert!(list.body.len() < 20 << 20, "{}", list.body.len());
}
