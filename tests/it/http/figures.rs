//! `/v1/marks`, `/v1/report?since=` and `/v1/expect`: figures by phases, and verdicts on them.

use serde_json::{Value, json};
use smtpmock::{Config, HttpSettings};

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, Reply, plane, plane_with};
use crate::support::waiting::eventually;

fn post(plane: &Plane, target: &str, body: &Value) -> Reply {
    HttpClient::connect(plane.http).request_with("POST", target, &body.to_string())
}

/// Sends a mail in a session of its own.
fn mail(plane: &Plane) {
    let mut client = Client::greeted(plane.smtp());
    for line in ["HELO client.example", "MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>", "DATA"] {
        client.command(line);
    }
    assert!(client.command("Subject: hi\r\n\r\nhello\r\n.").starts_with("250"));
    client.quit();
}

fn messages(report: &Value) -> &Value {
    &report["metrics"]["messages"]
}

#[test]
fn the_report_since_a_mark_is_that_of_the_phase_behind_it() {
    let plane = plane(Config::default());
    assert_eq!(plane.json("/v1/marks"), json!({ "marks": [] }));
    mail(&plane);
    let mark = post(&plane, "/v1/marks", &json!({ "name": "warm" })).json_as(201);
    assert_eq!(mark["mark"]["id"], "warm");
    assert!(mark["mark"]["at"].as_str().is_some_and(|at| at.starts_with("20")), "{mark}");
    let unnamed = HttpClient::connect(plane.http).request_with("POST", "/v1/marks", "").json_as(201);
    mail(&plane);
    mail(&plane);
    assert_eq!(messages(&plane.json("/v1/report")), 3);
    assert_eq!(messages(&plane.json("/v1/report?since=warm")), 2);
    let since = plane.json("/v1/report?since=warm");
    assert_eq!(since["metrics"]["service.mail"]["count"], 2, "distributions too");
    let id = unnamed["mark"]["id"].as_str().expect("an id");
    assert_eq!(messages(&plane.json(&format!("/v1/report?since={id}"))), 2);
    assert_eq!(plane.json("/v1/marks"), json!({ "marks": [mark["mark"], unnamed["mark"]] }));
    // A mark is where it was set last.
    let again = post(&plane, "/v1/marks", &json!({ "name": "warm" })).json_as(201);
    assert_eq!(messages(&plane.json("/v1/report?since=warm")), 0);
    assert_eq!(plane.json("/v1/marks"), json!({ "marks": [unnamed["mark"], again["mark"]] }));
    assert_eq!(plane.get("/v1/marks?since=warm").reason(400), "invalid");
}

#[test]
fn expectations_are_judged_with_their_figures_in_a_phase() {
    let plane = plane(Config::default());
    mail(&plane);
    post(&plane, "/v1/marks", &json!({ "name": "warm" })).json_as(201);
    mail(&plane);
    let body =
        json!({ "expect": ["messages == 2", "p99(service.mail) < 1h"], "fail_if": ["sessions.gave_up > 0"] });
    let verdicts = post(&plane, "/v1/expect", &body).json_as(200);
    assert_eq!(verdicts["passed"], true, "{verdicts}");
    assert_eq!(
        (&verdicts["verdicts"][0], &verdicts["verdicts"][2]),
        (
            &json!({ "check": "expect", "expectation": "messages == 2", "found": "2", "passed": true }),
            &json!({ "check": "fail_if", "expectation": "sessions.gave_up > 0", "found": "0", "passed": true })
        )
    );
    let verdicts = post(&plane, "/v1/expect?since=warm", &body).json_as(200);
    let passed =
        ["0", "1", "2"].map(|index| &verdicts["verdicts"][index.parse::<usize>().unwrap_or(0)]["passed"]);
    assert_eq!((&verdicts["passed"], passed), (&json!(false), [&json!(false), &json!(true), &json!(true)]));
    // Without a sample there is no passing.
    let verdicts = post(&plane, "/v1/expect", &json!({ "expect": ["p99(retries.after) < 1h"] })).json_as(200);
    assert_eq!(
        (&verdicts["passed"], &verdicts["verdicts"][0]["found"]),
        (&json!(false), &json!("no samples"))
    );
}

