//! `/v1/rules`: reading and changing rules while the server runs.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use smtpmock::{Config, ControlPlane, HttpSettings, Milestone};

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, Reply, plane};
use crate::support::waiting::eventually;

fn ask(plane: &Plane, method: &str, target: &str, body: &Value) -> Reply {
    HttpClient::connect(plane.http).request_with(method, target, &body.to_string())
}

fn texts(list: &Value) -> Vec<&str> {
    let rules = list["rules"].as_array().expect("a list").iter();
    rules.map(|rule| rule["rule"].as_str().expect("a text")).collect()
}

/// The reply to RCPT in a session of its own.
fn rcpt(plane: &Plane, to: &str) -> String {
    let mut client = Client::greeted(plane.smtp());
    client.command("HELO client.example");
    client.command("MAIL FROM:<ann@example.com>");
    let reply = client.command(&format!("RCPT TO:<{to}>"));
    client.quit();
    reply
}

#[test]
fn rules_are_replaced_while_the_server_runs_and_counted() {
    let plane = plane(Config::default());
    assert_eq!(plane.json("/v1/rules"), json!({ "rules": [] }));
    let rules = json!({ "rules": [
        r#"rcpt to=full@* reply="452 4.2.2 full""#,
        { "rule": r#"rcpt to=gone@* reply="550 5.1.1 gone""#, "id": "gone" },
    ] });
    let replaced = ask(&plane, "PUT", "/v1/rules", &rules).json_as(200);
    assert_eq!(
        texts(&replaced),
        [r#"rcpt to=full@* reply="452 4.2.2 full""#, r#"rcpt id=gone to=gone@* reply="550 5.1.1 gone""#]
    );
    assert_eq!(rcpt(&plane, "full@example.com"), "452 4.2.2 full");
    assert_eq!(rcpt(&plane, "gone@example.com"), "550 5.1.1 gone");
    let gone = plane.json("/v1/rules/gone");
    assert_eq!((&gone["reached"], &gone["fired"], &gone["id"]), (&json!(1), &json!(1), &json!("gone")));

    // Counts go on where a rule stays.
    let rules = json!({ "rules": [{ "rule": r#"rcpt to=gone@* reply="551 moved""#, "id": "gone" }] });
    ask(&plane, "PUT", "/v1/rules", &rules).json_as(200);
    assert_eq!(rcpt(&plane, "full@example.com"), "250 Received");
    assert_eq!(rcpt(&plane, "gone@example.com"), "551 moved");
    assert_eq!(plane.json("/v1/rules/gone")["fired"], 2);
}

#[test]
fn a_rule_is_added_changed_and_removed_by_its_id() {
    let plane = plane(Config::default().rule(r#"rcpt reply="450 slow""#.parse().expect("a rule")));
    let added = ask(&plane, "POST", "/v1/rules", &json!("rcpt id=last reply=\"450 last\""));
    assert_eq!(added.json_as(201)["id"], "last");
    let first = json!({ "rule": "rcpt to=bob@* accept", "id": "first" });
    let added = ask(&plane, "POST", "/v1/rules?first=true", &first).json_as(201);
    assert_eq!(added["rule"], "rcpt id=first to=bob@* accept");
    let rules = plane.json("/v1/rules");
    assert_eq!(
        texts(&rules),
        ["rcpt id=first to=bob@* accept", "rcpt reply=\"450 slow\"", "rcpt id=last reply=\"450 last\""]
    );
    assert_eq!(rcpt(&plane, "bob@example.com"), "250 Received");
    assert_eq!(rcpt(&plane, "eve@example.com"), "450 slow");

    let changed =
        ask(&plane, "PUT", "/v1/rules/first", &json!("rcpt to=eve@* reply=\"550 eve\"")).json_as(200);
    assert_eq!(changed["rule"], "rcpt id=first to=eve@* reply=\"550 eve\"");
    assert_eq!(rcpt(&plane, "eve@example.com"), "550 eve");
    let removed = plane.delete("/v1/rules/first");
    assert_eq!(removed["fired"], 2);
    assert_eq!(rcpt(&plane, "eve@example.com"), "450 slow");
    assert_eq!(plane.get("/v1/rules/first").reason(404), "no_such_rule");
}

/// All fields of a patch are optional; a rule without its text is none.
#[test]
fn a_body_that_is_no_rule_is_answered_with_the_fields_of_that_request() {
    let plane = plane(Config::default().rule("rcpt id=own accept".parse().expect("a rule")));
    for (method, target, fields) in [
        ("POST", "/v1/rules", "or {\"rule\": RULE,"),
        ("PUT", "/v1/rules/own", "or {\"rule\": RULE,"),
        ("PATCH", "/v1/rules/own", "or any of {\"rule\": RULE,"),
    ] {
        let refused = ask(&plane, method, target, &json!(7)).json_as(400);
        let hint = refused["error"]["hint"].as_str().expect("a hint");
        assert!(hint.contains(fields), "{method} {target}: {hint}");
    }
}

/// PATCH changes what is given, PUT replaces the rule.
#[test]
fn a_patch_of_a_rule_keeps_what_it_does_not_name() {
    let plane = plane(Config::default());
    let rule = json!({ "rule": "rcpt reply=\"450 later\"", "id": "own", "ttl": "1h" });
    ask(&plane, "POST", "/v1/rules", &rule).json_as(201);
    let (eve, forever) = ("rcpt id=own to=eve@* reply=\"450 later\"", "rcpt id=own reply=\"450 later\"");
    for (method, body, text, least) in [
        ("PATCH", json!({}), forever, Some(3000)),
        ("PATCH", json!({ "rule": eve }), eve, Some(3000)),
        ("PATCH", json!({ "ttl": "5h" }), eve, Some(17_000)),
        ("PATCH", json!("rcpt reply=\"450 later\""), forever, Some(17_000)),
        ("PATCH", json!({ "id": "own", "ttl": null }), forever, None),
        ("PATCH", json!({ "rule": eve }), eve, None),
        ("PATCH", json!({ "rule": forever, "ttl": 7200 }), forever, Some(7000)),
        ("PUT", json!({ "rule": eve }), eve, None),
        ("PUT", json!({ "rule": eve, "ttl": "1h" }), eve, Some(3000)),
        ("PUT", json!({ "rule": eve, "ttl": null }), eve, None),
    ] {
        let changed = ask(&plane, method, "/v1/rules/own", &body).json_as(200);
        assert_eq!(plane.json("/v1/rules/own")["rule"], text, "{method} {body}");
        assert_eq!(changed["rule"], text, "{method} {body}");
        let left = changed["expires_in"].as_str().and_then(smtpmock::smtp::rules::parse_duration);
        let is_expected = match (left, least) {
            (Some(left), Some(least)) => (least..=least + 1000).contains(&left.as_secs()),
            (left, least) => left.is_none() && least.is_none(),
        };
        assert!(is_expected, "{method} {body}: {changed}");
    }
    assert_eq!(rcpt(&plane, "eve@example.com"), "450 later");
    ask(&plane, "PATCH", "/v1/rules/own", &json!({ "ttl": "50ms" })).json_as(200);
    await_rules(&plane, 0);
    assert_eq!(rcpt(&plane, "eve@example.com"), "250 Received");
}

#[test]
fn what_is_no_rule_changes_nothing_and_is_named() {
    let plane = plane(Config::default().rule("rcpt id=own reply=\"450 slow\"".parse().expect("a rule")));
    for (method, target, body, status, at) in [
        ("PUT", "/v1/rules", json!({ "rules": ["rcpt delay=1s", "rcpt replay=x"] }), 400, "rules[1]"),
        ("PUT", "/v1/rules", json!({ "rules": ["rcpt id=a accept", "mail id=a accept"] }), 400, "rules[1]"),
        (
            "PUT",
            "/v1/rules",
            json!({ "rules": ["noop accept", "rcpt id=a accept", "rcpt id=a accept"] }),
            400,
            "rules[2]",
        ),
        (
            "PUT",
            "/v1/rules",
            json!({ "rules": [{ "rule": "rcpt accept", "id": "a b" }] }),
            400,
            "rules[0].id",
        ),
        ("POST", "/v1/rules", json!({ "rule": "rcpt accept", "id": "x".repeat(900_000) }), 400, "id"),
        ("POST", "/v1/rules", json!(format!("rcpt id={} accept", "x".repeat(900_000))), 400, "rule"),
        ("POST", "/v1/rules?first=true", json!("rcpt id=own accept"), 400, "rule"),
        ("PUT", "/v1/rules", json!({ "rule": [] }), 400, "rule"),
        (
            "PUT",
            "/v1/rules",
            json!({ "rules": [{ "rule": "rcpt accept", "tll": "1s" }] }),
            400,
            "rules[0].tll",
        ),
        ("PUT", "/v1/rules", json!([]), 400, "body"),
        ("POST", "/v1/rules", json!("rcpt drop=2"), 400, "rule"),
        ("POST", "/v1/rules", json!({ "rule": "rcpt id=b accept", "id": "c" }), 400, "id"),
        (
            "PUT",
            "/v1/rules",
            json!({ "rules": ["rcpt accept", { "rule": "noop accept", "ttl": "soon" }] }),
            400,
            "rules[1].ttl",
        ),
        ("POST", "/v1/rules", json!({ "rule": "rcpt accept", "ttl": "0s" }), 400, "ttl"),
        ("PATCH", "/v1/rules/own", json!({ "rule": "rcpt accept", "ttl": "2000h1" }), 400, "ttl"),
        ("POST", "/v1/rules?frist=true", json!("rcpt accept"), 400, "frist"),
        ("PATCH", "/v1/rules/own", json!({ "ttl": "soon" }), 400, "ttl"),
        ("PATCH", "/v1/rules/own", json!({ "ttl": 0 }), 400, "ttl"),
        ("PATCH", "/v1/rules/own", json!({ "rule": null }), 400, "rule"),
        ("PATCH", "/v1/rules/own", json!({ "id": null }), 400, "id"),
        ("PATCH", "/v1/rules/own", json!({ "id": "other" }), 400, "id"),
        ("PATCH", "/v1/rules/own", json!({ "reply": "450 later" }), 400, "reply"),
        ("PATCH", "/v1/rules/own", json!("rcpt id=other accept"), 400, "rule"),
        ("PATCH", "/v1/rules/none", json!("rcpt accept"), 404, "none"),
        ("PATCH", "/v1/rules/none", json!({}), 404, "none"),
        ("PUT", "/v1/rules/own", json!({ "ttl": "1s" }), 400, "rule"),
        ("PUT", "/v1/rules/own", json!("rcpt id=other accept"), 400, "rule"),
        ("PUT", "/v1/rules/none", json!("rcpt accept"), 404, "none"),
        ("DELETE", "/v1/rules/own", json!({}), 400, "body"),
        ("PUT", "/v1/rules", json!("x".repeat(1 << 20)), 413, "body"),
    ] {
        let refused = ask(&plane, method, target, &body);
        // What was sent is not sent back whole.
        assert!(refused.body.len() < 10_000, "{method} {target}: {}", refused.body.len());
        let refused = refused.json_as(status);
        assert_eq!(refused["error"]["at"], at, "{method} {target}: {refused}");
        assert!(refused["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{refused}");
    }
    assert_eq!(texts(&plane.json("/v1/rules")), ["rcpt id=own reply=\"450 slow\""]);
    plane.server.stop();
    let stopped = ask(&plane, "PUT", "/v1/rules", &json!({ "rules": [] }));
    assert_eq!(stopped.reason(503), "not_serving");
}

/// A hook holds the only shard, which would confirm nothing.
#[test]
fn a_change_that_is_refused_asks_no_shard() {
    let (reached, is_held) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let (reached, held) = (Mutex::new(reached), Mutex::new(held));
    let hold = move || {
        reached.lock().expect("it").send(()).expect("a listener");
        let _ = held.lock().expect("it").recv();
    };
    let plane = plane(Config::default().shards(1).on_reaching(Milestone::Messages(1), hold));
    let mut client = Client::with_envelope(plane.smtp());
    client.data();
    client.send("x\r\n.\r\n");
    is_held.recv().expect("it is reached");
    for (method, target, body, status) in [
        ("PATCH", "/v1/rules/none", json!("rcpt accept"), 404),
        ("PUT", "/v1/rules", json!({ "rules": ["rcpt id=a accept", "mail id=a accept"] }), 400),
        ("PATCH", "/v1/settings", json!({ "session_timeout": "soon" }), 400),
        ("PUT", "/api/v2/jim", json!({}), 404),
    ] {
        let refused = ask(&plane, method, target, &body);
        assert_eq!(refused.status, status, "{method} {target}: {}", refused.text());
    }
    let refused = HttpClient::connect(plane.http).request("DELETE", "/v1/rules/none", &[]);
    assert_eq!(refused.reason(404), "no_such_rule");
    assert_eq!(HttpClient::connect(plane.http).request("DELETE", "/api/v2/jim", &[]).status, 404);
    drop(go_on);
    ask(&plane, "PUT", "/v1/rules", &json!({ "rules": ["rcpt accept"] })).json_as(200);
}

/// Waits until the list has this many rules.
fn await_rules(plane: &Plane, count: usize) {
    eventually("rules expire", || texts(&plane.json("/v1/rules")).len() == count);
}

#[test]
fn a_rule_with_a_ttl_expires_by_itself_and_others_stay() {
    let plane = plane(Config::default());
    let rules = json!({ "rules": [
        { "rule": "rcpt to=a@* reply=\"450 short\"", "id": "short", "ttl": "50ms" },
        { "rule": "rcpt to=b@* reply=\"450 long\"", "ttl": "1h" },
        { "rule": "rcpt to=c@* reply=\"450 nameless\"", "ttl": "50ms" },
        "rcpt to=d@* reply=\"450 forever\"",
    ] });
    ask(&plane, "PUT", "/v1/rules", &rules).json_as(200);
    await_rules(&plane, 2);
    assert_eq!(rcpt(&plane, "a@example.com"), "250 Received");
    assert_eq!(rcpt(&plane, "b@example.com"), "450 long");
    assert_eq!(rcpt(&plane, "c@example.com"), "250 Received");
    assert_eq!(rcpt(&plane, "d@example.com"), "450 forever");
    let list = plane.json("/v1/rules");
    let left = list["rules"][0]["expires_in"].as_str().expect("what is left");
    let left = smtpmock::smtp::rules::parse_duration(left).expect("as on the command line");
    assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3000), "{left:?}");
    assert_eq!(list["rules"][1]["expires_in"], Value::Null);

    // One that expires sooner than the one that is waited for.
    let next = json!({ "rule": "rcpt accept", "id": "next", "ttl": "20ms" });
    ask(&plane, "POST", "/v1/rules", &next).json_as(201);
    await_rules(&plane, 2);
}

/// What other requests, or the program itself, have put in the place of a rule is not removed at its end.
#[test]
fn a_rule_in_the_place_of_one_that_was_to_expire_stays() {
    let plane = plane(Config::default());
    let add = |id: &str, ttl: &str| {
        let rule = json!({ "rule": "rcpt reply=\"450 later\"", "id": id, "ttl": ttl });
        ask(&plane, "POST", "/v1/rules", &rule).json_as(201);
    };
    ["changed", "longer", "added", "own"].iter().for_each(|id| add(id, "2s"));
    let rule = json!("rcpt reply=\"450 later\"");
    ask(&plane, "PUT", "/v1/rules/changed", &rule).json_as(200);
    let longer = json!({ "rule": "rcpt reply=\"450 later\"", "ttl": "1h" });
    ask(&plane, "PUT", "/v1/rules/longer", &longer).json_as(200);
    plane.delete("/v1/rules/added");
    ask(&plane, "POST", "/v1/rules", &json!("rcpt id=added reply=\"450 later\"")).json_as(201);
    let own = "rcpt id=own reply=\"450 later\"";
    plane
        .server
        .reconfigure(|settings| {
            let others: Vec<_> =
                settings.policy().rules().filter(|rule| rule.to_string() != own).cloned().collect();
            assert_eq!(others.len(), 3);
            settings.rules(others).rule(own.parse().expect("a rule"))
        })
        .expect("valid");
    // It expires behind them.
    add("last", "2s");
    await_rules(&plane, 4);
    let list = plane.json("/v1/rules");
    let left: Vec<_> = list["rules"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|rule| (rule["id"].as_str(), rule["expires_in"].is_null()))
        .collect();
    assert_eq!(
        left,
        [(Some("changed"), true), (Some("longer"), false), (Some("added"), true), (Some("own"), true)]
    );
}

/// A client that has given up, by a timeout of its own, does not leave its rule behind for ever.
#[test]
fn a_rule_expires_whether_or_not_its_client_waits_for_the_answer() {
    let plane = plane(Config::default());
    for round in 0..30 {
        let body = json!({ "rule": "rcpt accept", "id": format!("r{round}"), "ttl": "50ms" }).to_string();
        let mut client = HttpClient::connect(plane.http);
        client.begin("POST", "/v1/rules", &[("Content-Length", &body.len().to_string())]);
        client.send(body);
        drop(client);
        // Later requests must not end the wait of the earlier one.
        if round % 10 == 9 {
            await_rules(&plane, 0);
        }
    }
}

#[test]
fn each_control_plane_of_a_server_removes_the_rules_that_expire() {
    let plane = plane(Config::default());
    let other = ControlPlane::start(&plane.server, &HttpSettings::at("0")).expect("another control plane");
    let address = other.local_addr();
    let rule = json!({ "rule": "rcpt accept", "ttl": "200ms" }).to_string();
    HttpClient::connect(address).request_with("POST", "/v1/rules", &rule).json_as(201);
    drop(other);
    await_rules(&plane, 0);
}
