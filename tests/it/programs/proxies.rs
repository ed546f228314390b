//! Real proxies, and clients that speak for others, as far as they are installed: HAProxy, swaks and curl.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use smtpmock::{Config, Endpoint, Server};

use super::clients::{note_skipped, run_or_skip};
use crate::support::client::{Client, MESSAGE};
use crate::support::figures::once;
use crate::support::server::start;
use crate::support::waiting::{PATIENCE, eventually};

/// A server whose connections are those of proxies on this machine.
fn proxied() -> Server {
    let config = Config::default().listen("smtp://127.0.0.1?proxy=require");
    start(config.esmtp().trust(IpAddr::from(Ipv4Addr::LOCALHOST)))
}

/// A HAProxy that is killed when dropped.
struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy_names_its_clients_in_both_versions() {
    let server = proxied();
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = folder.path().join("haproxy.cfg");
    // An address of this process alone: any port of it is free.
    let [.., high, low] = std::process::id().to_be_bytes();
    let frontends = [
        ("send-proxy", 2501),
        ("send-proxy-v2", 2502),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", 2503),
    ]
    .map(|(option, port)| (option, SocketAddr::from(([127, 77, high, low], port))));
    let mut text =
        "defaults\n mode tcp\n timeout connect 60s\n timeout client 60s\n timeout server 60s\n".to_owned();
    for (option, address) in &frontends {
        let (port, target) = (address.port(), server.local_addr());
        text += &format!(
            "listen l{port}\n bind {address}\n unique-id-format %pid\n server mock {target} {option}\n"
        );
    }
    fs::write(&configuration, text).expect("room");
    let child =
        Command::new("haproxy").args(["-db", "-q", "-f"]).arg(&configuration).stdin(Stdio::null()).spawn();
    let mut haproxy = match child {
        Ok(child) => Haproxy(child),
        Err(error) => return note_skipped("haproxy", &error.to_string()),
    };
    let mut sent = 0;
    for (option, address) in frontends {
        eventually("HAProxy to listen", || {
            let ended = haproxy.0.try_wait().expect("a child");
            assert!(ended.is_none(), "haproxy: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        let mut client = Client::connect(address);
        assert_eq!(client.reply(), "220 Welcome", "{option}");
        client.expect("HELO client.example", "250 Received");
        let reply = client.transaction("ann@example.com", "bob@example.com", MESSAGE);
        assert_eq!(reply, "250 Received");
        let own = Endpoint::from(client.local_addr());
        client.quit();
        sent += 1;
        let record = server.wait_for_messages(sent, PATIENCE).expect("a message").pop().expect("one");
        assert_eq!((record.peer_addr(), record.local_addr()), (&own, &address.into()), "{option}");
        let proxy = record.proxy_addr().and_then(Endpoint::ip);
        assert_eq!(proxy, Some(Ipv4Addr::LOCALHOST.into()), "{option}");
    }
    let stats = once(&server, |stats| stats.sessions.quit == 3);
    assert_eq!((stats.proxy.malformed, stats.proxy.late, stats.proxy.untrusted), (0, 0, 0));
}

#[test]
fn swaks_names_a_client_by_a_header_or_by_xclient() {
    let server = proxied();
    let address = server.local_addr().to_string();
    let common = [
        "--server",
        &address,
        "--helo",
        "client.example",
        "--from",
        "a@example.com",
        "--to",
        "b@example.com",
    ];
    let header = |version: &'static str| {
        let words = ["--proxy-version", version, "--proxy-family", "TCP4", "--proxy-source", "192.0.2.7"];
        let more = ["--proxy-source-port", "4711", "--proxy-dest", "198.51.100.1", "--proxy-dest-port", "25"];
        let binary: &[&str] =
            &["--proxy-family", "AF_INET", "--proxy-protocol", "STREAM", "--proxy-command", "PROXY"];
        [&words[..], &more, if version == "2" { binary } else { &[] }].concat()
    };
    for (nth, version) in ["1", "2"].into_iter().enumerate() {
        if run_or_skip("swaks", &[&common[..], &header(version)].concat(), "").is_none() {
            return;
        }
        let record = server.wait_for_messages(nth + 1, PATIENCE).expect("a message").pop().expect("one");
        assert_eq!(record.peer_addr().to_string(), "192.0.2.7:4711", "version {version}");
        assert_eq!(record.local_addr().to_string(), "198.51.100.1:25", "version {version}");
    }
    let direct = start(Config::default().esmtp().trust(IpAddr::from(Ipv4Addr::LOCALHOST)));
    let address = direct.local_addr().to_string();
    let xclient = ["--xclient-addr", "192.0.2.7", "--xclient-name", "mx.example", "--xclient-port", "4711"];
    let more = ["--xclient-login", "ann+work", "--xclient-helo", "there.example"];
    let common = [&["--server", &address], &common[2..]].concat();
    run_or_skip("swaks", &[&common[..], &xclient, &more].concat(), "");
    let record = direct.wait_for_messages(1, PATIENCE).expect("a message").remove(0);
    assert_eq!(record.peer_addr().to_string(), "192.0.2.7:4711");
    let client = record.client().expect("XCLIENT");
    assert_eq!((client.name(), client.login()), (Some(&b"mx.example"[..]), Some(&b"ann+work"[..])));
    assert_eq!(record.helo_name().as_deref(), Some("client.example"));
}

#[test]
fn curl_sends_a_header_of_its_own_connection() {
    let server = proxied();
    let url = format!("smtp://{}", server.local_addr());
    let arguments = [
        "-sS",
        "--haproxy-protocol",
        &url,
        "--mail-from",
        "a@example.com",
        "--mail-rcpt",
        "b@example.com",
        "-T",
        "-",
    ];
    if run_or_skip("curl", &arguments, "Subject: hi\r\n\r\nHello\r\n").is_none() {
        return;
    }
    let record = server.wait_for_messages(1, PATIENCE).expect("a message").remove(0);
    assert_eq!(record.proxy_addr(), Some(record.peer_addr()), "curl names itself");
    assert_eq!(server.stats().proxy.headers, 1);
}
