//! Waiting for messages.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use smtpmock::{Config, ControlPlane, HttpSettings};

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, encoded, plane};
use crate::support::server::{ruled, start};
use crate::support::waiting::now;

fn send(plane: &Plane, to: &str, subject: &str) {
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    client.transaction("ann@example.com", to, &format!("Subject: {subject}\r\n\r\nHello\r\n"));
}

fn subjects(reply: &Value) -> Vec<&str> {
    let messages = reply["messages"].as_array().expect("a list").iter();
    messages.map(|message| message["subject"].as_str().unwrap_or_default()).collect()
}

/// The sender has not read its 250, and need not.
#[test]
fn a_wait_is_answered_before_the_sender_reads_the_acceptance() {
    let plane = plane(Config::default());
    let mut waiting = HttpClient::connect(plane.http);
    waiting.begin("GET", "/v1/messages/wait?query=subject:welcome&timeout=10m", &[]);
    let mut client = Client::with_envelope(plane.smtp());
    client.data();
    client.send("Subject: Welcome\r\n\r\nHello\r\n.\r\n");
    let reply = waiting.reply().expect("a reply").json_as(200);
    assert_eq!((subjects(&reply), &reply["total"]), (vec!["Welcome"], &json!(1)));
    assert_eq!(reply["messages"][0]["text"], "Hello\r\n");
    assert_eq!(client.reply(), "250 Received");
}

#[test]
fn what_is_there_already_counts_and_what_stands_before_after_does_not() {
    let plane = plane(Config::default());
    send(&plane, "bob@example.com", "one");
    send(&plane, "bob@example.com", "two");
    assert_eq!(subjects(&plane.json("/v1/messages/wait?count=2")), ["two", "one"]);
    assert_eq!(subjects(&plane.json("/v1/messages/wait?count=0&query=nothing")), Vec::<&str>::new());
    let first = plane.server.messages()[0].id();
    assert_eq!(subjects(&plane.json(&format!("/v1/messages/wait?after={first}"))), ["two"]);
    let last = plane.server.messages()[1].id();
    let mut waiting = HttpClient::connect(plane.http);
    waiting.begin("GET", &format!("/v1/messages/wait?after={last}&timeout=10m"), &[]);
    send(&plane, "bob@example.com", "three");
    assert_eq!(subjects(&waiting.reply().expect("a reply").json_as(200)), ["three"]);
    // Deleting all leaves nothing that later messages could be mistaken for.
    plane.delete("/v1/messages");
    send(&plane, "bob@example.com", "four");
    assert_eq!(subjects(&plane.json(&format!("/v1/messages/wait?after={last}"))), ["four"]);
}

/// All messages count as later than one that never was: a wait was answered by old mail.
#[test]
fn an_id_of_another_server_is_no_place_to_wait_behind() {
    let (plane, other) = (plane(Config::default()), plane(Config::default()));
    send(&plane, "bob@example.com", "old");
    send(&other, "bob@example.com", "foreign");
    let foreign = other.server.messages()[0].id();
    for target in ["/v1/messages?", "/v1/messages/wait?timeout=10m&", "/v1/events?"] {
        let error = plane.get(&format!("{target}after={foreign}")).json_as(400);
        assert_eq!(error["error"]["at"], "after", "{target}");
    }
    let deleted =
        HttpClient::connect(plane.http).request("DELETE", &format!("/v1/messages?after={foreign}"), &[]);
    assert_eq!((deleted.reason(400), plane.server.messages().len()), ("invalid".to_owned(), 1));
}

