//! JSON in bodies: what a client has not meant is refused, with its place, and changes nothing.

use serde_json::Value;
use smtpmock::Config;

use crate::support::client::Client;
use crate::support::http::{HttpClient, plane};

/// Every path with a body of JSON.
const PATHS: &[(&str, &str)] = &[
    ("PUT", "/v1/rules"),
    ("POST", "/v1/rules"),
    ("PATCH", "/v1/rules/own"),
    ("PATCH", "/v1/settings"),
    ("POST", "/v1/marks"),
    ("POST", "/v1/expect"),
    ("PUT", "/api/v1/chaos"),
    ("DELETE", "/api/v1/messages"),
    ("PUT", "/api/v1/messages"),
    ("PUT", "/api/v1/tags"),
    ("PUT", "/api/v1/tags/a"),
    ("POST", "/api/v1/send"),
    ("POST", "/api/v2/jim"),
];

#[test]
fn what_is_no_object_or_has_a_key_twice_is_refused_everywhere() {
    let plane = plane(Config::default().rule("noop id=own accept".parse().expect("a rule")));
    Client::greeted(plane.smtp()).deliver("Subject: stays\r\n\r\n");
    let before = (plane.json("/v1/settings"), plane.json("/v1/messages"));
    for (method, path) in PATHS {
        for (body, place) in [
            ("[]", "body"),
            ("[[]]", "body"),
            ("null", "body"),
            ("true", "body"),
            ("-1.5", "body"),
            ("{", "body"),
            ("{} {}", "body"),
            (r#"{"nothing": 1}"#, "nothing"),
            (r#"{"nothing": 1, "nothing": 2}"#, "nothing"),
            (r#"{"nothing": [{}, {"a": 1, "a": 2}]}"#, "nothing[1].a"),
        ] {
            let reply = HttpClient::connect(plane.http).request_with(method, path, body);
            let text = reply.text();
            assert_eq!(reply.status, 400, "{method} {path} {body}: {text}");
            assert!(text.contains(place), "{method} {path} {body}: {text}");
            if path.starts_with("/v1") {
                let error = &reply.json_as(400)["error"];
                assert_eq!(error["at"], place, "{method} {path} {body}");
                let is_text = |field: &str| error[field].as_str().is_some_and(|text| !text.is_empty());
                assert!(is_text("reason") && is_text("hint"), "{error}");
            }
        }
    }
    assert_eq!((plane.json("/v1/settings"), plane.json("/v1/messages")), before);
}

#[test]
fn an_array_is_no_object_within_another_either() {
    let plane = plane(Config::default());
    for (method, path, body, at) in [
        ("PUT", "/v1/rules", r#"{"rules": [["rcpt accept", "id", "1s"]]}"#, "rules[0]"),
        ("PUT", "/v1/rules", r#"{"rules": ["rcpt accept", 5]}"#, "rules[1]"),
        ("PUT", "/v1/rules", r#"{"rules": {}}"#, "rules"),
        ("PUT", "/v1/rules", r#"{"rules": [{"rule": "rcpt accept", "tll": "1s"}]}"#, "rules[0].tll"),
        ("PUT", "/v1/rules", r#"{"rules": [{"id": "a"}]}"#, "rules[0].rule"),
        ("POST", "/v1/rules", r#"["rcpt accept", "id", "1s"]"#, "body"),
        ("POST", "/v1/expect", r#"{"expect": ["messages.accepted > 0", 1]}"#, "expect[1]"),
        ("POST", "/v1/marks", r#"{"name": ["a"]}"#, "name"),
    ] {
        let error: Value = HttpClient::connect(plane.http).request_with(method, path, body).json_as(400);
        assert_eq!(error["error"]["at"], at, "{method} {path} {body}: {error}");
    }
    let chaos = r#"{"Sender": [451, 100]}"#;
    let reply = HttpClient::connect(plane.http).request_with("PUT", "/api/v1/chaos", chaos);
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("Sender: an object of ErrorCode, Probability"), "{}", reply.text());
    assert_eq!(plane.json("/v1/rules")["rules"], Value::Array(Vec::new()));
}
