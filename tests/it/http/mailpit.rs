//! Mailpit's interface, as its clients use it.

use std::net::SocketAddr;

use serde_json::{Value, json};
use smtpmock::Config;

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, Reply, encoded, plane};
use crate::support::server::ruled;

const MAIL: &str = "From: Ann <ann@example.com>\r\nTo: Bob <bob@example.com>\r\nCc: carol@example.com\r\nSubject: =?utf-8?Q?Gr=C3=BCn?=\r\n\
    Message-ID: <1@example.com>\r\nX-Tags: news, Urgent\r\nList-Unsubscribe: <mailto:u@example.com>, <https://a.example/u>\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\n\r\nHello Bob\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<link rel=preconnect href=//x.example><p>Hello <img src=\"cid:logo@x\"> <img src=\"cid:none\"> <a href=\"https://a.example\">x</a></p>\r\n\
    --b\r\nContent-Type: image/png\r\nContent-Disposition: inline\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n\
    --b\r\nContent-Type: text/html; name=evil.html\r\nContent-Disposition: attachment\r\n\r\n<script>alert(1)</script>\r\n--b--\r\n";

fn send(smtp: SocketAddr, to: &str, text: &str) {
    let mut client = Client::greeted(smtp);
    client.ehlo();
    client.transaction("ann@example.com", to, text);
}

fn change(plane: &Plane, method: &str, target: &str, body: &str) -> Reply {
    HttpClient::connect(plane.http).request_with(method, target, body)
}

/// A change that is answered as Mailpit does it.
fn changed(plane: &Plane, method: &str, target: &str, body: &str) {
    let reply = change(plane, method, target, body);
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{method} {target} {body}");
}

fn subjects(list: &Value) -> Vec<&str> {
    let messages = list["messages"].as_array().expect("a list").iter();
    messages.map(|message| message["Subject"].as_str().expect("a subject")).collect()
}

fn ids(list: &Value) -> Vec<String> {
    let messages = list["messages"].as_array().expect("a list").iter();
    messages.map(|message| message["ID"].as_str().expect("an id").to_owned()).collect()
}

/// A plane with one message for each subject, in this order.
fn with_mails(subjects: &[&str]) -> Plane {
    let plane = plane(Config::default());
    for subject in subjects {
        send(
            plane.smtp(),
            &format!("{subject}@example.com"),
            &format!("Subject: {subject}\r\n\r\nHello {subject}\r\n"),
        );
    }
    plane
}

