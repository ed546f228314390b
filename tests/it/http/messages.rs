//! Listing, reading, searching, deleting and taking messages.

use std::thread;

use chrono::DateTime;
use serde_json::{Value, json};
use smtpmock::Config;

use crate::support::client::Client;
use crate::support::http::{HttpClient, encoded, plane};
use crate::support::server::ruled;

const MAIL: &str = "From: Ann <ann@example.com>\r\nTo: Bob <bob@example.com>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\n\r\nYour code is 482913, or https://a.example/confirm?t=1.\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<a href=\"https://a.example/x?a=1&amp;b=2\">Confirm</a><script>alert(1)</script>\r\n\
    --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"bill \\\"1\\\".pdf\"\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n";

fn send(smtp: std::net::SocketAddr, to: &str, text: &str) {
    let mut client = Client::greeted(smtp);
    client.ehlo();
    client.transaction("ann@example.com", to, text);
}

fn subjects(list: &Value) -> Vec<&str> {
    let messages = list["messages"].as_array().expect("a list").iter();
    messages.map(|message| message["subject"].as_str().unwrap_or_default()).collect()
}

#[test]
fn a_message_is_shown_with_all_that_is_known_of_it() {
    let plane = plane(Config::default().esmtp());
    let mut client = Client::extended(plane.smtp());
    client.send(
        "MAIL FROM:<bounce@example.com> BODY=8BITMIME ENVID=q1\r\nRCPT TO:<bob@example.com> NOTIFY=NEVER\r\n\
         RCPT TO:<hidden@example.com>\r\nRCPT TO:nobody\r\n",
    );
    for _ in 0..4 {
        client.reply();
    }
    client.data();
    client.command(&format!("{MAIL}."));
    let list = plane.json("/v1/messages");
    assert_eq!(
        (list["total"].as_u64(), &list["next"], list["evicted"].as_u64()),
        (Some(1), &Value::Null, Some(0))
    );
    let id = list["messages"][0]["id"].as_str().expect("an id");
    assert_eq!(id, plane.server.messages()[0].id().to_string());
    let one = plane.json(&format!("/v1/messages/{id}"));
    for (name, value) in list["messages"][0].as_object().expect("an object") {
        assert_eq!(&one[name], value, "{name}");
    }
    assert_eq!(one["accepted"], true);
    assert_eq!(one["subject"], "Grüße");
    assert_eq!(one["from"], json!([{"name": "Ann", "address": "ann@example.com"}]));
    assert_eq!(one["bcc"], json!([{"name": null, "address": "hidden@example.com"}]));
    assert_eq!(one["envelope"]["from"], "bounce@example.com");
    let expected = json!([{"name": "BODY", "value": "8BITMIME"}, {"name": "ENVID", "value": "q1"}]);
    assert_eq!(one["envelope"]["parameters"], expected);
    let recipients = one["envelope"]["to"].as_array().expect("recipients");
    let shown: Vec<_> =
        recipients.iter().map(|rcpt| (rcpt["address"].as_str(), rcpt["accepted"].as_bool())).collect();
    let expected = [
        (Some("bob@example.com"), Some(true)),
        (Some("hidden@example.com"), Some(true)),
        (Some(""), Some(false)),
    ];
    assert_eq!(shown, expected);
    assert_eq!(recipients[0]["parameters"], json!([{"name": "NOTIFY", "value": "NEVER"}]));
    assert!(recipients[2]["reply"].as_str().is_some_and(|reply| reply.starts_with("501")), "{recipients:?}");
    let stages: Vec<_> = one["dialogue"]
        .as_array()
        .expect("turns")
        .iter()
        .map(|turn| turn["stage"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(stages, ["helo", "mail", "rcpt", "rcpt", "rcpt", "data", "message"]);
    assert!(one["dialogue"][6]["reply"].as_str().is_some_and(|reply| reply.contains(id)), "{one}");
    assert_eq!((&one["tls"], &one["user"]), (&Value::Null, &Value::Null));
    assert!(one["text"].as_str().is_some_and(|text| text.contains("482913")));
    assert!(one["html"].as_str().is_some_and(|html| html.contains("<script>")));
    let parts: Vec<_> =
        one["parts"].as_array().expect("parts").iter().map(|part| part["kind"].clone()).collect();
    assert_eq!(parts, ["text", "text", "attachment"]);
    assert_eq!(one["headers"][2], json!({"name": "Subject", "value": "Grüße"}));
    assert_eq!(one["size"], MAIL.len());
}

#[test]
fn raw_text_and_parts_are_downloads_whatever_the_sender_says() {
    let plane = plane(Config::default());
    send(plane.smtp(), "bob@example.com", MAIL);
    let id = plane.server.messages()[0].id();
    let raw = plane.get(&format!("/v1/messages/{id}/raw"));
    assert_eq!((raw.status, raw.text()), (200, MAIL.to_owned()));
    assert_eq!(raw.header("content-type"), Some("message/rfc822"));
    let html = plane.get(&format!("/v1/messages/{id}/parts/2"));
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(html.header("content-disposition"), Some("attachment"));
    assert!(html.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")));
    let pdf = plane.get(&format!("/v1/messages/{id}/parts/3"));
    assert_eq!((pdf.header("content-type"), &*pdf.body), (Some("application/pdf"), &b"%PDF"[..]));
    let name = "attachment; filename*=UTF-8''bill%20%221%22.pdf";
    assert_eq!(pdf.header("content-disposition"), Some(name));
    for part in ["0", "4", "x", "1e9"] {
        assert_eq!(
            plane.get(&format!("/v1/messages/{id}/parts/{part}")).reason(404),
            "no_such_part",
            "{part}"
        );
    }
}

#[test]
fn links_and_codes_are_found() {
    let plane = plane(Config::default());
    send(plane.smtp(), "bob@example.com", MAIL);
    let id = plane.server.messages()[0].id();
    let links = plane.json(&format!("/v1/messages/{id}/links"));
    let expected = json!([
        {"href": "https://a.example/x?a=1&b=2", "text": "Confirm", "part": "html"},
        {"href": "https://a.example/confirm?t=1", "text": "https://a.example/confirm?t=1", "part": "text"},
    ]);
    assert_eq!(links["links"], expected);
    assert_eq!(plane.json(&format!("/v1/messages/{id}/codes"))["codes"], json!(["482913"]));
}

#[test]
fn pages_go_from_the_newest_to_the_oldest_and_lose_nothing_that_was_there() {
    let plane = plane(Config::default());
    (0..7).for_each(|number| send(plane.smtp(), "bob@example.com", &format!("Subject: {number}\r\n\r\n")));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = plane.json(&format!("/v1/messages?limit=3{cursor}"));
        assert_eq!(page["total"], 7 + seen.len() / 3);
        seen.extend(subjects(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
        // What arrives meanwhile shifts no page.
        send(plane.smtp(), "bob@example.com", "Subject: new\r\n\r\n");
    }
    assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
}

#[test]
fn a_search_is_by_mail_and_by_envelope() {
    let config = ruled(Config::default(), &["message to=full@* reply=\"452 4.2.2 Mailbox full\""]);
    let plane = plane(config);
    send(plane.smtp(), "bob@example.com", "Subject: Welcome Bob\r\n\r\nyour order\r\n");
    send(plane.smtp(), "carol@example.com", "Subject: Welcome Carol\r\n\r\nyour refund\r\n");
    send(plane.smtp(), "full@example.com", "Subject: Lost\r\n\r\n");
    let found = |parameters: &str| {
        let list = plane.json(&format!("/v1/messages?{parameters}"));
        subjects(&list).join(", ")
    };
    let search = |query: &str| found(&format!("query={}", encoded(query)));
    assert_eq!(search("subject:welcome"), "Welcome Carol, Welcome Bob");
    assert_eq!(search("subject:welcome -refund"), "Welcome Bob");
    assert_eq!(search("rcpt-to:carol tls:no"), "Welcome Carol");
    assert_eq!(search("\"your order\""), "Welcome Bob");
    assert_eq!(found("accepted=false"), "");
    assert_eq!(
        plane.json("/v1/messages?accepted=false")["messages"][0]["envelope"]["to"][0]["address"],
        "full@example.com"
    );
    assert_eq!(plane.json("/v1/messages?accepted=any")["total"], 3);
    let first = plane.server.messages()[0].id();
    assert_eq!(found(&format!("after={first}")), "Welcome Carol");
}

#[test]
fn deleting_is_of_one_of_what_is_found_or_of_all() {
    let plane = plane(Config::default());
    for name in ["a", "b", "c", "d"] {
        send(plane.smtp(), &format!("{name}@example.com"), &format!("Subject: {name}\r\n\r\n"));
    }
    let id = plane.server.messages()[0].id();
    assert_eq!(plane.delete(&format!("/v1/messages/{id}")), json!({"deleted": 1}));
    let again = HttpClient::connect(plane.http).request("DELETE", &format!("/v1/messages/{id}"), &[]);
    assert_eq!(again.reason(404), "no_such_message");
    assert_eq!(plane.delete("/v1/messages?query=rcpt-to:c@"), json!({"deleted": 1}));
    // One that was deleted still says what came behind it.
    assert_eq!(subjects(&plane.json(&format!("/v1/messages?after={id}"))), ["d", "b"]);
    // A misspelled parameter, or a body, deletes nothing.
    for (target, body) in [("/v1/messages?qurey=x", ""), ("/v1/messages", "{\"ids\":[]}")] {
        let length = body.len().to_string();
        let mut client = HttpClient::connect(plane.http);
        client.begin("DELETE", target, &[("Content-Length", &length)]);
        client.send(body);
        assert_eq!(client.reply().expect("a reply").reason(400), "invalid", "{target} {body}");
    }
    assert_eq!(plane.delete("/v1/messages"), json!({"deleted": 2}));
    assert!(plane.server.messages().is_empty());
}

/// `query=$UNSET` was a way to delete all mail.
#[test]
fn what_selects_nothing_in_particular_deletes_nothing() {
    let plane = plane(Config::default());
    send(plane.smtp(), "bob@example.com", "Subject: a\r\n\r\n");
    let ask = |method: &str, target: &str| HttpClient::connect(plane.http).request(method, target, &[]);
    let queries = [
        "",
        "%20",
        "%22%22",
        "%22%20%22",
        "-",
        "--",
        "!",
        "from:",
        "-from:",
        "rcpt-to:%22%22",
        "header:=",
        "from:+to:",
    ];
    for query in queries {
        let target = format!("/v1/messages?query={query}");
        for (method, target) in [
            ("DELETE", target.clone()),
            ("GET", target),
            ("GET", format!("/v1/messages/wait?count=0&query={query}")),
        ] {
            let error = ask(method, &target).json_as(400);
            assert_eq!(error["error"]["at"], "query", "{method} {target}");
        }
        for target in
            [format!("/api/v1/search?query={query}"), format!("/api/v2/search?kind=to&query={query}")]
        {
            let delete = ask("DELETE", &target).status;
            assert!([400, 405].contains(&delete), "{target}: {delete}");
        }
    }
    for target in [
        "?query",
        "?after=",
        "?after",
        "?inbox=",
        "?accepted=",
        "?return=",
        "?limit=&return=true",
        "?return=true&raw=",
    ] {
        let reply = ask("DELETE", &format!("/v1/messages{target}"));
        assert_eq!(reply.reason(400), "invalid", "{target}");
    }
    assert_eq!(plane.server.messages().len(), 1);
    // A bare name is a flag that is set.
    let taken = plane.delete("/v1/messages?return&raw");
    assert_eq!(subjects(&taken), ["a"]);
    assert!(taken["messages"][0]["raw_base64"].is_string(), "{taken}");
}

#[test]
fn a_misspelled_query_is_refused_with_what_would_be_right_but_not_to_clients_of_mailpit() {
    let plane = plane(Config::default());
    send(plane.smtp(), "bob@example.com", "Subject: foo:bar\r\n\r\n");
    for (query, expected) in [
        ("form:ann", "form:ann: expected from:, or the text in quotation marks: \"form:ann\""),
        ("foo:bar", "foo:bar: expected a known prefix, or the text in quotation marks: \"foo:bar\""),
        ("\"foo", "a second quotation mark behind the first"),
    ] {
        for target in ["/v1/messages?", "/v1/messages/wait?timeout=10m&"] {
            let error = plane.get(&format!("{target}query={}", encoded(query))).json_as(400);
            assert_eq!((&error["error"]["at"], &error["error"]["hint"]), (&json!("query"), &json!(expected)));
        }
    }
    assert_eq!(plane.json(&format!("/v1/messages?query={}", encoded("\"foo:bar\"")))["total"], 1);
    for query in ["foo:bar", "\"foo:bar", "foo:bar from:"] {
        let found = plane.json(&format!("/api/v1/search?query={}", encoded(query)));
        assert_eq!(found["messages_count"], 1, "{query}");
    }
}

#[test]
fn taking_returns_what_it_deletes_and_what_is_left() {
    let plane = plane(Config::default());
    for name in ["a", "b", "c"] {
        send(
            plane.smtp(),
            &format!("{name}@example.com"),
            &format!("Subject: {name}\r\n\r\nHello {name}\r\n"),
        );
    }
    let taken = plane.delete("/v1/messages?return=true&limit=2&raw=true");
    assert_eq!(
        (subjects(&taken), &taken["deleted"], &taken["remaining"]),
        (vec!["b", "a"], &json!(2), &json!(1))
    );
    assert_eq!(taken["messages"][0]["text"], "Hello b\r\n");
    assert_eq!(taken["messages"][1]["raw_base64"], "U3ViamVjdDogYQ0KDQpIZWxsbyBhDQo=");
    let rest = plane.delete("/v1/messages?return=true");
    assert_eq!((subjects(&rest), &rest["remaining"]), (vec!["c"], &json!(0)));
}

/// Several tests that take from one server get each message once.
#[test]
fn nothing_that_arrives_while_messages_are_taken_is_lost_or_taken_twice() {
    const MESSAGES: usize = 60;
    let plane = plane(Config::default());
    let mut all: Vec<String> = thread::scope(|scope| {
        let takers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    while plane.json("/v1/messages?query=subject:last")["total"] == 0 {
                        let taken = plane.delete("/v1/messages?return=true&query=-subject:last");
                        own.extend(subjects(&taken).into_iter().map(str::to_owned));
                    }
                    own
                })
            })
            .collect();
        let mut client = Client::greeted(plane.smtp());
        client.ehlo();
        for number in 0..MESSAGES {
            client.transaction("a@example.com", "b@example.com", &format!("Subject: {number:03}\r\n\r\n"));
        }
        client.transaction("a@example.com", "b@example.com", "Subject: last\r\n\r\n");
        takers.into_iter().flat_map(|taker| taker.join().expect("a taker")).collect()
    });
    let rest = plane.delete("/v1/messages?return=true&limit=500");
    all.extend(subjects(&rest).into_iter().filter(|subject| *subject != "last").map(str::to_owned));
    all.sort_unstable();
    assert_eq!(all, (0..MESSAGES).map(|number| format!("{number:03}")).collect::<Vec<_>>());
}