#[test]
fn a_wait_that_is_in_vain_says_what_arrived_and_why_it_does_not_match() {
    let plane = plane(ruled(Config::default(), &["message to=full@* reply=\"452 4.2.2 Mailbox full\""]));
    send(&plane, "bob@example.com", "Welcome Bob");
    send(&plane, "carol@example.com", "Goodbye");
    send(&plane, "full@example.com", "Welcome Bob");
    let query = encoded("subject:welcome rcpt-to:bob");
    let reply = plane.get(&format!("/v1/messages/wait?query={query}&count=2&timeout=20ms"));
    assert_eq!(reply.reason(404), "timeout");
    let reply = reply.json_as(404);
    assert_eq!(reply["error"]["hint"], "1 of 2 messages matched within 20 ms");
    assert_eq!((subjects(&reply), &reply["total"]), (vec!["Welcome Bob"], &json!(1)));
    let nearest = reply["nearest"].as_array().expect("a list");
    assert_eq!(nearest.len(), 2);
    let missed = |recipient: &str| {
        let found = nearest.iter().find(|one| one["envelope"]["to"][0]["address"] == recipient).expect("one");
        found["missed"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|text| text.as_str().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        missed("carol@example.com"),
        ["subject:welcome: found \"goodbye\"", "rcpt-to:bob: the forward-paths are [\"carol@example.com\"]"]
    );
    assert!(missed("full@example.com")[0].starts_with("accepted: it was refused"));
}

#[test]
fn what_is_taken_during_a_wait_no_longer_counts() {
    let plane = plane(Config::default());
    let mut waiting = HttpClient::connect(plane.http);
    waiting.begin("GET", "/v1/messages/wait?count=2&timeout=10m", &[]);
    send(&plane, "bob@example.com", "taken");
    assert_eq!(plane.delete("/v1/messages")["deleted"], 1);
    send(&plane, "bob@example.com", "one");
    // The reply to a later wait for the same: this one has been looked at, and has none.
    assert_eq!(plane.get("/v1/messages/wait?count=2&timeout=50ms").reason(404), "timeout");
    assert!(waiting.peeked().is_empty(), "it still waits");
    send(&plane, "bob@example.com", "two");
    let reply = waiting.reply().expect("a reply").json_as(200);
    assert_eq!(subjects(&reply), ["two", "one"]);
}

#[test]
fn a_wait_is_answered_when_the_control_plane_ends() {
    let server = Arc::new(start(Config::default()));
    let control = ControlPlane::start(&server, &HttpSettings::at("0")).expect("a free port");
    let mut waiting = HttpClient::connect(control.local_addr());
    waiting.begin("GET", "/v1/messages/wait?timeout=10m", &[]);
    // Its connection came first, and so is its request read.
    let mut other = HttpClient::connect(control.local_addr());
    assert_eq!(other.request("GET", "/livez", &[]).status, 200);
    drop(control);
    assert_eq!(waiting.reply().expect("a reply").reason(503), "stopping");
}

/// A wait was a way to retain what the bound of the server had evicted.
#[test]
fn what_is_evicted_during_a_wait_is_gone() {
    let plane = plane(Config::default().max_records(3));
    assert_eq!(
        plane.get("/v1/messages/wait?count=4&timeout=10m").reason(400),
        "invalid",
        "it could never end well"
    );
    let mut waiting = HttpClient::connect(plane.http);
    waiting.begin("GET", "/v1/messages/wait?query=subject:wanted&count=3&timeout=10m", &[]);
    // There are never three of them before the last one.
    for subject in ["wanted 1", "wanted 2", "other", "other", "wanted 3", "wanted 4", "wanted 5"] {
        send(&plane, "bob@example.com", subject);
    }
    let reply = waiting.reply().expect("a reply").json_as(200);
    assert_eq!((subjects(&reply), &reply["total"]), (vec!["wanted 5", "wanted 4", "wanted 3"], &json!(3)));
}

#[test]
fn refused_mails_can_be_waited_for() {
    let plane = plane(ruled(Config::default(), &["message reply=\"554 5.7.1 No\""]));
    let mut waiting = HttpClient::connect(plane.http);
    waiting.begin("GET", "/v1/messages/wait?accepted=false&query=mail-from:ann&timeout=10m", &[]);
    send(&plane, "bob@example.com", "x");
    let reply = waiting.reply().expect("a reply").json_as(200);
    let turns = reply["messages"][0]["dialogue"].as_array().expect("turns");
    assert_eq!(turns.last().map(|turn| &turn["reply"]), Some(&json!("554 5.7.1 No")));
}

/// Others are answered while many wait, and a wait whose client has gone is no burden.
#[test]
fn many_waits_are_answered_by_one_message() {
    const WAITS: usize = 100;
    let plane = plane(Config::default());
    let mut waiting: Vec<_> = (0..WAITS).map(|_| HttpClient::connect(plane.http)).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.begin("GET", &format!("/v1/messages/wait?query=rcpt-to:user{}&timeout=10m", number % 10), &[]);
    }
    let gone = waiting.split_off(WAITS / 2);
    drop(gone);
    assert_eq!(plane.json("/v1/messages")["total"], 0);
    thread::scope(|scope| {
        for number in 0..10 {
            let plane = &plane;
            scope.spawn(move || send(plane, &format!("user{number}@example.com"), "x"));
        }
    });
    for (number, client) in waiting.iter_mut().enumerate() {
        let reply = client.reply().expect("a reply").json_as(200);
        let expected = format!("user{}@example.com", number % 10);
        assert_eq!(reply["messages"][0]["envelope"]["to"][0]["address"], json!(expected));
    }
}

#[test]
fn a_wait_ends_with_its_server() {
    let plane = plane(Config::default());
    let mut waiting = HttpClient::connect(plane.http);
    waiting.begin("GET", "/v1/messages/wait?timeout=10m", &[]);
    let start = now();
    drop(plane);
    waiting.rest();
    assert!(start.elapsed() < Duration::from_secs(300), "long before its timeout");
}