#[test]
fn what_is_no_expectation_and_no_mark_is_named() {
    let plane = plane(Config::default());
    for (target, body, status, at, hint) in [
        (
            "/v1/expect",
            json!({ "expect": ["messages == 0", "mesages > 1"] }),
            400,
            "expect[1]",
            "did you mean messages?",
        ),
        ("/v1/expect", json!({ "fail_if": ["p99(think.mail) > 50"] }), 400, "fail_if[0]", "like 50ms"),
        ("/v1/expect", json!({}), 400, "body", "expect or fail_if"),
        ("/v1/expect", json!(["messages > 1"]), 400, "body", ""),
        ("/v1/expect", json!({ "expected": [] }), 400, "expected", "fail_if"),
        ("/v1/expect", json!({ "expect": vec!["messages == 0"; 257] }), 413, "body", "256"),
        ("/v1/expect?since=none", json!({ "expect": ["messages == 0"] }), 404, "since", "POST /v1/marks"),
        ("/v1/expect?sinse=none", json!({ "expect": ["messages == 0"] }), 400, "sinse", "since"),
        ("/v1/marks", json!({ "name": "a b" }), 400, "name", "letters"),
        ("/v1/marks", json!({ "nam": "a" }), 400, "nam", "name"),
        ("/v1/marks?since=x", json!({}), 400, "since", "no parameters"),
    ] {
        let refused = post(&plane, target, &body).json_as(status);
        assert_eq!(refused["error"]["at"], at, "{target} {body}: {refused}");
        let found = refused["error"]["hint"].as_str().expect("a hint");
        assert!(found.contains(hint), "{target} {body}: {refused}");
    }
    assert_eq!(plane.get("/v1/report?since=none").reason(404), "no_such_mark");
    assert_eq!(plane.get("/v1/report?since=").reason(400), "invalid");
}

/// The value of a series.
fn sample(scrape: &str, series: &str) -> f64 {
    let found = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series} in {scrape}"))
}

/// The names of all families.
fn families(scrape: &str) -> Vec<&str> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.collect()
}

