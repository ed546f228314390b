//! `/v1/events`: server-sent events.

use std::collections::HashSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use smtpmock::{Config, ControlPlane, HttpSettings};

use crate::support::client::Client;
use crate::support::http::{Event, HttpClient, Plane, plane};
use crate::support::waiting::eventually;

/// A client that listens.
fn listen(plane: &Plane, target: &str, fields: &[(&str, &str)]) -> HttpClient {
    let mut client = HttpClient::connect(plane.http);
    client.begin("GET", target, fields);
    let reply = client.reply().expect("a head");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
    client
}

fn deliver(plane: &Plane, subject: &str) {
    let mut client = Client::greeted(plane.smtp());
    client.deliver(&format!("Subject: {subject}\r\n\r\nhello\r\n"));
    client.quit();
}

/// The ids of messages, the oldest first.
fn ids(plane: &Plane) -> Vec<String> {
    let list = plane.json("/v1/messages");
    let messages = list["messages"].as_array().expect("a list").iter().rev();
    messages.map(|message| message["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn each_message_is_an_event_with_the_id_of_lists() {
    let plane = plane(Config::default());
    deliver(&plane, "before");
    let mut client = listen(&plane, "/v1/events?types=message", &[]);
    deliver(&plane, "one");
    deliver(&plane, "two");
    let events = [client.event(), client.event()];
    assert_eq!(events.each_ref().map(|event| event.id.clone().expect("an id"))[..], ids(&plane)[1..]);
    let Event { name, data, id } = &events[0];
    assert_eq!((name.as_str(), data["id"].as_str()), ("message", id.as_deref()));
    assert_eq!((&data["accepted"], &data["rcpt_to"][0]["accepted"]), (&json!(true), &json!(true)));
    assert!(data["size"].as_u64().is_some_and(|size| size > 0) && data["mail_from"].is_string(), "{data}");
}

#[test]
fn a_client_that_comes_back_is_sent_what_has_arrived_meanwhile() {
    let plane = plane(Config::default());
    for subject in ["one", "two", "three"] {
        deliver(&plane, subject);
    }
    let ids = ids(&plane);
    let mut by_header =
        listen(&plane, &format!("/v1/events?types=message&after={}", ids[2]), &[("Last-Event-ID", &ids[0])]);
    let mut by_parameter = listen(&plane, &format!("/v1/events?types=message&after={}", ids[1]), &[]);
    deliver(&plane, "four");
    let seen = |client: &mut HttpClient, count: usize| -> Vec<_> {
        (0..count).map(|_| client.event().data["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(seen(&mut by_header, 2), ids[1..3]);
    assert_eq!(seen(&mut by_parameter, 1), ids[2..3]);
    assert_eq!(seen(&mut by_header, 1), seen(&mut by_parameter, 1), "the new one, once");
    // What is no id of this server must not end the client's stream for good.
    let mut foreign = ["no id", "28t5cy4t-1-1"]
        .map(|id| listen(&plane, "/v1/events?types=message", &[("Last-Event-ID", id)]));
    deliver(&plane, "five");
    let five = seen(&mut by_header, 1);
    for client in &mut foreign {
        assert_eq!(seen(client, 1), five, "it resumes nowhere: all would be later");
    }
}

/// Another client is sent the same messages while it is away, or is coming back.
#[test]
fn a_client_that_comes_back_amid_mail_is_sent_each_message_once() {
    const MESSAGES: usize = 200;
    let plane = plane(Config::default());
    deliver(&plane, "first");
    let _other = listen(&plane, "/v1/events?types=message", &[]);
    let mut seen = ids(&plane);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::greeted(plane.smtp());
            (0..MESSAGES).for_each(|_| client.deliver("Subject: one of many\r\n\r\n"));
        });
        while seen.len() <= MESSAGES {
            let last = seen.last().expect("the first").clone();
            let mut client = listen(&plane, "/v1/events?types=message", &[("Last-Event-ID", &last)]);
            let next = (MESSAGES + 1 - seen.len()).min(3);
            seen.extend((0..next).map(|_| client.event().id.expect("an id")));
        }
    });
    let stored = plane.server.messages();
    assert_eq!(seen, stored.iter().map(|message| message.id().to_string()).collect::<Vec<_>>());
}

#[test]
fn figures_rules_and_evictions_are_events() {
    let rule = "rcpt id=late to=eve@* reply=\"450 later\"";
    let plane = plane(Config::default().max_records(1).rule(rule.parse().expect("a rule")));
    let mut client = listen(&plane, "/v1/events", &[]);
    // Readings begin when the first client has come.
    while client.event().name != "figures" {}
    deliver(&plane, "one");
    deliver(&plane, "two");
    let mut refused = Client::greeted(plane.smtp());
    for line in ["HELO client.example", "MAIL FROM:<ann@example.com>", "RCPT TO:<eve@example.com>"] {
        refused.command(line);
    }
    let (mut fired, mut evicted, mut figures, mut messages) = (0, 0, Value::Null, 0);
    while fired < 1 || evicted < 1 || figures["messages"] != 2 || messages < 2 {
        let Event { name, data, .. } = client.event();
        match name.as_str() {
            "message" => messages += 1,
            // The first may be evicted before it is looked at.
            "missed" => messages += data["count"].as_u64().expect("a count"),
            "rule" => {
                assert_eq!((&data["id"], &data["rule"]), (&json!("late"), &json!(rule)));
                fired += data["fired"].as_u64().expect("a count");
            }
            "evicted" => evicted = data["total"].as_u64().expect("a count"),
            "figures" => figures = data,
            "session" => {}
            other => panic!("{other}: {data}"),
        }
    }
    assert_eq!((fired, &figures["sessions"], &figures["sessions_open"]), (1, &json!(3), &json!(1)));
    assert!(figures["elapsed"].as_f64().is_some_and(|elapsed| elapsed > 0.0), "{figures}");
}

#[test]
fn sessions_are_events_when_they_begin_and_end() {
    let plane = plane(Config::default());
    let mut client = listen(&plane, "/v1/events?types=session", &[]);
    // Shards hear of it a little later than the client: sessions begin until one is announced.
    let (sender, events) = mpsc::channel();
    let reader = thread::spawn(move || while sender.send(client.event()).is_ok() {});
    let mut begun = Vec::new();
    let first = loop {
        begun.push(Client::greeted(plane.smtp()));
        if let Ok(event) = events.recv_timeout(Duration::from_millis(200)) {
            break event;
        }
    };
    let Event { name, data: opened, id } = first;
    assert_eq!((name.as_str(), id, &opened["change"]), ("session", None, &json!("opened")));
    assert_eq!((opened.get("ending"), &opened["listener"]), (None, &json!(plane.smtp().to_string())));
    let its_own = |client: &Client| opened["peer_addr"] == client.local_addr().to_string();
    let place = begun.iter().position(its_own).expect("a session that has begun");
    let mut quitting = begun.swap_remove(place);
    quitting.deliver("Subject: hi\r\n\r\nhello\r\n");
    quitting.quit();
    let closed =
        events.iter().map(|event| event.data).find(|data| data["change"] == "closed").expect("its end");
    assert_eq!((&closed["id"], &closed["peer_addr"]), (&opened["id"], &opened["peer_addr"]));
    assert_eq!((&closed["ending"], &closed["messages"]), (&json!("quit"), &json!(1)));
    assert!(closed["age_seconds"].as_f64().is_some_and(|age| age > 0.0), "{closed}");
    // The reader ends with the next event.
    drop(events);
    drop(Client::greeted(plane.smtp()));
    reader.join().expect("the reader");
}

/// Whatever is read together: shards hand sessions over in one place and file messages in another.
#[test]
fn a_session_opens_before_its_messages_and_closes_after_them_for_late_clients_too() {
    const SESSIONS: usize = 150;
    let plane = plane(Config::default());
    deliver(&plane, "first");
    let (resumed, all) = (format!("/v1/events?types=message,session&after={}", ids(&plane)[0]), "/v1/events");
    let check = |mut client: HttpClient| {
        let (mut opened, mut with_messages, mut closed) = (HashSet::new(), HashSet::new(), HashSet::new());
        loop {
            let Event { name, data, .. } = client.event();
            match (name.as_str(), data["change"].as_str()) {
                ("message", _) => {
                    let session = data["session"].as_u64().expect("a session");
                    assert!(!closed.contains(&session), "session {session} closed before its message");
                    with_messages.insert(session);
                    if data["mail_from"] == "end@example.com" {
                        return opened.intersection(&closed).count();
                    }
                }
                ("session", Some("opened")) => {
                    let session = data["id"].as_u64().expect("an id");
                    assert!(!with_messages.contains(&session), "session {session} opened after its message");
                    opened.insert(session);
                }
                ("session", _) => _ = closed.insert(data["id"].as_u64().expect("an id")),
                _ => {}
            }
        }
    };
    let early = listen(&plane, all, &[]);
    thread::scope(|scope| {
        let mut checks = vec![scope.spawn(move || check(early))];
        let senders: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| (0..SESSIONS).for_each(|_| deliver(&plane, "one of many"))))
            .collect();
        while senders.iter().any(|sender| !sender.is_finished()) {
            if checks.len() < 16 {
                let target = if checks.len() % 2 == 0 { all } else { &resumed };
                let late = listen(&plane, target, &[]);
                checks.push(scope.spawn(move || check(late)));
            }
            thread::yield_now();
        }
        let mut end = Client::greeted(plane.smtp());
        end.command("HELO client.example");
        end.command("MAIL FROM:<end@example.com>");
        end.command("RCPT TO:<bob@example.com>");
        end.data();
        end.send("x\r\n.\r\n");
        let whole: Vec<_> = checks.into_iter().map(|check| check.join().expect("in order")).collect();
        assert!(whole[0] > 0, "the first client has seen sessions from their begin to their end");
    });
}

