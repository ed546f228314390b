//! Who may ask, as a browser and other clients see it.

use smtpmock::{Config, ControlPlane, HttpSettings, Server, StartError};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use crate::support::http::{HttpClient, plane, plane_with};
use crate::support::server::start;

#[test]
fn a_host_of_another_site_is_misdirected_whatever_is_asked() {
    let plane = plane(Config::default());
    let ask = |method: &str, target: &str, host: &str| {
        HttpClient::connect(plane.http).request(method, target, &[("Host", host)])
    };
    for (method, target) in [
        ("GET", "/v1/messages"),
        ("DELETE", "/v1/messages"),
        ("GET", "/livez"),
        ("OPTIONS", "/v1/messages"),
        ("GET", "/none"),
    ] {
        assert_eq!(ask(method, target, "evil.example").reason(421), "host", "{method} {target}");
    }
    for host in ["localhost", "mock:8025", "app.localhost", "127.0.0.1:1", "[::1]"] {
        assert_eq!(ask("GET", "/v1/messages", host).status, 200, "{host}");
    }
}

#[test]
fn pages_of_other_origins_are_refused_unless_they_are_allowed() {
    let settings = HttpSettings::at("0").allow_origin("http://localhost:3000");
    let plane = plane_with(Config::default(), &settings);
    let ask = |method: &str, origin: &str| {
        HttpClient::connect(plane.http).request(method, "/v1/messages", &[("Origin", origin)])
    };
    assert_eq!(ask("GET", "http://evil.example").reason(403), "origin");
    assert_eq!(ask("DELETE", "null").reason(403), "origin");
    let own = ask("GET", &format!("http://{}", plane.http));
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, None));
    let allowed = ask("GET", "http://localhost:3000");
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(allowed.header("vary"), Some("Origin"));
    let preflight = ask("OPTIONS", "http://localhost:3000");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD, DELETE, OPTIONS"));
    assert_eq!(ask("OPTIONS", "http://evil.example").reason(403), "origin");
}

#[test]
fn credentials_are_needed_for_all_but_the_health_of_the_server() {
    let settings =
        HttpSettings::at("0").auth("ann", "secret").token("t0ken").allow_origin("http://a.example");
    let plane = plane_with(Config::default(), &settings);
    let ask = |target: &str, fields: &[(&str, &str)]| {
        HttpClient::connect(plane.http).request("GET", target, fields)
    };
    for target in ["/livez", "/readyz"] {
        assert_eq!(ask(target, &[]).status, 200, "{target}");
    }
    for target in ["/v1/messages", "/v1/messages/x", "/v1/openapi.json", "/v1/report", "/none"] {
        let refused = ask(target, &[]);
        assert_eq!(refused.reason(401), "credentials", "{target}");
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"smtpmock\", charset=\"UTF-8\""));
    }
    // "ann:secret"
    assert_eq!(ask("/v1/messages", &[("Authorization", "Basic YW5uOnNlY3JldA==")]).status, 200);
    assert_eq!(ask("/v1/messages", &[("Authorization", "Bearer t0ken")]).status, 200);
    assert_eq!(ask("/v1/messages", &[("Authorization", "Bearer token")]).status, 401);
    assert_eq!(ask("/none", &[("Authorization", "Bearer t0ken")]).status, 404);
    // A browser asks without them before it sends them.
    let preflight =
        HttpClient::connect(plane.http).request("OPTIONS", "/v1/messages", &[("Origin", "http://a.example")]);
    assert_eq!(preflight.status, 204);
}

#[test]
fn over_a_unix_socket_any_host_is_accepted_and_the_file_goes_with_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("http.sock");
    let at = HttpSettings::at(format!("unix:{}", path.display()));
    // A file that nobody listens at is replaced.
    drop(UnixListener::bind(&path).expect("a socket"));
    let server = Arc::new(start(Config::default()));
    let plane = ControlPlane::start(&server, &at).expect("a control plane");
    assert_eq!(plane.url(), format!("unix:{}", path.display()));
    let mut client = HttpClient::connect_at(&path);
    assert_eq!(client.request("GET", "/v1/messages", &[("Host", "evil.example")]).status, 200);
    let other = ControlPlane::start(&server, &at);
    assert!(matches!(other, Err(StartError::SocketInUse(..))), "{other:?}");
    drop(plane);
    assert!(!path.exists());
}

#[test]
fn a_server_without_records_has_no_control_plane() {
    let server = Arc::new(Server::start(Config::default().keep_records(false)).expect("a server"));
    match ControlPlane::start(&server, &HttpSettings::at("0")) {
        Err(StartError::Config(error)) => assert_eq!(error.setting, "keep_records"),
        other => panic!("{other:?}"),
    }
}
