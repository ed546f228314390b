//! `--compat mailpit`: in the place of Mailpit, as containers start it.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::http::HttpClient;
use crate::support::process::{Ended, Process};
use crate::support::program::{command, run, start_command};

/// Ports that are free, and these variables.
fn start(variables: &[(&str, &str)]) -> Process {
    let mut command = command(["--compat", "mailpit", "--port=0", "--http=0"]);
    start_command(command.envs(variables.iter().copied()))
}

/// Where it listens, on this machine.
fn address(process: &Process, kind: &str) -> SocketAddr {
    let ready: Value = serde_json::from_str(&process.ready_line).expect("JSON");
    let port = ready[kind][0].as_str().and_then(|text| text.rsplit(':').next()?.parse().ok());
    ([127, 0, 0, 1], port.expect("a port")).into()
}

/// All addresses of this machine.
fn everywhere() -> &'static str {
    if std::net::TcpListener::bind("[::]:0").is_ok() { "[::]" } else { "0.0.0.0" }
}

/// As Mailpit, whose library takes `0.0.0.0` and no host for all addresses. A client that looks up `localhost` may try either.
#[test]
fn clients_of_ipv4_and_of_ipv6_are_served() {
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let loopbacks = ["127.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
    for variables in [
        &[][..],
        &[("MP_SMTP_BIND_ADDR", ":0"), ("MP_UI_BIND_ADDR", ":0")],
        &[("MP_SMTP_BIND_ADDR", "0.0.0.0:0"), ("MP_UI_BIND_ADDR", "0.0.0.0:0")],
        &[("MP_SMTP_BIND_ADDR", "[::]:0"), ("MP_UI_BIND_ADDR", "[::]:0")],
    ] {
        let arguments = ["--compat", "mailpit", "--port=0"];
        let http = variables.is_empty().then(|| format!("--http={}:0", everywhere()));
        let mut command = command(arguments.into_iter().map(str::to_owned).chain(http));
        let server = start_command(command.envs(variables.iter().copied()));
        for ip in loopbacks.into_iter().filter(|ip| ip.is_ipv4() || has_ipv6) {
            let at = |kind| SocketAddr::new(ip, address(&server, kind).port());
            assert_eq!(Client::connect(at("smtp")).reply(), "220 localhost Mailpit ESMTP Service ready");
            assert_eq!(HttpClient::connect(at("http")).request("GET", "/livez", &[]).status, 200);
        }
    }
}

/// All lines of the reply to EHLO.
fn ehlo(client: &mut Client) -> Vec<String> {
    let mut lines = vec![client.command("EHLO me.example")];
    while lines.last().is_some_and(|line| line.starts_with("250-")) {
        lines.push(client.reply());
    }
    lines.iter().map(|line| line[4..].to_owned()).collect()
}

#[test]
fn it_prints_and_answers_what_containers_and_senders_expect() {
    let server = start(&[]);
    let smtp = address(&server, "smtp");
    let mut client = Client::connect(smtp);
    assert_eq!(client.reply(), "220 localhost Mailpit ESMTP Service ready");
    let offered = ehlo(&mut client);
    assert_eq!(offered[0], "localhost greets me.example");
    for keyword in ["SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"] {
        assert!(offered.iter().any(|line| line == keyword), "{keyword} in {offered:?}");
    }
    assert_eq!(offered.len(), 5, "{offered:?}");
    assert_eq!(client.command("MAIL FROM:<ann@example.com>"), "250 2.1.0 Ok");
    assert_eq!(client.command("RCPT TO:<bob@example.com>"), "250 2.1.5 Ok");
    client.command("DATA");
    let queued = client.command("Subject: hi\r\n\r\nHello\r\n.");
    let id = queued.strip_prefix("250 2.0.0 Ok: queued as ").expect("its id");
    assert!(id.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{id}");
    let one =
        HttpClient::connect(address(&server, "http")).request("GET", &format!("/api/v1/message/{id}"), &[]);
    assert_eq!(one.json_as(200)["ID"], id);
    let printed = server.stopped();
    let line = printed
        .stdout
        .lines()
        .find(|line| line.contains("accessible via"))
        .expect("the line that is waited for");
    let (front, behind) = line.split_once("level=info").expect("a level");
    assert!(
        front.starts_with("time=\"20")
            && behind.starts_with(" msg=\"[http] accessible via http://localhost:"),
        "{line}"
    );
}

#[test]
fn variables_of_mailpit_are_settings_and_others_are_warned_of() {
    let server = start(&[
        ("MP_SMTP_AUTH", "ann:secret bob:pw"),
        ("MP_SMTP_AUTH_ALLOW_INSECURE", "true"),
        ("MP_MAX_MESSAGES", "1"),
        ("MP_UI_AUTH", "ui:pass"),
        ("MP_CHAOS_TRIGGERS", "Recipient:451:100"),
        ("MP_VERBOSE", "true"),
        ("MP_WEBROOT", "/mail"),
    ]);
    let mut client = Client::connect(address(&server, "smtp"));
    client.reply();
    let offered = ehlo(&mut client);
    assert!(offered.iter().any(|line| line == "AUTH PLAIN LOGIN"), "{offered:?}");
    assert!(client.command("MAIL FROM:<ann@example.com>").starts_with("530 "));
    assert!(client.command("AUTH PLAIN AGFubgBzZWNyZXQ=").starts_with("235 "));
    assert_eq!(client.command("MAIL FROM:<ann@example.com>"), "250 2.1.0 Ok");
    assert_eq!(client.command("RCPT TO:<bob@example.com>"), "451 Chaos recipient error");
    let http = address(&server, "http");
    assert_eq!(HttpClient::connect(http).request("GET", "/api/v1/messages", &[]).status, 401);
    let credentials = [("Authorization", "Basic dWk6cGFzcw==")];
    let chaos = HttpClient::connect(http).request("GET", "/api/v1/chaos", &credentials).json_as(200);
    assert_eq!(chaos["Recipient"], json!({ "ErrorCode": 451, "Probability": 100 }));
    assert_eq!(chaos["Sender"]["Probability"], 0);
    assert_eq!(HttpClient::connect(http).request("GET", "/readyz", &[]).status, 200);
    let printed = server.stopped();
    let warnings: Vec<_> = printed.stderr.lines().filter(|line| line.contains("warning")).collect();
    assert!(matches!(warnings[..], [only] if only.contains("MP_WEBROOT")), "{warnings:?}");
}

#[test]
fn arguments_override_what_it_stands_for_and_without_it_nothing_is_read() {
    let mut with = command(["--compat=mailpit", "--msg-greeting=220 own", "--print-config"]);
    let printed = Ended::of(with.env("MP_SMTP_BIND_ADDR", "127.0.0.1:2525")).stdout;
    assert!(
        printed.contains("msg-greeting = \"220 own\"")
            && printed.contains(&format!("http = \"{}:8025\"", everywhere())),
        "{printed}"
    );
    assert!(printed.contains("host = [\"127.0.0.1:2525\"]"), "{printed}");
    let mut without = command(["--print-config"]);
    let printed = Ended::of(without.env("MP_SMTP_BIND_ADDR", "127.0.0.1:2525")).stdout;
    assert!(!printed.contains("2525"), "{printed}");
    assert!(run(["--compat=mailhog"]).stderr.contains("mailpit"));
}

/// A listener in clear beside the one under TLS would take mail that Mailpit refuses.
#[test]
fn required_tls_is_of_the_only_listener_at_the_address_that_is_set() {
    let everywhere = format!("smtps://{}:1025", everywhere());
    for (variables, listener) in [
        (&[("MP_SMTP_REQUIRE_TLS", "true")][..], &*everywhere),
        (&[("MP_SMTP_BIND_ADDR", "127.0.0.1:2599"), ("MP_SMTP_REQUIRE_TLS", "1")], "smtps://127.0.0.1:2599"),
        (&[("MP_SMTP_REQUIRE_TLS", "on"), ("MP_SMTP_BIND_ADDR", "0.0.0.0:1025")], &*everywhere),
        (&[("MP_SMTP_REQUIRE_TLS", "true"), ("MP_SMTP_BIND_ADDR", "unix:/s:0600")], "smtps+unix:///s"),
    ] {
        let mut command = command(["--compat=mailpit", "--print-config"]);
        command.env("MP_SMTP_TLS_CERT", "sans:localhost").envs(variables.iter().copied());
        let printed = Ended::of(&mut command).stdout;
        assert!(printed.contains(&format!("\"{listener}\"")) && !printed.contains("smtp://"), "{printed}");
        assert!(
            !printed.lines().any(|line| line.starts_with("host =") || line.starts_with("port =")),
            "{printed}"
        );
    }
    let unix = ("MP_SMTP_BIND_ADDR", "unix:/s:0600");
    let printed = Ended::of(command(["--compat=mailpit", "--print-config"]).env(unix.0, unix.1)).stdout;
    assert!(printed.contains("\"smtp+unix:///s\""), "{printed}");
    let free = &[("MP_SMTP_REQUIRE_TLS", "true"), ("MP_SMTP_BIND_ADDR", "127.0.0.1:0")];
    let mut command = command(["--compat=mailpit", "--http=0"]);
    let server = start_command(command.env("MP_SMTP_TLS_CERT", "sans:localhost").envs(free.iter().copied()));
    let ready: Value = serde_json::from_str(&server.ready_line).expect("JSON");
    assert_eq!(
        (ready["smtp"].as_array().map_or(0, Vec::len), ready["smtps"].as_array().map_or(0, Vec::len)),
        (0, 1)
    );
    server.stopped();
}
