//! Open sessions and their end.

use serde_json::Value;
use smtpmock::Config;
use smtpmock::smtp::ReplyKind;

use crate::support::client::Client;
use crate::support::http::{HttpClient, plane};
use crate::support::waiting::{eventually, until};

#[test]
fn open_sessions_are_listed_with_what_they_wait_for() {
    let plane = plane(Config::default().rule("noop delay=1h".parse().expect("a rule")));
    let mut idle = Client::greeted(plane.smtp());
    idle.last_line("EHLO idle.example");
    let mut sending = Client::greeted(plane.smtp());
    sending.command("HELO sending.example");
    sending.command("MAIL FROM:<ann@example.com>");
    sending.command("RCPT TO:<bob@example.com>");
    sending.command("DATA");
    let mut waiting = Client::greeted(plane.smtp());
    waiting.send("NOOP\r\n");
    let list = until(|| {
        let list = plane.json("/v1/sessions");
        match list["sessions"][2]["state"] == "delay" {
            true => Ok(list),
            false => Err(list),
        }
    });
    let shown: Vec<_> = list["sessions"].as_array().expect("a list").iter().collect();
    let of = |name: &str| shown.iter().map(|session| session[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("state"), ["command", "message", "delay"]);
    assert_eq!(of("stage"), ["helo", "message", "connect"]);
    assert!(of("transport").iter().all(|transport| transport == "plain"), "{list}");
    assert_eq!(of("helo"), [Value::from("idle.example"), Value::from("sending.example"), Value::Null]);
    assert_eq!(of("octets_received")[2], 6);
    assert!(
        of("peer_addr").iter().all(|peer| peer.as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")))
    );
    assert_eq!((&list["total"], &list["next"]), (&Value::from(3), &Value::Null));
    // In pages.
    let first = plane.json("/v1/sessions?limit=2");
    let cursor = first["next"].as_str().expect("another page");
    let second = plane.json(&format!("/v1/sessions?limit=2&cursor={cursor}"));
    assert_eq!(second["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["sessions"][0]["id"], shown[2]["id"]);
}

/// A listener at all addresses is the same in each session, whatever address its client has connected to, and in each event.
#[test]
fn a_session_names_its_listener_and_what_it_runs_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("smtp.sock");
    let unix = format!("unix:{}", path.display());
    let config = Config::default().listen("smtp://0.0.0.0").listen(format!("smtp+unix://{}", path.display()));
    let plane = plane(config);
    let bound = plane.server.local_addr();
    assert!(bound.ip().is_unspecified(), "{bound}");
    let mut events = HttpClient::connect(plane.http);
    events.begin("GET", "/v1/events?types=session", &[]);
    assert_eq!(events.reply().expect("a head").status, 200);
    // Shards announce sessions as soon as they know that somebody listens.
    eventually("an event", || {
        drop(Client::greeted(([127, 0, 0, 1], bound.port()).into()));
        !events.peeked().is_empty()
    });
    let mut client = Client::greeted(([127, 0, 0, 1], bound.port()).into());
    client.deliver("Subject: asks for the address\r\n\r\n");
    let mut local = Client::greeted_at(&path);
    local.command("HELO local.example");
    let list = plane.json("/v1/sessions");
    let sessions = list["sessions"].as_array().expect("a list");
    let shown: Vec<_> = sessions
        .iter()
        .map(|one| (one["listener"].as_str().expect("a text"), one["transport"].as_str().expect("a text")))
        .collect();
    assert_eq!(shown, [(&*bound.to_string(), "plain"), (&*unix, "unix")]);
    client.quit();
    let id = &sessions[0]["id"];
    let mut changes = Vec::new();
    while changes.len() < 2 {
        let event = events.event().data;
        if event["id"] == *id {
            assert_eq!(event["listener"], bound.to_string(), "{event}");
            changes.push(event["change"].clone());
        }
    }
    assert_eq!(changes, ["opened", "closed"]);
}

/// A greeting that takes minutes.
#[test]
fn octets_that_wait_have_not_been_sent() {
    let greeting = format!("220 {}", "x".repeat(400));
    let config = Config::default().reply(ReplyKind::Greeting, &greeting);
    let plane = plane(config.drip("1B/s".parse().expect("a rate")));
    let _client = Client::connect(plane.smtp());
    let shown = || plane.json("/v1/sessions")["sessions"][0]["octets_sent"].as_u64();
    eventually("a session", || shown().is_some());
    assert!(shown().is_some_and(|sent| sent < greeting.len() as u64), "{:?}", shown());
    let plane = crate::support::http::plane(Config::default());
    let _client = Client::greeted(plane.smtp());
    assert_eq!(plane.json("/v1/sessions")["sessions"][0]["octets_sent"], "220 Welcome\r\n".len());
}

#[test]
fn a_session_is_ended_with_421_or_a_reset_and_is_not_to_blame() {
    let plane = plane(Config::default());
    let mut clients: Vec<_> = (0..3).map(|_| Client::greeted(plane.smtp())).collect();
    clients[1].last_line("EHLO a.example");
    clients[1].command("MAIL FROM:<ann@example.com>");
    let ids: Vec<u64> = plane.json("/v1/sessions")["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|session| session["id"].as_u64())
        .collect();
    assert_eq!(plane.delete(&format!("/v1/sessions/{}", ids[0]))["ended"], 1);
    assert!(clients[0].rest().starts_with("421 "));
    assert_eq!(plane.delete(&format!("/v1/sessions/{}?how=reset", ids[1]))["ended"], 1);
    assert_eq!(plane.delete("/v1/sessions?how=421")["ended"], 1);
    assert!(clients[2].rest().starts_with("421 "));
    eventually("no session is open", || plane.json("/v1/sessions")["total"] == 0);
    let ask = |target: &str| HttpClient::connect(plane.http).request("DELETE", target, &[]);
    assert_eq!(ask("/v1/sessions/1").reason(404), "no_such_session");
    assert_eq!(ask("/v1/sessions/x").reason(404), "no_such_session");
    assert_eq!(ask("/v1/sessions?how=kill").reason(400), "invalid");
    let sessions = plane.server.stats().sessions;
    assert_eq!((sessions.stopped, sessions.gave_up), (3, 0), "{sessions:?}");
}

/// Each shard ends some of them at a time. A message that is being received is not accepted, and its client not to blame.
#[test]
fn many_sessions_are_ended_with_their_messages_and_new_ones_are_served() {
    let plane = plane(Config::default().shards(2));
    let mut clients: Vec<_> = (0..150).map(|_| Client::greeted(plane.smtp())).collect();
    clients[7].command("HELO client.example");
    clients[7].envelope("a@a.example", "b@b.example");
    clients[7].data();
    clients[7].send("Subject: half\r\n\r\nof a");
    let ids: Vec<_> = plane.server.sessions().iter().map(|session| session.id).collect();
    assert_eq!(ids, (1..=150).collect::<Vec<_>>());
    assert_eq!(plane.delete("/v1/sessions")["ended"], 150);
    for client in &mut clients {
        assert_eq!(client.rest(), "421 Service closing transmission channel\r\n");
    }
    drop(clients);
    eventually("no session is open", || plane.server.sessions().is_empty());
    let stats = plane.server.stats();
    assert_eq!((stats.sessions.stopped, stats.sessions.left, stats.messages.accepted), (150, 0, 0));
    assert_eq!(stats.messages.broken_off, 0);
    Client::greeted(plane.smtp()).deliver("Subject: next\r\n\r\n");
}

#[test]
fn every_session_is_on_one_page() {
    let plane = plane(Config::default().shards(2));
    let _clients: Vec<_> = (0..25).map(|_| Client::greeted(plane.smtp())).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = plane.json(&format!("/v1/sessions?limit=4{cursor}"));
        let sessions = page["sessions"].as_array().expect("a list");
        seen.extend(sessions.iter().filter_map(|session| session["id"].as_u64()));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(sessions.len(), 4);
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
}
