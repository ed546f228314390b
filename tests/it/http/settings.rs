//! `/v1/settings`: what can change while the server runs.

use serde_json::{Value, json};
use smtpmock::Config;

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, Reply, plane};
use crate::support::program::run;

fn patch(plane: &Plane, body: &Value) -> Reply {
    HttpClient::connect(plane.http).request_with("PATCH", "/v1/settings", &body.to_string())
}

#[test]
fn settings_are_changed_while_the_server_runs() {
    let plane = plane(Config::default().shards(2));
    let mut open = Client::greeted(plane.smtp());
    open.command("HELO client.example");
    let changes = json!({
        "msg_mailfrom_received": "250 changed",
        "blacklisted_rcptto_emails": ["full@example.com"],
        "response_delay_rcptto": "1ms..2ms",
        "session_timeout": "90s",
        "max_rcpts": 7,
        "esmtp": true,
        "extensions": ["-DSN"],
        "rule": ["noop reply=\"250 ruled\""],
    });
    let changed = patch(&plane, &changes).json_as(200);
    for (name, value) in changes.as_object().expect("an object") {
        assert_eq!(&changed[name], value, "{name}");
    }
    assert_eq!(plane.json("/v1/settings"), changed);
    // The reply to the change came when every shard served by it, for sessions that were open too.
    assert_eq!(open.command("MAIL FROM:<ann@example.com>"), "250 changed");
    assert!(open.command("RCPT TO:<full@example.com>").starts_with("421 "));
    let mut later = Client::greeted(plane.smtp());
    assert_eq!(later.command("NOOP"), "250 ruled");

    // What is not named stays; null is the default.
    let reset =
        patch(&plane, &json!({ "msg_mailfrom_received": null, "esmtp": null, "rule": null })).json_as(200);
    assert_eq!((&reset["msg_mailfrom_received"], &reset["esmtp"]), (&json!("250 Received"), &json!(false)));
    assert_eq!((&reset["rule"], &reset["max_rcpts"]), (&json!([]), &json!(7)));
}

#[test]
fn what_is_shown_can_be_sent_back() {
    let plane = plane(Config::default());
    let shown = plane.json("/v1/settings");
    assert_eq!(patch(&plane, &shown).json_as(200), shown);
    let esmtp =
        json!({ "esmtp": true, "auth": ["ann:secret", "any"], "auth_token": ["t0ken"], "trust": ["unix"] });
    let changed = patch(&plane, &esmtp).json_as(200);
    assert_eq!(patch(&plane, &changed).json_as(200), changed);
}

#[test]
fn all_is_changed_or_nothing_and_the_error_has_the_place() {
    let plane = plane(Config::default());
    let before = plane.json("/v1/settings");
    for (name, value, status, reason, hint) in [
        ("session_timeuot", json!("1s"), 400, "no_such_setting", "did you mean session_timeout?"),
        ("session_timeout", json!("soon"), 400, "invalid", "250ms"),
        ("session_timeout", json!(1.5), 400, "invalid", "250ms"),
        ("session_timeout", json!(true), 400, "invalid", "250ms"),
        ("esmtp", json!(false), 400, "invalid", "true: extensions turns it on"),
        ("shards", json!(2), 409, "fixed", "restart the server with --shards"),
        ("shutdown_timeout", json!("2s"), 409, "fixed", "--shutdown-timeout"),
        ("data_timeout", json!("-1s"), 400, "invalid", "250ms"),
        ("fail_fast", json!("true"), 400, "invalid", "true or false"),
        ("over_limit", json!("drop"), 400, "invalid", "refuse or backlog"),
        ("trust", json!(["10.0.0.0/8", "localhost"]), 400, "invalid", "[1]"),
        ("max_sessions", json!(-1), 400, "invalid", "at least 0"),
        ("max_rcpts", json!(20_000), 400, "invalid", "10000"),
        ("rate_limit", json!("fast"), 400, "invalid", "expected"),
        ("response_delay_helo", json!("exp("), 400, "invalid", "expected"),
        ("msg_greeting", json!("220-hello\n250 there"), 400, "invalid", "code"),
        ("rule", json!(["rcpt accept", "rcpt replay=x"]), 400, "invalid", "[1]"),
        ("tls_required", json!(true), 400, "invalid", "TLS for it"),
        ("auth", json!(["ann:<redacted>"]), 400, "invalid", "a password"),
        ("auth_required", json!(true), 400, "invalid", "somebody who can authenticate"),
        ("blacklisted_helo_domains", json!("a.example"), 400, "invalid", "an array"),
    ] {
        let mut changes = json!({ name: value, "msg_quit_cmd": "221 changed" });
        if name == "esmtp" {
            changes["extensions"] = json!(["-DSN"]);
        }
        let refused = patch(&plane, &changes).json_as(status);
        let error = &refused["error"];
        assert_eq!((&error["reason"], &error["at"]), (&json!(reason), &json!(name)), "{refused}");
        assert!(error["hint"].as_str().is_some_and(|text| text.contains(hint)), "{name}: {refused}");
    }
    for body in [json!([]), json!("fail_fast"), json!(null)] {
        assert_eq!(patch(&plane, &body).json_as(400)["error"]["at"], "body");
    }
    assert_eq!(plane.json("/v1/settings"), before);
    plane.server.stop();
    assert_eq!(patch(&plane, &json!({ "fail_fast": true })).reason(503), "not_serving");
}