#[test]
fn a_list_has_the_fields_of_mailpit() {
    let plane = plane(Config::default());
    send(plane.smtp(), "hidden@example.com", MAIL);
    let list = plane.json("/api/v1/messages");
    let one = &list["messages"][0];
    let id = one["ID"].as_str().expect("an id");
    assert!(id.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{id}");
    assert_eq!(id[8..].replace('x', "-"), plane.server.messages()[0].id().to_string()[8..]);
    let mut rest = list.clone();
    rest["messages"] = json!([]);
    let expected = json!({"total": 1, "unread": 1, "count": 1, "messages_count": 1, "messages_unread": 1, "start": 0,
        "tags": ["Urgent", "news"], "messages": []});
    assert_eq!(rest, expected);
    let created = one["Created"].as_str().expect("a time");
    let expected = json!({"ID": id, "MessageID": "1@example.com", "Read": false,
        "From": {"Name": "Ann", "Address": "ann@example.com"},
        "To": [{"Name": "Bob", "Address": "bob@example.com"}], "Cc": [{"Name": "", "Address": "carol@example.com"}],
        "Bcc": [{"Name": "", "Address": "hidden@example.com"}], "ReplyTo": [], "Subject": "Grün", "Created": created,
        "Username": "", "Tags": ["news", "Urgent"], "Size": MAIL.len(), "Attachments": 2, "Snippet": "Hello Bob"});
    assert_eq!(one, &expected);
}

#[test]
fn a_message_has_its_texts_and_parts_and_is_read_then() {
    let plane = plane(Config::default());
    send(plane.smtp(), "bob@example.com", MAIL);
    let one = plane.json("/api/v1/message/latest");
    let id = one["ID"].as_str().expect("an id");
    assert_eq!(plane.json(&format!("/api/v1/message/{id}")), one);
    assert_eq!((&one["ReturnPath"], &one["Read"]), (&json!("ann@example.com"), &json!(true)));
    assert_eq!(
        (one["Text"].as_str().map(str::trim), one["Subject"].as_str()),
        (Some("Hello Bob"), Some("Grün"))
    );
    let links = json!(["mailto:u@example.com", "https://a.example/u"]);
    assert_eq!((&one["ListUnsubscribe"]["Links"], &one["ListUnsubscribe"]["Errors"]), (&links, &json!("")));
    let inline = &one["Inline"][0];
    assert_eq!(
        (&inline["ContentID"], &inline["FileName"], &inline["Size"]),
        (&json!("logo@x"), &json!("logo@x"), &json!(8))
    );
    assert_eq!(inline["Checksums"]["MD5"], "e9dd2797018cad79186e03e8c5aec8dc");
    assert_eq!(one["Attachments"][0]["FileName"], "evil.html");
    let list = plane.json("/api/v1/messages");
    assert_eq!((&list["messages"][0]["Read"], &list["unread"]), (&json!(true), &json!(0)));
    // A part is never shown as a page of this origin.
    let part = one["Attachments"][0]["PartID"].as_str().expect("a part");
    let part = plane.get(&format!("/api/v1/message/{id}/part/{part}"));
    assert_eq!(part.header("content-disposition"), Some("attachment; filename*=UTF-8''evil.html"));
    assert_eq!(part.header("x-content-type-options"), Some("nosniff"));
    for target in
        ["/api/v1/message/none", "/api/v1/message/aaaaaaaax1x1", &format!("/api/v1/message/{id}/part/9")]
    {
        assert_eq!(plane.get(target).status, 404, "{target}");
    }
}

#[test]
fn headers_and_source_have_what_mailpit_adds() {
    let plane = plane(Config::default());
    send(plane.smtp(), "hidden@example.com", MAIL);
    let headers = plane.json("/api/v1/message/latest/headers");
    assert_eq!(headers["Message-Id"], json!(["<1@example.com>"]));
    assert_eq!(headers["Return-Path"], json!(["<ann@example.com>"]));
    assert_eq!(headers["Bcc"], json!(["hidden@example.com"]));
    assert_eq!(headers["Received"].as_array().map(Vec::len), Some(1));
    let raw = plane.get("/api/v1/message/latest/raw");
    assert!(raw.text().starts_with("Return-Path: <ann@example.com>\r\nReceived: "), "{}", raw.text());
    assert!(raw.text().ends_with(MAIL) && raw.header("content-disposition").is_none());
    let download = plane.get("/api/v1/message/latest/raw?dl=1");
    assert!(download.header("content-disposition").is_some_and(|value| value.ends_with(".eml")));
}

#[test]
fn views_run_nothing_and_load_nothing_from_elsewhere() {
    let plane = plane(Config::default());
    assert_eq!(plane.get("/view/latest.html").text(), "Message not found");
    send(plane.smtp(), "bob@example.com", MAIL);
    let id = ids(&plane.json("/api/v1/messages")).remove(0);
    let html = plane.get("/view/latest.html");
    let policy = html.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none';") && policy.ends_with("sandbox"), "{policy}");
    let image = format!("<img src=\"/api/v1/message/{id}/part/3\"> <img src=\"cid:none\">");
    assert!(html.text().contains(&image), "{}", html.text());
    assert!(!html.text().contains("target=") && html.text().contains("<a href"), "{}", html.text());
    let embedded = plane.get("/view/latest.html?embed=1").text();
    assert!(embedded.contains("<a target=\"_blank\" rel=\"noreferrer noopener\" href"), "{embedded}");
    for view in [html.text(), embedded] {
        assert!(view.contains("<x-link rel=preconnect") && !view.contains("<link"), "{view}");
    }
    assert_eq!(plane.get(&format!("/view/{id}.txt")).text().trim(), "Hello Bob");
    let latest = plane.get("/view/latest");
    assert_eq!((latest.status, latest.header("location")), (302, Some(&*format!("/view/{id}.html"))));
    send(plane.smtp(), "bob@example.com", "Subject: plain\r\n\r\nonly text\r\n");
    let missing = plane.get("/view/latest.html");
    assert_eq!((missing.status, missing.text().as_str()), (404, "This message does not contain a HTML part"));
    assert_eq!(plane.get("/view/latest.txt?query=subject:gr").text().trim(), "Hello Bob");
}

#[test]
fn lists_and_searches_are_in_pages_of_the_newest_first() {
    let plane = with_mails(&["one", "two", "three"]);
    let list = |target: &str| {
        let list = plane.json(target);
        (
            subjects(&list).join(" "),
            list["count"].as_u64(),
            list["messages_count"].as_u64(),
            list["start"].as_u64(),
        )
    };
    assert_eq!(list("/api/v1/messages?limit=2"), ("three two".to_owned(), Some(2), Some(3), Some(0)));
    assert_eq!(list("/api/v1/messages?start=2&limit=2"), ("one".to_owned(), Some(1), Some(3), Some(2)));
    assert_eq!(list("/api/v1/messages?limit=0").1, Some(3));
    let search = |query: &str| list(&format!("/api/v1/search?query={}", encoded(query))).0;
    assert_eq!(search("subject:t"), "three two");
    assert_eq!(search("\"hello one\""), "one");
    assert_eq!(search("to:nobody"), "");
    assert_eq!(search("addressed:two@example.com"), "two");
    let refused = plane.get("/api/v1/search");
    assert_eq!((refused.status, refused.text().as_str()), (400, "Error: no search query"));
}

#[test]
fn read_marks_are_set_by_id_by_search_and_for_all() {
    let plane = with_mails(&["one", "two", "three"]);
    let unread = || subjects(&plane.json("/api/v1/search?query=is:unread")).join(" ");
    let all = ids(&plane.json("/api/v1/messages"));
    changed(&plane, "PUT", "/api/v1/messages", &json!({"IDs": [all[0]], "Read": true}).to_string());
    assert_eq!(unread(), "two one");
    changed(&plane, "PUT", "/api/v1/messages", r#"{"Search": "subject:two", "Read": true}"#);
    assert_eq!(unread(), "one");
    assert_eq!(subjects(&plane.json("/api/v1/search?query=-is:unread")), ["three", "two"]);
    changed(&plane, "PUT", "/api/v1/messages", "{}");
    assert_eq!(unread(), "three two one");
    assert_eq!(change(&plane, "PUT", "/api/v1/messages", r#"{"Search": "a", "IDs": ["b"]}"#).status, 400);
}

#[test]
fn a_delete_is_of_some_of_what_is_found_or_of_all_and_never_by_mistake() {
    let plane = with_mails(&["one", "two", "three", "four"]);
    let left = || subjects(&plane.json("/api/v1/messages")).join(" ");
    for body in ["{", "[]", "{\"IDs\": \"x\"}", "{\"ID\": [\"x\"]}", "null", "{\"IDs\": [null]}"] {
        assert_eq!(change(&plane, "DELETE", "/api/v1/messages", body).status, 400, "{body}");
    }
    changed(&plane, "DELETE", "/api/v1/messages", r#"{"IDs": ["nothing"]}"#);
    assert_eq!(left(), "four three two one");
    let all = ids(&plane.json("/api/v1/messages"));
    changed(&plane, "DELETE", "/api/v1/messages", &json!({"IDs": [all[0], all[2]]}).to_string());
    assert_eq!(left(), "three one");
    assert_eq!(HttpClient::connect(plane.http).request("DELETE", "/api/v1/search", &[]).status, 400);
    changed(&plane, "DELETE", "/api/v1/search?query=subject:three", "");
    assert_eq!(left(), "one");
    changed(&plane, "DELETE", "/api/v1/messages", "");
    assert_eq!((left().as_str(), plane.server.messages().len()), ("", 0));
    assert_eq!(plane.json("/api/v1/info")["RuntimeStats"]["MessagesDeleted"], 4);
}

#[test]
fn tags_are_set_renamed_removed_and_searched() {
    let plane = with_mails(&["one+Plus", "two"]);
    let found =
        |query: &str| subjects(&plane.json(&format!("/api/v1/search?query={}", encoded(query)))).join(" ");
    assert_eq!(plane.json("/api/v1/tags"), json!(["Plus"]));
    let all = ids(&plane.json("/api/v1/messages"));
    changed(&plane, "PUT", "/api/v1/tags", &json!({"Tags": ["b", "a", "A"], "IDs": [all[0]]}).to_string());
    assert_eq!(plane.json("/api/v1/messages")["messages"][0]["Tags"], json!(["A", "b"]));
    assert_eq!(
        (found("tag:a"), found("is:tagged"), found("-tag:plus")),
        ("two".to_owned(), "two one+Plus".to_owned(), "two".to_owned())
    );
    changed(&plane, "PUT", "/api/v1/tags/b", r#"{"Name": "c d"}"#);
    assert_eq!(plane.json("/api/v1/info")["Tags"], json!({"A": 1, "Plus": 1, "c d": 1}));
    assert_eq!(found("tag:\"c d\""), "two");
    HttpClient::connect(plane.http).request("DELETE", "/api/v1/tags/c%20d", &[]);
    changed(&plane, "PUT", "/api/v1/tags", &json!({"Tags": [], "IDs": [all[1]]}).to_string());
    assert_eq!(plane.json("/api/v1/tags"), json!(["A"]));
    assert_eq!(change(&plane, "PUT", "/api/v1/tags", r#"{"Tags": ["<b>"], "IDs": []}"#).status, 400);
}

#[test]
fn chaos_is_rules_of_its_own() {
    let plane = plane(ruled(Config::default(), &["rcpt id=own to=full@* reply=\"452 full\""]));
    let usual = json!({"Authentication": {"ErrorCode": 535, "Probability": 0}, "Recipient": {"ErrorCode": 451, "Probability": 0},
        "Sender": {"ErrorCode": 451, "Probability": 0}});
    assert_eq!(plane.json("/api/v1/chaos"), usual);
    let set = |body: &str| change(&plane, "PUT", "/api/v1/chaos", body);
    let triggers = set(r#"{"Sender": {"ErrorCode": 450, "Probability": 100}, "Recipient": {"ErrorCode": 550, "Probability": 7}}"#).json_as(200);
    assert_eq!(triggers["Sender"], json!({"ErrorCode": 450, "Probability": 100}));
    assert_eq!(triggers["Recipient"], json!({"ErrorCode": 550, "Probability": 7}));
    assert_eq!(plane.json("/api/v1/chaos"), triggers);
    let rules = || {
        let rules = plane.json("/v1/rules");
        let rules = rules["rules"].as_array().expect("rules").iter();
        rules.map(|rule| rule["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rules(), ["mailpit-chaos-sender", "mailpit-chaos-recipient", "own"]);
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    assert_eq!(client.command("MAIL FROM:<ann@example.com>"), "450 Chaos sender error");
    for wrong in [
        r#"{"Sender": {"ErrorCode": 200, "Probability": 1}}"#,
        r#"{"Sender": {"ErrorCode": 451, "Probability": 101}}"#,
        "{",
        r#"{"Sendr": {}}"#,
    ] {
        assert_eq!(set(wrong).status, 400, "{wrong}");
    }
    assert_eq!(plane.json("/api/v1/chaos"), triggers, "it is unchanged");
    // A rule may be changed as any other: what is in its reply is no chance.
    let target = "/v1/rules/mailpit-chaos-sender";
    change(&plane, "PUT", target, r#""mail reply=\"452 once more, odds=1% \"""#).json_as(200);
    assert_eq!(plane.json("/api/v1/chaos")["Sender"], json!({"ErrorCode": 452, "Probability": 100}));
    assert_eq!(set("{}").json_as(200), usual);
    assert_eq!(rules(), ["own"]);
}

#[test]
fn what_mailpit_asks_of_others_is_refused() {
    let plane = with_mails(&["one"]);
    for what in ["html-check", "link-check", "sa-check", "part/1/thumb"] {
        assert_eq!(plane.get(&format!("/api/v1/message/latest/{what}")).status, 501, "{what}");
    }
    assert_eq!(
        change(&plane, "POST", "/api/v1/message/latest/release", r#"{"To": ["a@example.com"]}"#).status,
        501
    );
    assert_eq!(plane.get("/").status, 200);
    assert_eq!(plane.json("/api/v1/webui")["MessageRelay"]["Enabled"], false);
    let info = plane.json("/api/v1/info");
    assert_eq!(
        (&info["Messages"], &info["Unread"], &info["RuntimeStats"]["SMTPAccepted"]),
        (&json!(1), &json!(1), &json!(1))
    );
}

#[test]
fn a_message_is_filed_without_a_client() {
    let plane = plane(ruled(Config::default(), &["mail reply=\"550 no\""]));
    let draft = json!({"From": {"Email": "ann@example.com", "Name": "Änn"}, "To": [{"Email": "bob@example.com", "Name": "Bob, B."}],
        "Bcc": ["hidden@example.com"], "Subject": "Grüße ".repeat(20).trim(), "Text": ".dot\n", "HTML": "<p>Hällo</p>", "Tags": ["sent"],
        "Headers": {"X-Own": "1"}, "Attachments": [{"Content": "iVBORw0KGgo=", "Filename": "ä.png"},
            {"Content": "data:text/css;base64,cHt9", "Filename": "b", "ContentType": "text/css", "ContentID": "style"}]});
    let sent = change(&plane, "POST", "/api/v1/send", &draft.to_string()).json_as(200);
    let one = plane.json(&format!("/api/v1/message/{}", sent["ID"].as_str().expect("an id")));
    assert_eq!(one["From"], json!({"Name": "Änn", "Address": "ann@example.com"}));
    assert_eq!(
        (&one["To"][0]["Name"], &one["Bcc"][0]["Address"]),
        (&json!("Bob, B."), &json!("hidden@example.com"))
    );
    assert_eq!((&one["Subject"], &one["Tags"]), (&draft["Subject"], &json!(["sent"])));
    assert_eq!((&one["Text"], &one["HTML"]), (&draft["Text"], &draft["HTML"]));
    assert_eq!(
        (&one["Attachments"][0]["FileName"], &one["Attachments"][0]["ContentType"]),
        (&json!("ä.png"), &json!("image/png"))
    );
    assert_eq!((&one["Inline"][0]["ContentID"], &one["Inline"][0]["Size"]), (&json!("style"), &json!(3)));
    let headers = plane.json("/api/v1/message/latest/headers");
    assert_eq!(
        (&headers["X-Own"], &headers["Received"], &headers["Bcc"]),
        (&json!(["1"]), &Value::Null, &json!(["hidden@example.com"]))
    );
    let wrong = [
        json!({"From": {"Email": "a@b\r\nRCPT TO:<c@d>"}, "To": [{"Email": "bob@example.com"}]}),
        json!({"From": {"Email": "ann@example.com"}, "To": [{"Email": "bob@example.com"}], "Headers": {"X": "a\r\nBcc: b@c"}}),
        json!({"From": {"Email": "ann@example.com"}, "To": [{"Email": "bob@example.com"}], "Headers": {"subject": "a"}}),
        json!({"From": {"Email": "ann@example.com"}, "To": [{"Email": "bob@example.com"}], "Headers": {"Content-Transfer-Encoding": "7bit"}}),
        json!({"From": {"Email": "ann@example.com"}, "To": [{"Email": "bob@example.com"}], "Headers": {"X": "a\u{b}b"}}),
        json!({"From": {"Email": "ann@example.com"}, "To": [{"Email": "bob@example.com"}], "Attachments": [{"Content": "!", "Filename": "a"}]}),
        json!({"From": {"Email": "ann@example.com"}}),
        json!({"To": [{"Email": "bob@example.com"}]}),
    ];
    for draft in wrong {
        let refused = change(&plane, "POST", "/api/v1/send", &draft.to_string()).json_as(400);
        assert!(refused["Error"].is_string(), "{draft} {refused}");
    }
    assert_eq!((plane.server.messages().len(), plane.server.stats().messages.accepted), (1, 0));
}

/// The client in Python sends a form, of which Mailpit reads nothing and deletes all messages.
#[test]
fn a_form_deletes_and_marks_what_it_names() {
    let plane = with_mails(&["one", "two"]);
    let all = ids(&plane.json("/api/v1/messages"));
    let form = |method: &str, body: &str| {
        let length = body.len().to_string();
        let mut client = HttpClient::connect(plane.http);
        let fields =
            [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", length.as_str())];
        client.begin(method, "/api/v1/messages", &fields);
        client.send(body);
        client.reply().expect("a reply").status
    };
    assert_eq!(form("PUT", &format!("ids={}&Read=true", all[0])), 200);
    assert_eq!(subjects(&plane.json("/api/v1/search?query=is:read")), ["two"]);
    assert_eq!((form("DELETE", "id=1"), form("DELETE", "ids")), (400, 400));
    assert_eq!(form("DELETE", &format!("ids={}", all[0])), 200);
    assert_eq!(subjects(&plane.json("/api/v1/messages")), ["one"]);
}
