//! MailHog's interface, as its clients use it.

use serde_json::json;
use smtpmock::Config;

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, Reply, plane};
use crate::support::server::ruled;

const MAIL: &str = "From: Ann <ann@example.com>\r\nTo: Bob <bob@example.com>\r\nSubject: =?utf-8?Q?Gr=C3=BCn?=\r\nX-Long: one\r\n two\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n\
    --b\r\nContent-Type: text/html; name=evil.html\r\nContent-Disposition: attachment; filename=evil.html\r\n\r\n<b>\r\n--b--\r\n";

fn with_mails(mails: &[(&str, &str)]) -> Plane {
    let plane = plane(Config::default());
    for (to, text) in mails {
        let mut client = Client::greeted(plane.smtp());
        client.ehlo();
        client.transaction("bounce@sender.example", to, text);
    }
    plane
}

fn ask(plane: &Plane, method: &str, target: &str, body: &str) -> Reply {
    HttpClient::connect(plane.http).request_with(method, target, body)
}

#[test]
fn a_list_has_envelope_fields_and_bodies_as_received() {
    let plane = with_mails(&[("bob@example.com", "Subject: first\r\n\r\nhi\r\n"), ("bob@example.com", MAIL)]);
    let list: serde_json::Value = serde_json::from_slice(&plane.get("/api/v2/messages").body).expect("JSON");
    assert_eq!((&list["total"], &list["count"], &list["start"]), (&json!(2), &json!(2), &json!(0)));
    let one = &list["items"][0];
    assert_eq!(
        one["From"],
        json!({"Relays": null, "Mailbox": "bounce", "Domain": "sender.example", "Params": ""})
    );
    assert_eq!(one["To"][0]["Mailbox"], "bob");
    assert_eq!(one["Raw"]["From"], "bounce@sender.example");
    assert_eq!((&one["Raw"]["To"], &one["Raw"]["Data"]), (&json!(["bob@example.com"]), &json!(MAIL)));
    let headers = &one["Content"]["Headers"];
    assert_eq!(headers["Subject"], json!(["=?utf-8?Q?Gr=C3=BCn?="]), "it is not decoded");
    assert_eq!(headers["X-Long"], json!(["one two"]));
    assert!(headers["Received"][0].as_str().is_some_and(|value| value.contains("smtpmock")), "{headers}");
    let parts = one["MIME"]["Parts"].as_array().expect("parts");
    assert_eq!((parts.len(), &parts[0]["Body"]), (2, &json!("SGVsbG8=")));
    assert_eq!(parts[0]["Headers"]["Content-Transfer-Encoding"], json!(["base64"]));
    let plain = &list["items"][1];
    assert_eq!((&plain["MIME"], &plain["Content"]["Body"]), (&json!(null), &json!("hi\r\n")));
    let page = plane.get("/api/v2/messages?start=1&limit=1").text();
    assert!(
        page.contains("\"first\"") && page.starts_with("{\"total\":2,\"count\":1,\"start\":1,"),
        "{page}"
    );
}

#[test]
fn a_search_is_by_sender_recipient_or_content() {
    let plane = with_mails(&[
        ("bob@example.com", "From: Ann <ann@example.com>\r\nSubject: one\r\n\r\nApples\r\n"),
        ("carol@example.com", "From: Dan <dan@example.com>\r\nSubject: two\r\n\r\nPears\r\n"),
    ]);
    let total = |query: &str| plane.json(&format!("/api/v2/search?{query}"))["total"].clone();
    assert_eq!((total("kind=from&query=BOUNCE"), total("kind=from&query=dan%20")), (json!(2), json!(1)));
    assert_eq!((total("kind=to&query=carol@"), total("kind=containing&query=apples")), (json!(1), json!(1)));
    assert_eq!(total("kind=containing&query=Subject:%20two"), json!(1));
    for wrong in ["kind=cc&query=a", "kind=to", "query=a"] {
        assert_eq!(plane.get(&format!("/api/v2/search?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn one_message_is_read_downloaded_and_deleted() {
    let plane = with_mails(&[("bob@example.com", MAIL), ("bob@example.com", "Subject: other\r\n\r\n")]);
    let id = plane.json("/api/v2/search?kind=containing&query=evil")["items"][0]["ID"]
        .as_str()
        .expect("an id")
        .to_owned();
    let target = format!("/api/v1/messages/{id}");
    assert_eq!(plane.json(&target)["ID"], id.as_str());
    let raw = plane.get(&format!("{target}/download"));
    assert!(raw.text().ends_with(MAIL) && raw.header("content-type") == Some("message/rfc822"));
    let part = plane.get(&format!("{target}/mime/part/0/download"));
    assert_eq!((part.text().as_str(), part.header("content-disposition")), ("Hello", Some("attachment")));
    assert_eq!(plane.get(&format!("{target}/mime/part/2/download")).status, 404);
    assert_eq!(ask(&plane, "POST", &format!("{target}/release"), "{}").status, 501);
    assert_eq!(plane.get("/api/v1/messages/none").status, 404);
    // The client for Node.js sends nothing that another sends, and parses any body as JSON.
    let deleted = HttpClient::connect(plane.http).request("DELETE", &target, &[]);
    assert_eq!((deleted.status, deleted.body.len()), (200, 0));
    let all = HttpClient::connect(plane.http).request("DELETE", "/api/v1/messages", &[]);
    assert_eq!((all.status, all.body.len(), plane.server.messages().len()), (200, 0, 0));
}

#[test]
fn jim_is_rules_of_its_own() {
    let plane = plane(ruled(Config::default(), &["rcpt id=own to=full@* reply=\"452 full\""]));
    let jim = || plane.get("/api/v2/jim");
    assert_eq!(jim().status, 404);
    assert_eq!(ask(&plane, "PUT", "/api/v2/jim", "{}").status, 404);
    assert_eq!(ask(&plane, "POST", "/api/v2/jim", "").status, 201);
    let usual = jim().json_as(200);
    assert_eq!((&usual["AcceptChance"], &usual["DisconnectChance"]), (&json!(0.99), &json!(0.005)));
    assert_eq!(ask(&plane, "POST", "/api/v2/jim", "").status, 400, "it is on");
    let certain = r#"{"DisconnectChance": 0, "AcceptChance": 1, "RejectSenderChance": 1, "RejectRecipientChance": 0, "RejectAuthChance": 0}"#;
    assert_eq!(ask(&plane, "PUT", "/api/v2/jim", certain).status, 200);
    let rules = plane.json("/v1/rules");
    assert_eq!(
        (&rules["rules"][0]["id"], &rules["rules"][1]["id"]),
        (&json!("mailhog-jim-sender"), &json!("own"))
    );
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    assert_eq!(client.command("MAIL FROM:<ann@example.com>"), "550 Invalid sender ann@example.com");
    for wrong in [
        r#"{"AcceptChance": 2}"#,
        r#"{"LinkSpeedAffect": 0.1}"#,
        r#"{"LinkSpeedAffect": -5}"#,
        r#"{"LinkSpeedMin": -1e300}"#,
        "[]",
        r#"{"Chance": 1}"#,
    ] {
        assert_eq!(ask(&plane, "PUT", "/api/v2/jim", wrong).status, 400, "{wrong}");
    }
    assert_eq!(HttpClient::connect(plane.http).request("DELETE", "/api/v2/jim", &[]).status, 200);
    assert_eq!((jim().status, &plane.json("/v1/rules")["rules"][0]["id"]), (404, &json!("own")));
}