#[test]
fn a_scrape_has_the_counts_of_the_report() {
    let plane =
        plane(Config::default().rule("rcpt id=late to=eve@* reply=\"450 later\"".parse().expect("a rule")));
    mail(&plane);
    mail(&plane);
    let mut client = Client::greeted(plane.smtp());
    for line in ["HELO client.example", "MAIL FROM:<ann@example.com>", "RCPT TO:<eve@example.com>"] {
        client.command(line);
    }
    let reply = plane.get("/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let (scrape, report) = (reply.text(), plane.json("/v1/report"));
    for (series, metric) in [
        ("smtpmock_messages_total{outcome=\"accepted\"}", "messages"),
        ("smtpmock_message_bytes_total", "messages.bytes"),
        ("smtpmock_sessions_opened_total", "sessions"),
        ("smtpmock_sessions_open", "sessions.open"),
        ("smtpmock_commands_total{stage=\"rcpt\"}", "count.rcpt"),
        ("smtpmock_refusals_total{stage=\"rcpt\",class=\"4yz\"}", "refused.rcpt"),
        ("smtpmock_transactions_open", "transactions.open"),
    ] {
        assert_eq!(Some(sample(&scrape, series)), report["metrics"][metric].as_f64(), "{series}");
    }
    for (family, distribution) in [("think", "think"), ("service", "service")] {
        for stage in ["connect", "helo", "mail", "rcpt", "data", "message", "noop"] {
            let count = &report["metrics"][format!("{distribution}.{stage}")]["count"];
            for series in [
                format!("smtpmock_{family}_seconds_bucket{{stage=\"{stage}\",le=\"+Inf\"}}"),
                format!("smtpmock_{family}_seconds_count{{stage=\"{stage}\"}}"),
            ] {
                assert_eq!(Some(sample(&scrape, &series)), count.as_f64(), "{series}");
            }
        }
    }
    assert_eq!(sample(&scrape, "smtpmock_rule_fired_total{rule=\"late\"}"), 1.0);
    // Counts of a rule that is gone stay, and marks change nothing.
    HttpClient::connect(plane.http).request("DELETE", "/v1/rules/late", &[]).json_as(200);
    post(&plane, "/v1/marks", &json!({})).json_as(201);
    let later = plane.get("/metrics").text();
    assert_eq!(sample(&later, "smtpmock_rule_fired_total{rule=\"late\"}"), 1.0);
    assert_eq!(sample(&later, "smtpmock_messages_total{outcome=\"accepted\"}"), 2.0);
    assert_eq!(plane.get("/metrics?x=1").reason(400), "invalid");
}

/// Rules that came and went between two scrapes were in none.
#[test]
fn a_scrape_counts_rules_that_came_and_went_since_the_last_one() {
    let plane = plane(Config::default());
    let fire = |count: usize| {
        let mut client = Client::greeted(plane.smtp());
        (0..count).for_each(|_| assert_eq!(client.command("NOOP"), "250 ruled"));
    };
    let add = |ttl: Option<&str>| {
        let rule = json!({ "rule": "noop reply=\"250 ruled\"", "id": "brief", "ttl": ttl });
        post(&plane, "/v1/rules", &rule).json_as(201);
    };
    let remove = || HttpClient::connect(plane.http).request("DELETE", "/v1/rules/brief", &[]).json_as(200);
    let fired = || sample(&plane.get("/metrics").text(), "smtpmock_rule_fired_total{rule=\"brief\"}");
    add(None);
    fire(5);
    remove();
    assert_eq!(fired(), 5.0);
    add(None);
    fire(2);
    assert_eq!(fired(), 7.0);
    remove();
    add(None);
    fire(3);
    // The same rule again, with more than it had when it was last seen.
    remove();
    add(Some("1h"));
    fire(4);
    assert_eq!(fired(), 14.0);
    // One that expires by itself.
    let rule = json!({ "rule": "noop reply=\"250 ruled\"", "ttl": "1ms" });
    HttpClient::connect(plane.http).request_with("PATCH", "/v1/rules/brief", &rule.to_string()).json_as(200);
    eventually("the rule expires", || plane.json("/v1/rules")["rules"] == json!([]));
    assert_eq!(fired(), 14.0);
}

#[test]
fn a_scrape_needs_the_credentials_of_other_paths() {
    let plane = plane_with(Config::default(), &HttpSettings::at("0").auth("ann", "secret").token("t0ken"));
    let ask =
        |fields: &[(&str, &str)]| HttpClient::connect(plane.http).request("GET", "/metrics", fields).status;
    assert_eq!(ask(&[]), 401);
    assert_eq!(ask(&[("Authorization", "Bearer t0ken")]), 200);
    assert_eq!(ask(&[("Authorization", "Basic YW5uOnNlY3JldA==")]), 200);
}

#[test]
fn no_label_is_what_a_client_has_chosen() {
    let plane = plane(Config::default());
    let mut client = Client::greeted(plane.smtp());
    for line in ["HELO needle.example", "MAIL FROM:<needle@example.com>", "NEEDLE x"] {
        client.command(line);
    }
    let scrape = plane.get("/metrics").text();
    assert!(!scrape.to_lowercase().contains("needle") && !scrape.contains("127.0.0.1"), "{scrape}");
}

#[test]
fn the_dashboard_shows_families_that_there_are() {
    let scrape = plane(Config::default()).get("/metrics").text();
    let families = families(&scrape);
    let dashboard: Value =
        serde_json::from_str(include_str!("../../../loadtest/grafana.json")).expect("a dashboard in JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    assert!(expressions.len() > 15, "{expressions:?}");
    for expression in expressions {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let names = expression.split(|letter| !is_name(letter)).filter(|word| word.starts_with("smtpmock_"));
        for name in names {
            let family = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(families.contains(&family), "{name} in {expression}");
        }
    }
}
