//! `/v1/pause`, `/v1/resume` and `/v1/stop`: whether connections are accepted, and the end.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use smtpmock::{Config, HttpSettings};

use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, Reply, plane, plane_with};
use crate::support::waiting::eventually;

fn post(plane: &Plane, target: &str) -> Reply {
    HttpClient::connect(plane.http).request("POST", target, &[])
}

#[test]
fn a_paused_server_lets_new_clients_wait_and_open_sessions_go_on() {
    let plane = plane(Config::default().shards(2));
    let mut open = Client::greeted(plane.smtp());
    assert_eq!(plane.json("/readyz")["status"], "ready");
    for _ in 0..2 {
        assert_eq!(post(&plane, "/v1/pause").json_as(200), json!({ "paused": true }));
    }
    assert!(plane.server.is_paused());
    assert_eq!(plane.get("/readyz").reason(503), "paused");
    assert_eq!(plane.json("/livez")["status"], "alive");

    let mut waiting: Vec<_> = (0..8).map(|_| Client::connect(plane.smtp())).collect();
    open.command("HELO client.example");
    assert_eq!(open.transaction("a@a.example", "b@b.example", "Hello\r\n"), "250 Received");
    // Each shard has had a turn since the clients connected.
    assert_eq!(plane.server.stats().sessions.opened, 1);

    for _ in 0..2 {
        assert_eq!(post(&plane, "/v1/resume").json_as(200), json!({ "paused": false }));
    }
    for client in &mut waiting {
        assert_eq!(client.reply(), "220 Welcome");
        client.command("QUIT");
    }
    assert_eq!(plane.json("/readyz")["status"], "ready");
    assert_eq!(plane.server.stats().sessions.opened, 9);
    // Those that come later are served as ever.
    Client::greeted(plane.smtp()).quit();
}

#[test]
fn a_client_that_left_during_a_pause_is_not_blamed_for_it() {
    let plane = plane(Config::default());
    plane.server.pause().expect("it runs");
    Client::connect(plane.smtp()).leave();
    plane.server.resume().expect("it runs");
    eventually("it is accepted", || plane.server.stats().sessions.left_before_greeting == 1);
}

#[test]
fn a_stop_during_a_pause_greets_and_dismisses_those_that_wait() {
    let plane = plane(Config::default());
    assert_eq!(post(&plane, "/v1/pause").status, 200);
    let mut waiting = Client::connect(plane.smtp());
    assert_eq!(post(&plane, "/v1/stop").json_as(202), json!({ "stopping": true }));
    assert_eq!(waiting.rest(), "220 Welcome\r\n421 Service closing transmission channel\r\n");
    plane.server.stop();
    assert_eq!(plane.get("/readyz").reason(503), "not_ready");
    assert_eq!(post(&plane, "/v1/pause").reason(503), "not_serving");
}

#[test]
fn a_stop_has_the_timeout_of_the_request_and_is_handed_to_the_hook() {
    let (sender, stopped) = mpsc::channel();
    let settings =
        HttpSettings::at("0").on_stop(move |timeout| sender.send(timeout).expect("it is received"));
    let plane = plane_with(Config::default().shutdown_timeout(Duration::from_secs(3600)), &settings);
    let mut client = Client::with_envelope(plane.smtp());
    for (target, at) in [("/v1/stop?timeout=soon", "timeout"), ("/v1/stop?time=1s", "time")] {
        assert_eq!(post(&plane, target).json_as(400)["error"]["at"], at);
    }
    assert!(stopped.try_recv().is_err());
    assert_eq!(post(&plane, "/v1/stop?timeout=0s").status, 202);
    assert_eq!(stopped.recv(), Ok(Some(Duration::ZERO)));
    assert_eq!(client.rest(), "421 Service closing transmission channel\r\n");
}