#[test]
fn the_oldest_messages_are_evicted_and_counted() {
    let plane = plane(Config::default().max_records(2));
    (0..5).for_each(|number| send(plane.smtp(), "b@example.com", &format!("Subject: {number}\r\n\r\n")));
    let list = plane.json("/v1/messages");
    assert_eq!((subjects(&list), &list["evicted"]), (vec!["4", "3"], &json!(3)));
}

/// A field of megabytes made a list of hundreds of megabytes.
#[test]
fn addresses_of_a_field_are_listed_within_a_bound() {
    let plane = plane(Config::default());
    let text = format!("To: {}\r\nSubject: many\r\n\r\n", "x@example.com,\r\n ".repeat(5000));
    send(plane.smtp(), "b@example.com", &text);
    let list = plane.json("/v1/messages");
    assert_eq!(list["messages"][0]["to"].as_array().map(Vec::len), Some(1000));
    assert_eq!(subjects(&list), ["many"]);
}

/// A mail of messages within messages ended the process.
#[test]
fn mails_that_nest_without_end_are_listed() {
    let plane = plane(Config::default());
    let text = format!("{}hi\r\n", "Content-Type: message/rfc822\r\n\r\n".repeat(30_000));
    send(plane.smtp(), "b@example.com", &text);
    let list = plane.json("/v1/messages");
    let id = list["messages"][0]["id"].as_str().expect("an id");
    let detail = plane.json(&format!("/v1/messages/{id}"));
    assert_eq!(detail["parts"][0]["content_type"], "message/rfc822");
}