#[test]
fn so_many_clients_listen_and_their_places_are_free_when_they_leave() {
    let plane = plane(Config::default());
    let mut clients: Vec<_> = (0..64).map(|_| listen(&plane, "/v1/events", &[])).collect();
    assert_eq!(plane.get("/v1/events").reason(503), "too_many");
    assert_eq!(plane.json("/livez")["status"], "alive");
    clients.truncate(63);
    eventually("a place is free", || {
        let mut client = HttpClient::connect(plane.http);
        client.begin("GET", "/v1/events", &[]);
        client.reply().is_ok_and(|reply| reply.status == 200)
    });
}

#[test]
fn a_client_that_reads_nothing_hears_how_much_it_missed() {
    let plane = plane(Config::default());
    // More than sockets and the queue take: each of these is an event of some KiB.
    let mut client = listen(&plane, "/v1/events?types=message", &[]);
    let mut sender = Client::greeted(plane.smtp());
    sender.command("HELO client.example");
    let mut sent = 0_u64;
    let recipient = format!("{}@{}.example", "x".repeat(60), "y".repeat(60));
    for _ in 0..300 {
        sender.command("MAIL FROM:<ann@example.com>");
        for _ in 0..100 {
            sender.command(&format!("RCPT TO:<{recipient}>"));
        }
        sender.command("DATA");
        assert!(sender.command("Subject: x\r\n\r\n.").starts_with("250"));
        sent += 1;
    }
    deliver(&plane, "last");
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < sent + 1 {
        let Event { name, data, .. } = client.event();
        match name.as_str() {
            "message" => seen += 1,
            "missed" => missed += data["count"].as_u64().expect("a count"),
            other => panic!("{other}: {data}"),
        }
    }
    assert_eq!(seen + missed, sent + 1);
    assert!(missed > 0, "{seen} were seen");
}

