//! What holds for every path of the interface.

use serde_json::Value;
use smtpmock::Config;

use crate::support::http::{HttpClient, plane};

#[test]
fn every_reply_forbids_to_guess_to_cache_and_to_execute() {
    let plane = plane(Config::default());
    for (method, target, status) in [
        ("GET", "/livez", 200),
        ("GET", "/v1/messages", 200),
        ("GET", "/none", 404),
        ("GET", "/v1/messages?limit=x", 400),
        ("POST", "/v1/messages", 405),
        ("OPTIONS", "/v1/messages", 204),
    ] {
        let reply = HttpClient::connect(plane.http).request(method, target, &[]);
        assert_eq!(reply.status, status, "{method} {target}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(
            reply
                .header("content-security-policy")
                .is_some_and(|policy| policy.starts_with("default-src 'none'"))
        );
    }
}

#[test]
fn what_is_not_there_is_answered_with_what_would_be_right() {
    let plane = plane(Config::default());
    let ask = |method: &str, target: &str| HttpClient::connect(plane.http).request(method, target, &[]);
    assert_eq!(ask("GET", "/v2/messages").reason(404), "no_such_path");
    assert_eq!(ask("GET", "/v1/messages/").reason(404), "no_such_path");
    assert_eq!(ask("GET", "/v1/messages/x").reason(404), "no_such_message");
    assert_eq!(ask("GET", "/v1/messages/%ff").reason(404), "no_such_path");
    let refused = ask("PATCH", "/v1/messages/x");
    assert_eq!(refused.reason(405), "method");
    assert_eq!(refused.header("allow"), Some("GET, HEAD, DELETE, OPTIONS"));
    // A fixed path hides what may stand for any.
    assert_eq!(ask("DELETE", "/v1/messages/wait").header("allow"), Some("GET, HEAD, OPTIONS"));
    let hint = ask("GET", "/v1/messages?qery=x").json_as(400);
    assert_eq!(
        (hint["error"]["at"].as_str(), hint["error"]["hint"].as_str()),
        (Some("qery"), Some("did you mean query?"))
    );
    for target in [
        "/v1/messages?limit=0",
        "/v1/messages?limit=501",
        "/v1/messages?cursor=x",
        "/v1/messages?accepted=maybe",
        "/v1/messages?after=x",
        "/v1/messages?query=larger:x",
        "/v1/messages?query=%ff",
        "/v1/messages?limit=1&limit=2",
        "/v1/messages/wait?timeout=11m",
        "/v1/messages/wait?count=-1",
        "/livez?x=1",
        "/readyz?x=1",
    ] {
        assert_eq!(ask("GET", target).reason(400), "invalid", "{target}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let plane = plane(Config::default());
    let mut client = HttpClient::connect(plane.http);
    let get = client.request("GET", "/v1/messages", &[]);
    let head = client.request("HEAD", "/v1/messages", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(client.request("GET", "/v1/messages", &[]).status, 200, "the connection goes on");
}

#[test]
fn readiness_ends_with_the_server_and_its_messages_stay() {
    let plane = plane(Config::default());
    assert_eq!(plane.json("/readyz")["status"], "ready");
    plane.server.stop();
    assert_eq!(plane.get("/readyz").reason(503), "not_ready");
    assert_eq!(plane.json("/livez")["status"], "alive");
    assert_eq!(plane.json("/v1/messages")["total"], 0);
}

#[test]
fn the_report_so_far_is_that_of_the_program() {
    let plane = plane(Config::default());
    let report = plane.json("/v1/report");
    assert_eq!(
        (&report["program"], &report["metrics"]["messages"]),
        (&Value::from("smtpmock"), &Value::from(0))
    );
}

#[test]
fn the_description_is_served() {
    let description = plane(Config::default()).json("/v1/openapi.json");
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
}
