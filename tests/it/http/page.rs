//! The page at `/`, as a browser gets it. What it does within one is tested by `tests/page`.

use std::path::Path;

use smtpmock::{Config, HttpSettings};

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, Reply, plane, plane_with};
use crate::support::server::ruled;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What stands in quotes behind each of these.
fn quoted<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(['"', '\'']).next()).collect()
}

/// All files that the page names, and what they import.
fn files(plane: &Plane) -> Vec<(String, Reply)> {
    let html = plane.get("/");
    let text = html.text();
    let mut names: Vec<String> = ["src=\"", "rel=\"icon\" href=\"", "rel=\"stylesheet\" href=\""]
        .iter()
        .flat_map(|before| quoted(&text, before))
        .map(str::to_owned)
        .collect();
    let mut files = vec![("/".to_owned(), html)];
    while let Some(name) = names.pop() {
        if files.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let reply = plane.get(&name);
        let script = if name.ends_with(".js") { reply.text() } else { String::new() };
        names.extend(quoted(&script, "from './").into_iter().map(|file| format!("/page/{file}")));
        files.push((name, reply));
    }
    files
}

#[test]
fn every_file_is_served_with_its_type_and_the_policy_and_nothing_is_inline() {
    let plane = plane(Config::default());
    let files = files(&plane);
    let assets = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page/assets"));
    // The palette is that of the reports.
    assert_eq!(files.len(), assets.expect("a folder").count() + 1, "each is used");
    for (name, reply) in &files {
        let kind = match name.rsplit_once('.').map_or("html", |(_, kind)| kind) {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{name} is {other}"),
        };
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{name}");
        assert_eq!(reply.header("content-security-policy"), Some(POLICY), "{name}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{name}");
        assert_eq!(reply.header("x-dns-prefetch-control"), Some("off"), "{name}");
        assert_eq!(reply.header("cache-control"), Some("no-cache"), "{name}");
        assert!(!reply.body.is_empty(), "{name}");
        let text = reply.text();
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "@import"] {
            assert!(!text.contains(word), "{name}: {word}");
        }
        let outside = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http://") && !outside.contains("https://"), "{name}");
    }
    let html = files[0].1.text();
    assert!(!html.contains("<style") && !html.contains("style=") && !html.contains("onclick"));
    assert_eq!(html.matches("<script").count(), html.matches("<script type=\"module\" src=\"").count());
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let plane = plane(Config::default());
    let mut client = HttpClient::connect(plane.http);
    let first = client.request("GET", "/page/main.js", &[]);
    let tag = first.header("etag").expect("a tag").to_owned();
    let again = client.request("GET", "/page/main.js", &[("If-None-Match", &format!("\"x\", W/{tag}"))]);
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(&*tag)));
    assert_eq!(client.request("GET", "/page/main.js", &[("If-None-Match", "\"x\"")]).status, 200);
    assert_eq!(client.request("GET", "/page/none.js", &[]).reason(404), "no_such_path");
    let head = client.request("HEAD", "/", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn the_guard_applies_to_the_page() {
    let closed = plane_with(Config::default(), &HttpSettings::at("0").auth("ann", "secret"));
    for (host, status) in [("evil.example", 421), ("localhost", 401)] {
        for target in ["/", "/page/main.js"] {
            let reply = HttpClient::connect(closed.http).request("GET", target, &[("Host", host)]);
            assert_eq!(reply.status, status, "{target}");
        }
    }
    let reply = HttpClient::connect(closed.http).request("GET", "/", &[]);
    assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")));
    let basic = ("Authorization", "Basic YW5uOnNlY3JldA==");
    assert_eq!(HttpClient::connect(closed.http).request("GET", "/", &[basic]).status, 200);
    // A token is entered in the page.
    let tokened = plane_with(Config::default(), &HttpSettings::at("0").token("t0ken"));
    assert_eq!(tokened.get("/").status, 200);
    assert_eq!(tokened.get("/v1/server").status, 401);
}

const HTML: &str = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<a href=\"https://x.example/\">x</a><img src=\"cid:logo@x\"><img src=\"cid:page@x\">\r\n\
    --b\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n\
    --b\r\nContent-Type: text/html\r\nContent-ID: <page@x>\r\n\r\nno image\r\n--b--\r\n";

#[test]
fn the_html_of_a_mail_is_a_frame_of_itself_that_a_key_opens() {
    let plane = plane(Config::default());
    Client::greeted(plane.smtp()).deliver(HTML);
    let id = plane.json("/v1/messages")["messages"][0]["id"].as_str().expect("an id").to_owned();
    let view = plane.json(&format!("/v1/messages/{id}"))["html_view"].as_str().expect("a path").to_owned();
    assert_eq!(view, format!("/v1/messages/{id}/html"));
    let reply = plane.get(&view);
    assert_eq!(
        reply.text().trim_end(),
        "<a target=\"_blank\" rel=\"noreferrer noopener\" href=\"https://x.example/\">x</a>\
         <img src=\"data:image/png;base64,iVBORw==\"><img src=\"cid:page@x\">"
    );
    let policy = reply.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; ")
            && policy.contains("sandbox")
            && !policy.contains("script")
    );
    Client::greeted(plane.smtp()).deliver("Subject: x\r\n\r\ntext\r\n");
    let plain = plane.json("/v1/messages")["messages"][0]["id"].as_str().expect("an id").to_owned();
    assert!(plane.json(&format!("/v1/messages/{plain}"))["html_view"].is_null());
    assert_eq!(plane.get(&format!("/v1/messages/{plain}/html")).reason(404), "no_html");
}

