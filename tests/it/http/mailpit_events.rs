//! Mailpit's stream of events, a WebSocket.

use std::net::SocketAddr;

use serde_json::{Value, json};
use smtpmock::{Config, HttpSettings};

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, plane, plane_with};

const UPGRADE: &[(&str, &str)] = &[
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A stream, behind its first sum.
pub(super) fn stream(http: SocketAddr) -> HttpClient {
    let mut client = HttpClient::connect(http);
    let reply = client.request("GET", "/api/events", UPGRADE);
    assert_eq!(
        (reply.status, reply.header("sec-websocket-accept")),
        (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    );
    assert_eq!(event(&mut client)["Type"], "stats");
    client
}

/// The opcode and the payload of the next frame.
fn frame(client: &mut HttpClient) -> (u8, Vec<u8>) {
    let head = client.octets(2);
    let length = match head[1] {
        126 => usize::from(u16::from_be_bytes(client.octets(2).try_into().expect("two"))),
        length => usize::from(length),
    };
    (head[0] & 0x0f, client.octets(length))
}

fn event(client: &mut HttpClient) -> Value {
    let (opcode, payload) = frame(client);
    assert_eq!(opcode, 1);
    serde_json::from_slice(&payload).expect("JSON")
}

/// The next event that is no sum.
pub(super) fn change(client: &mut HttpClient) -> (String, Value) {
    loop {
        let event = event(client);
        let kind = event["Type"].as_str().expect("a type");
        if kind != "stats" {
            return (kind.to_owned(), event["Data"].clone());
        }
    }
}

/// A frame as clients send it.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let payload: Vec<_> = payload.iter().map(|octet| octet ^ 7).collect();
    [&[0x80 | opcode, 0x80 | payload.len() as u8, 7, 7, 7, 7], &payload[..]].concat()
}

fn send(plane: &Plane, subject: &str) {
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    client.transaction("ann@example.com", "bob@example.com", &format!("Subject: {subject}\r\n\r\n"));
}

fn ask(plane: &Plane, method: &str, target: &str, body: &Value) {
    let reply = HttpClient::connect(plane.http).request_with(method, target, &body.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn arrivals_marks_and_removals_are_events() {
    let plane = plane(Config::default());
    let mut client = stream(plane.http);
    send(&plane, "one");
    let (kind, one) = change(&mut client);
    assert_eq!((kind.as_str(), &one["Subject"], &one["Read"]), ("new", &json!("one"), &json!(false)));
    let id = &one["ID"];
    let sum = event(&mut client);
    assert_eq!(
        (&sum["Type"], &sum["Data"]["Total"], &sum["Data"]["Unread"]),
        (&json!("stats"), &json!(1), &json!(1))
    );
    plane.json(&format!("/api/v1/message/{}", id.as_str().expect("an id")));
    assert_eq!(change(&mut client), ("update".to_owned(), json!({"ID": id, "Read": true})));
    ask(&plane, "PUT", "/api/v1/tags", &json!({"IDs": [id], "Tags": ["a"]}));
    assert_eq!(change(&mut client), ("update".to_owned(), json!({"ID": id, "Tags": ["a"]})));
    send(&plane, "two");
    assert_eq!(change(&mut client).1["Subject"], "two");
    ask(&plane, "DELETE", "/api/v1/messages", &json!({"IDs": [id]}));
    assert_eq!(change(&mut client), ("delete".to_owned(), json!({"ID": id})));
    plane.delete("/v1/messages?query=two");
    assert_eq!(change(&mut client).0, "delete");
    ask(&plane, "DELETE", "/api/v1/messages", &json!({}));
    assert_eq!(change(&mut client), ("truncate".to_owned(), Value::Null));
}

#[test]
fn what_is_evicted_and_too_much_at_once_is_a_reason_to_reload() {
    let plane = plane(Config::default().max_records(1));
    let mut client = stream(plane.http);
    send(&plane, "one");
    assert_eq!(change(&mut client).0, "new");
    send(&plane, "two");
    let mut kinds = [change(&mut client).0, change(&mut client).0];
    kinds.sort();
    assert_eq!(kinds, ["new", "prune"]);
}

#[test]
fn pings_are_answered_and_breaches_end_the_stream() {
    let plane = plane(Config::default());
    let mut client = stream(plane.http);
    client.send([masked(0x1, b"ignored"), masked(0x9, b"there?")].concat());
    assert_eq!(frame(&mut client), (0xA, b"there?".to_vec()));
    client.send(masked(0x8, &1000_u16.to_be_bytes()));
    assert_eq!(frame(&mut client), (0x8, 1000_u16.to_be_bytes().to_vec()));
    assert_eq!(client.rest(), "");
    for (octets, code) in [(b"\x89\x00".to_vec(), 1002_u16), (vec![0x81, 0xff], 1009)] {
        let mut client = stream(plane.http);
        client.send(octets);
        assert_eq!(frame(&mut client), (0x8, code.to_be_bytes().to_vec()));
        assert_eq!(client.rest(), "");
    }
}

/// A page of another site that a browser shows could read all mail.
#[test]
fn a_stream_is_opened_from_where_other_requests_may_come_and_there_are_so_many() {
    let plane = plane_with(Config::default(), &HttpSettings::at("0").auth("ann", "secret"));
    let open = |field: (&str, &str)| {
        let fields = [UPGRADE, &[field, ("Authorization", "Basic YW5uOnNlY3JldA==")]].concat();
        HttpClient::connect(plane.http).request("GET", "/api/events", &fields).status
    };
    assert_eq!(open(("Origin", "http://evil.example")), 403);
    assert_eq!(open(("Host", "evil.example")), 421);
    assert_eq!(open(("Origin", &format!("http://{}", plane.http))), 101);
    assert_eq!(HttpClient::connect(plane.http).request("GET", "/api/events", UPGRADE).status, 401);
    let plane = crate::support::http::plane(Config::default());
    assert_eq!(plane.get("/api/events").status, 426);
    let streams: Vec<_> = (0..64).map(|_| stream(plane.http)).collect();
    assert_eq!(HttpClient::connect(plane.http).request("GET", "/api/events", UPGRADE).status, 503);
    drop(streams);
}

/// Whoever deletes, by a request of any interface or a call of the library: everyone learns of it.
#[test]
fn a_message_is_deleted_for_all_whichever_way_it_is_deleted() {
    type Way = fn(&Plane, &str, &str);
    let ways: &[(&str, Way)] = &[
        ("one of /v1", |plane, id, _| _ = plane.delete(&format!("/v1/messages/{id}"))),
        ("a search of /v1", |plane, _, _| _ = plane.delete("/v1/messages?query=subject:gone")),
        ("taken by /v1", |plane, _, _| _ = plane.delete("/v1/messages?return=true")),
        ("Mailpit's ids", |plane, _, id| ask(plane, "DELETE", "/api/v1/messages", &json!({"IDs": [id]}))),
        ("Mailpit's search", |plane, _, _| {
            HttpClient::connect(plane.http).request("DELETE", "/api/v1/search?query=subject:gone", &[]);
        }),
        ("MailHog's", |plane, _, id| ask(plane, "DELETE", &format!("/api/v1/messages/{id}"), &Value::Null)),
        ("the library", |plane, _, _| _ = plane.server.take(|_| true)),
    ];
    let plane = plane(Config::default());
    let mut client = stream(plane.http);
    let mut listener = HttpClient::connect(plane.http);
    listener.begin("GET", "/v1/events?types=deleted", &[]);
    assert_eq!(listener.reply().expect("a head").status, 200);
    let deleted = || plane.json("/api/v1/info")["RuntimeStats"]["MessagesDeleted"].clone();
    for (number, (name, way)) in (1..).zip(ways) {
        send(&plane, "gone");
        let (kind, new) = change(&mut client);
        assert_eq!(kind, "new", "{name}");
        let own = plane.json("/v1/messages")["messages"][0]["id"].as_str().expect("an id").to_owned();
        way(&plane, &own, new["ID"].as_str().expect("an id"));
        assert_eq!(change(&mut client), ("delete".to_owned(), json!({"ID": new["ID"]})), "{name}");
        assert_eq!(listener.event().data, json!({"all": false, "ids": [own]}), "{name}");
        assert_eq!(deleted(), number, "{name}");
    }
    send(&plane, "last");
    assert_eq!(change(&mut client).0, "new");
    assert_eq!(plane.server.messages_and_purge().len(), 1);
    assert_eq!(change(&mut client), ("truncate".to_owned(), Value::Null));
    assert_eq!(listener.event().data, json!({"all": true, "ids": []}));
    assert_eq!(deleted(), ways.len() + 1);
}

/// Lists of clients are emptied by such an event: what is left, like refused mail in `/v1`, would be missing there.
#[test]
fn all_messages_are_deleted_only_if_none_is_left() {
    let rule = "message from=bad@* reply=\"554 5.7.1 no\"".parse().expect("a rule");
    let plane = plane(Config::default().rule(rule));
    let mut client = stream(plane.http);
    let mut listener = HttpClient::connect(plane.http);
    listener.begin("GET", "/v1/events?types=deleted", &[]);
    assert_eq!(listener.reply().expect("a head").status, 200);
    let mut refused = Client::greeted(plane.smtp());
    refused.ehlo();
    for line in ["MAIL FROM:<bad@example.com>", "RCPT TO:<bob@example.com>", "DATA"] {
        refused.command(line);
    }
    assert!(refused.command("Subject: refused\r\n\r\n.").starts_with("554"));
    send(&plane, "accepted");
    let new = change(&mut client).1["ID"].clone();
    let accepted = plane.json("/v1/messages")["messages"][0]["id"].clone();
    ask(&plane, "DELETE", "/api/v1/messages", &json!({}));
    assert_eq!(listener.event().data, json!({"all": false, "ids": [accepted]}));
    assert_eq!(change(&mut client), ("delete".to_owned(), json!({"ID": new})));
    assert_eq!(plane.delete("/v1/messages?accepted=any"), json!({"deleted": 1}));
    assert_eq!(listener.event().data, json!({"all": true, "ids": []}));
    assert_eq!(change(&mut client).0, "truncate");
}