/// Characters that are six octets in JSON made replies of many times the bound.
#[test]
fn a_reply_is_bounded_by_its_octets_as_json() {
    const MAILS: usize = 4;
    let plane = plane(Config::default());
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    let text = "\u{1}".repeat(900) + "\r\n";
    let mail = format!("Subject: {}\r\n\r\n{}", "\u{1}".repeat(900), text.repeat(1000));
    for _ in 0..MAILS {
        client.transaction("ann@example.com", "bob@example.com", &mail);
    }
    let reply = HttpClient::connect(plane.http).request("DELETE", "/v1/messages?return=true", &[]);
    assert!(reply.body.len() < (16 << 20) + 1000, "{}", reply.body.len());
    let reply = reply.json_as(200);
    assert_eq!(
        (&reply["deleted"], &reply["remaining"], reply["messages"].as_array().map(Vec::len)),
        (&json!(3), &json!(1), Some(3))
    );
    assert_eq!(plane.json("/v1/messages")["total"], 1);
    assert_eq!(plane.json("/v1/messages/wait?limit=500")["total"], 1);
}

/// A reply that is late by a rule has the time at which it was decided: the next command shows how late it was.
#[test]
fn each_turn_of_a_dialogue_has_its_time() {
    let plane = plane(ruled(Config::default(), &["mail delay=30ms"]));
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    client.transaction("ann@example.com", "bob@example.com", "Subject: hi\r\n\r\n");
    let id = plane.json("/v1/messages")["messages"][0]["id"].as_str().expect("an id").to_owned();
    let one = plane.json(&format!("/v1/messages/{id}"));
    let time = |value: &Value| DateTime::parse_from_rfc3339(value.as_str().expect("a time")).expect("a time");
    let mut times = vec![time(&one["connected_at"])];
    times.extend(one["dialogue"].as_array().expect("turns").iter().map(|turn| time(&turn["at"])));
    assert!(times.len() > 4 && times.is_sorted(), "{times:?}");
    let stages: Vec<_> =
        one["dialogue"].as_array().expect("turns").iter().map(|turn| &turn["stage"]).collect();
    let mail = 1 + stages.iter().position(|stage| *stage == "mail").expect("MAIL");
    assert!((times[mail + 1] - times[mail]).num_milliseconds() >= 30, "{times:?}");
}