#[test]
fn a_key_opens_the_view_of_its_own_message_only() {
    let plane = plane_with(Config::default(), &HttpSettings::at("0").token("t0ken"));
    let token = [("Authorization", "Bearer t0ken")];
    let get = |target: &str| HttpClient::connect(plane.http).request("GET", target, &token).json_as(200);
    let mut views = Vec::new();
    for _ in 0..2 {
        Client::greeted(plane.smtp()).deliver(HTML);
        let id = get("/v1/messages")["messages"][0]["id"].as_str().expect("an id").to_owned();
        let view = get(&format!("/v1/messages/{id}"))["html_view"].as_str().expect("a path").to_owned();
        views.push((id, view));
    }
    let key = |view: &str| view.split("?key=").nth(1).expect("a key").to_owned();
    assert_eq!(plane.get(&views[0].1).status, 200);
    for (id, key) in [
        (&views[1].0, key(&views[0].1)),
        (&views[0].0, String::new()),
        (&views[0].0, "0".repeat(32)),
        (&"none".to_owned(), key(&views[0].1)),
    ] {
        assert_eq!(plane.get(&format!("/v1/messages/{id}/html?key={key}")).status, 401, "{id} {key}");
    }
    assert_eq!(plane.get(&format!("/v1/messages/{}?key={}", views[0].0, key(&views[0].1))).status, 401);
}

#[test]
fn the_server_describes_itself_as_it_is_now() {
    let config = ruled(Config::default(), &["rcpt id=full to=full@* reply=\"452 4.2.2 full\""]);
    let plane = plane_with(
        config,
        &HttpSettings::at("0").effective(vec![("port".into(), "0".into()), ("rule".into(), "old".into())]),
    );
    let patch =
        |body: &str| HttpClient::connect(plane.http).request_with("PATCH", "/v1/settings", body).json_as(200);
    patch("{\"session_timeout\": \"5s\", \"not_registered_emails\": [\"a@x.example\", \"b@x.example\"]}");
    let server = plane.json("/v1/server");
    assert_eq!(server["listeners"][0]["address"], plane.smtp().to_string());
    assert_eq!((&server["paused"], &server["serving"]), (&false.into(), &true.into()));
    let command: Vec<&str> =
        server["command"].as_array().expect("a list").iter().filter_map(|text| text.as_str()).collect();
    let seed = format!("--seed={}", server["seed"].as_str().expect("a text"));
    assert_eq!(command[..3], ["smtpmock", "--port=0", &*seed]);
    for argument in [
        "--session-timeout=5s",
        "--rule=rcpt id=full to=full@* reply=\"452 4.2.2 full\"",
        "--not-registered-emails=a@x.example",
    ] {
        assert!(command.contains(&argument), "{argument}: {command:?}");
    }
    assert!(!command.contains(&"--rule=old"));
}