#[test]
fn events_end_with_the_control_plane() {
    let plane = plane(Config::default());
    let mut client = listen(&plane, "/v1/events", &[]);
    drop(plane);
    client.rest();
}

#[test]
fn what_is_no_kind_of_event_is_named() {
    let plane = plane(Config::default());
    for (target, at) in [
        ("/v1/events?types=mesage", "types"),
        ("/v1/events?types=", "types"),
        ("/v1/events?after=x", "after"),
        ("/v1/events?type=message", "type"),
    ] {
        let refused = plane.get(target).json_as(400);
        assert_eq!(refused["error"]["at"], at, "{refused}");
    }
}

/// Those that were evicted before they could be sent are counted.
#[test]
fn each_message_is_an_event_or_is_counted_as_missed() {
    const MESSAGES: u64 = 500;
    let plane = plane(Config::default().max_records(3));
    let mut listener = listen(&plane, "/v1/events?types=message", &[]);
    let mut client = Client::greeted(plane.smtp());
    for _ in 0..MESSAGES {
        client.deliver("Subject: one of many\r\n\r\n");
    }
    let mut counted = 0;
    while counted < MESSAGES {
        let Event { name, data, .. } = listener.event();
        counted += if name == "missed" { data["count"].as_u64().expect("a number") } else { 1 };
    }
    assert_eq!(counted, MESSAGES);
}

/// All of them could be more than what waits for a client.
#[test]
fn an_event_has_the_first_recipients_and_their_number() {
    let plane = plane(Config::default());
    let mut listener = listen(&plane, "/v1/events?types=message", &[]);
    let mut client = Client::greeted(plane.smtp());
    client.command("HELO client.example");
    client.command("MAIL FROM:<ann@example.com>");
    for number in 0..150 {
        client.command(&format!("RCPT TO:<user{number}@example.com>"));
    }
    client.data();
    client.send("x\r\n.\r\n");
    let data = listener.event().data;
    assert_eq!((data["rcpt_to"].as_array().map(Vec::len), &data["recipients"]), (Some(100), &json!(150)));
}

/// Say, one over TCP and one at a Unix socket.
#[test]
fn clients_of_each_control_plane_of_a_server_hear_of_sessions() {
    let plane = plane(Config::default());
    let other = ControlPlane::start(&plane.server, &HttpSettings::at("0")).expect("another control plane");
    let mut clients = [plane.http, other.local_addr()].map(HttpClient::connect);
    for client in &mut clients {
        client.begin("GET", "/v1/events?types=session", &[]);
        assert_eq!(client.reply().expect("a head").status, 200);
    }
    // Shards hear of clients a little later: sessions begin until each of them has been sent one.
    let (sender, heard) = mpsc::channel();
    let [first, second] = clients.map(|mut client| {
        let sender = sender.clone();
        thread::spawn(move || {
            client.event();
            sender.send(()).expect("the test");
            client
        })
    });
    let mut count = 0;
    while count < 2 {
        drop(Client::greeted(plane.smtp()));
        count += usize::from(heard.recv_timeout(Duration::from_millis(50)).is_ok());
    }
    let mut first = first.join().expect("the first client");
    // One that leaves, with its control plane, takes nothing from the others.
    drop((second.join().expect("the second client"), other));
    let begun = Client::greeted(plane.smtp());
    while first.event().data["peer_addr"] != begun.local_addr().to_string() {}
}
