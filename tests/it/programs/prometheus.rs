//! Prometheus, as far as it is installed: its linter, and a server that scrapes a run.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;
use smtpmock::Config;

use super::clients::{note_skipped, output_or_skip};
use crate::support::client::Client;
use crate::support::http::{HttpClient, Plane, encoded, plane};
use crate::support::waiting::until;

fn after_mails(count: usize) -> Plane {
    let plane = plane(Config::default());
    for _ in 0..count {
        let mut client = Client::greeted(plane.smtp());
        client.deliver("Subject: hi\r\n\r\nhello\r\n");
        client.quit();
    }
    plane
}

#[test]
fn promtool_finds_nothing() {
    let plane = after_mails(3);
    let mut promtool = Command::new("promtool");
    let scrape = plane.get("/metrics").text();
    let Some(output) = output_or_skip(promtool.args(["check", "metrics"]), &scrape) else { return };
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!((output.status.code(), printed), (Some(0), [String::new(), String::new()]));
}

/// Ends when the test does.
struct Prometheus(std::process::Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_scrapes_what_the_report_has() {
    let plane = after_mails(3);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "scrape_configs:\n- job_name: smtpmock\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{}']\n",
        plane.http
    );
    fs::write(&config, text).expect("a file");
    // It can't choose a free port and say which.
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={free}"))
        .arg("--log.level=error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = match started {
        Ok(child) => Prometheus(child),
        Err(error) => return note_skipped("prometheus", &error.to_string()),
    };
    until(|| std::net::TcpStream::connect(free));
    let query = |expression: &str| {
        let target = format!("/api/v1/query?query={}", encoded(expression));
        let reply = HttpClient::connect(free).request("GET", &target, &[]);
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let value =
            answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
        value.ok_or(answer)
    };
    until(|| query("smtpmock_messages_total{outcome=\"accepted\"} == 3"));
    let report = plane.json("/v1/report");
    for (expression, metric) in [
        ("smtpmock_service_seconds_bucket{stage=\"mail\",le=\"+Inf\"}", "service.mail"),
        ("sum(smtpmock_service_seconds_count{stage=\"rcpt\"})", "service.rcpt"),
        ("smtpmock_think_seconds_count{stage=\"data\"}", "think.data"),
    ] {
        let found = until(|| query(expression));
        assert_eq!(Some(found), report["metrics"][metric]["count"].as_f64(), "{expression}");
    }
}