/// Zero meant no time, and no octet, here and the default on the command line.
#[test]
fn zero_and_numbers_mean_what_they_mean_on_the_command_line() {
    let plane = plane(Config::default());
    let before = plane.json("/v1/settings");
    let other = json!({
        "session_timeout": 5, "data_timeout": "7", "msg_size_limit": "64KiB", "max_sessions": "100",
        "max_sessions_per_ip": 3, "max_messages_per_session": 3, "max_rcpts": 3, "response_delay_helo": 2,
    });
    let shown = patch(&plane, &other).json_as(200);
    for (name, value) in [
        ("session_timeout", json!("5s")),
        ("data_timeout", json!("7s")),
        ("msg_size_limit", json!(65_536)),
        ("max_sessions", json!(100)),
        ("response_delay_helo", json!("2s")),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    for zero in [json!(0), json!("0"), json!(null)] {
        patch(&plane, &other).json_as(200);
        let zeros: Value =
            other.as_object().expect("an object").keys().map(|name| (name.clone(), zero.clone())).collect();
        assert_eq!(patch(&plane, &zeros).json_as(200), before, "{zero}");
    }
    let units = json!({ "session_timeout": "0ms", "data_timeout": "0s", "msg_size_limit": "0KiB" });
    assert_eq!(patch(&plane, &units).json_as(200), before);
    // Not the default, but no time at all.
    assert_eq!(patch(&plane, &json!({ "session_timeout": -1 })).json_as(200)["session_timeout"], "-1s");
}

#[test]
fn secrets_are_not_shown_and_stay_where_they_are_not_replaced() {
    let plane = plane(Config::default());
    let users = json!({ "auth": ["ann:hunter2", "bob:s3cret"], "auth_token": ["t0ken"] });
    let shown = patch(&plane, &users);
    let read = plane.get("/v1/settings");
    for reply in [&shown, &read] {
        let text = reply.text();
        assert!(!["hunter2", "s3cret", "t0ken"].iter().any(|secret| text.contains(secret)), "{text}");
    }
    assert_eq!(shown.json_as(200)["auth"], json!(["ann:<redacted>", "bob:<redacted>"]));
    let fewer = json!({ "auth": ["ann:<redacted>", "eve:other"] });
    assert_eq!(patch(&plane, &fewer).json_as(200)["auth_token"], json!(["<redacted>"]));
    let login = |response: &str| {
        let mut client = Client::extended(plane.smtp());
        let reply = client.command(&format!("AUTH PLAIN {response}"));
        client.leave();
        reply[..3].to_owned()
    };
    assert_eq!(login("AGFubgBodW50ZXIy"), "235", "ann");
    assert_eq!(login("AGJvYgBzM2NyZXQ="), "535", "bob");
    assert_eq!(login("AGV2ZQBvdGhlcg=="), "235", "eve");
    // An error shows none either.
    let twice = patch(&plane, &json!({ "auth": ["ann:hunter2", "ann:hunter3"] }));
    assert!(twice.status == 400 && !twice.text().contains("hunter"), "{}", twice.text());
    let wrong = patch(&plane, &json!({ "auth": ["hunter4"] }));
    assert!(wrong.status == 400 && !wrong.text().contains("hunter"), "{}", wrong.text());
}

/// A ttl runs on where the text of a rule stays.
#[test]
fn rules_among_the_settings_are_those_of_their_own_path() {
    let plane = plane(Config::default());
    let rule = json!({ "rule": "rcpt reply=\"450 later\"", "id": "later", "ttl": "1h" });
    HttpClient::connect(plane.http).request_with("POST", "/v1/rules", &rule.to_string()).json_as(201);
    let shown = plane.json("/v1/settings");
    assert_eq!(shown["rule"], json!(["rcpt id=later reply=\"450 later\""]));
    patch(&plane, &shown).json_as(200);
    assert!(plane.json("/v1/rules/later")["expires_in"].is_string());
}

/// Each flag is a setting here, or one that needs a restart.
#[test]
fn every_flag_of_the_program_is_known() {
    let plane = plane(Config::default());
    let shown = plane.json("/v1/settings");
    let printed = run(["--print-config"]).stdout;
    let flags = printed.lines().filter_map(|line| {
        let name = line.trim_start_matches("# ").split([':', ' ']).next()?;
        let is_flag = !name.is_empty()
            && name
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-');
        is_flag.then(|| name.replace('-', "_"))
    });
    let flags: Vec<String> = flags.collect();
    assert!(flags.len() > 100, "{flags:?}");
    for flag in flags {
        if shown.get(&flag).is_none() {
            let refused = patch(&plane, &json!({ &flag: "x" })).json_as(409);
            assert_eq!(refused["error"]["reason"], "fixed", "{flag}: {refused}");
        }
    }
}
