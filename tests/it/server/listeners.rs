//! Listeners by URL: Unix sockets, what they leave behind, and who their clients are to rules and records.

use std::fs;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use smtpmock::smtp::{ReplyKind, Stage};
use smtpmock::{Config, Endpoint, OverLimit, Protocol, Server, StartError};
use tempfile::TempDir;

use crate::support::client::{Client, End, MESSAGE};
use crate::support::figures::once;
use crate::support::logger::{Recorder, To};
use crate::support::server::{ruled, start};
use crate::support::waiting::{PATIENCE, eventually};

/// Sessions of a test in which shards share a socket.
const SESSIONS: u64 = 64;

/// A folder, and the path of a socket in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mock.sock");
    (folder, path)
}

fn url(path: &Path) -> String {
    format!("smtp+unix://{}", path.display())
}

fn at(path: &Path) -> Config {
    Config::default().listen(url(path))
}

#[test]
fn a_mail_arrives_over_a_unix_socket_and_the_record_says_so() {
    let (_folder, path) = place();
    let log = Recorder::default();
    let server = start(at(&path).logger(To(log.clone())));
    let [listening] = server.listeners() else { panic!("one listener: {server:?}") };
    assert_eq!(listening.protocol, Protocol::Smtp);
    assert_eq!(listening.endpoint, Endpoint::Unix(Some(path.as_path().into())));
    assert_eq!(server.local_addrs(), []);
    let mut client = Client::greeted_at(&path);
    client.deliver(MESSAGE);
    client.quit();
    let message = server.wait_for_messages(1, PATIENCE).expect("a message").remove(0);
    assert_eq!(message.peer_addr(), &Endpoint::Unix(None));
    let content = String::from_utf8(message.content()).expect("UTF-8");
    let received = "Received: from client.example (unix socket)\r\n\tby smtpmock (unix socket) with ESMTP id";
    assert!(content.contains(&format!("{received} {}\r\n", message.id())), "{content}");
    server.stop();
    assert_eq!(log.lines()[0], format!("INFO: SMTP mock server started on unix:{}", path.display()));
}

#[test]
fn a_client_whose_socket_has_a_path_is_recorded_with_it() {
    let (folder, path) = place();
    let server = start(at(&path));
    let own = folder.path().join("client.sock");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&socket2::SockAddr::unix(&own).expect("short")).expect("a free path");
    socket.connect(&socket2::SockAddr::unix(&path).expect("short")).expect("a listener");
    let mail =
        b"HELO a.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nhi\r\n.\r\n";
    assert_eq!(socket.send(mail).expect("room"), mail.len());
    let message = server.wait_for_messages(1, PATIENCE).expect("a message").remove(0);
    assert_eq!(message.peer_addr().to_string(), format!("unix:{}", own.display()));
}

#[test]
fn shards_share_a_unix_socket_and_count_each_session_once() {
    let (_folder, path) = place();
    let server = start(at(&path).shards(2));
    let mut sent = 0;
    // The kernel wakes both, and the faster one accepts: each is that at some time.
    while sent == 0 || server.stats().sessions_by_shard.contains(&0) {
        thread::scope(|scope| {
            for _ in 0..SESSIONS {
                scope.spawn(|| {
                    let mut client = Client::greeted_at(&path);
                    client.deliver(MESSAGE);
                    client.quit();
                });
            }
        });
        sent += SESSIONS;
        assert!(sent < 1000 * SESSIONS, "one shard accepts all: {:?}", server.stats().sessions_by_shard);
    }
    let messages = usize::try_from(sent).expect("few");
    assert_eq!(server.wait_for_messages(messages, PATIENCE).expect("all").len(), messages);
    let stats = once(&server, |stats| stats.sessions.closed == sent);
    assert_eq!((stats.sessions.opened, stats.sessions.quit), (sent, sent));
    assert_eq!(stats.sessions_by_shard.iter().sum::<u64>(), sent);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn a_socket_that_nobody_listens_at_is_replaced_and_the_file_goes_with_the_server() {
    let (_folder, path) = place();
    drop(UnixListener::bind(&path).expect("a free path"));
    assert!(path.exists(), "a stale socket");
    for shards in [1, 3] {
        let server = start(at(&path).shards(shards));
        Client::greeted_at(&path).quit();
        server.stop();
        assert!(!path.exists(), "{shards} shards");
    }
}

#[test]
fn a_socket_that_a_process_listens_at_is_refused_and_goes_on() {
    let (_folder, path) = place();
    let server = start(at(&path));
    match Server::start(at(&path)) {
        Err(StartError::SocketInUse(refused, Some(number))) => {
            assert_eq!((refused, number), (path.clone(), i32::try_from(process::id()).expect("a process")));
        }
        other => panic!("{other:?}"),
    }
    Client::greeted_at(&path).quit();
    drop(server);
    // One whose queue is full can't be connected to, and is somebody's all the same.
    let full = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&socket2::SockAddr::unix(&path).expect("short")).expect("a free path");
    full.listen(0).expect("it listens");
    let _waiting = UnixStream::connect(&path).expect("room for one");
    assert!(matches!(Server::start(at(&path)), Err(StartError::SocketInUse(..))));
    assert!(path.exists());
}

/// One that has bound its socket and does not listen yet was taken for a stale one.
#[test]
fn of_servers_that_start_together_one_has_the_socket() {
    let (_folder, path) = place();
    for _ in 0..20 {
        drop(UnixListener::bind(&path).expect("a free path"));
        let started = thread::scope(|scope| {
            let starts = [(); 8].map(|()| scope.spawn(|| Server::start(at(&path))));
            starts.map(|start| start.join().expect("a start"))
        });
        let (won, lost): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "{lost:?}");
        assert!(lost.iter().all(|start| matches!(start, Err(StartError::SocketInUse(..)))), "{lost:?}");
        Client::greeted_at(&path).quit();
    }
}

#[test]
fn what_is_no_socket_is_not_replaced() {
    let (folder, path) = place();
    fs::write(&path, "mine").expect("writable");
    let error = Server::start(at(&path)).expect_err("a file");
    assert!(matches!(&error, StartError::NotASocket(refused) if *refused == path), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("readable"), "mine");
    // A link to a socket is somebody's decision too.
    let (target, link) = (folder.path().join("target.sock"), folder.path().join("link.sock"));
    drop(UnixListener::bind(&target).expect("a free path"));
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    assert!(matches!(Server::start(at(&link)), Err(StartError::NotASocket(_))));
    let error = Server::start(at(&folder.path().join("none/mock.sock"))).expect_err("no folder");
    assert!(matches!(error, StartError::BadSocket(..)), "{error}");
}

#[test]
fn the_mode_of_the_socket_is_that_of_the_url() {
    let (_folder, path) = place();
    for mode in [0o666, 0o600, 0o777] {
        let server = start(Config::default().listen(format!("{}?mode={mode:04o}", url(&path))));
        let metadata = fs::symlink_metadata(&path).expect("a file");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o7777, mode);
        drop(server);
    }
}

#[test]
fn the_file_of_a_start_that_fails_is_removed_and_that_of_another_server_is_not() {
    let (_folder, path) = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let error = Server::start(at(&path).listen(format!("smtp://127.0.0.1:{port}"))).expect_err("in use");
    assert!(matches!(error, StartError::AddressInUse(_)), "{error}");
    assert!(!path.exists());
    let server = start(at(&path));
    fs::remove_file(&path).expect("removable");
    let other = start(at(&path));
    server.stop();
    Client::greeted_at(&path).quit();
    drop(other);
    assert!(!path.exists());
}

#[test]
fn one_server_listens_at_all_of_its_urls() {
    let (_folder, path) = place();
    let config = at(&path).listen("smtp://127.0.0.1").listen("smtp://127.0.0.2").port(0);
    let server = start(config);
    let places: Vec<String> = server.listeners().iter().map(|found| found.endpoint.to_string()).collect();
    let tcp: Vec<String> = server.local_addrs().iter().map(ToString::to_string).collect();
    assert_eq!(tcp.len(), 3);
    let socket = format!("unix:{}", path.display());
    assert_eq!(places, [tcp[0].clone(), socket, tcp[1].clone(), tcp[2].clone()]);
    assert!(tcp[1].starts_with("127.0.0.1:") && tcp[2].starts_with("127.0.0.2:"), "{tcp:?}");
    for address in server.local_addrs() {
        Client::greeted(*address).quit();
    }
    Client::greeted_at(&path).quit();
}

#[test]
fn a_unix_client_is_in_no_network_and_all_of_them_have_one_address() {
    let (_folder, path) = place();
    let rules = [
        "noop ip=0.0.0.0/0 reply=\"250 v4\"",
        "noop ip=::/0 reply=\"250 v6\"",
        "rset per=ip times=2 reply=\"250 ours\"",
    ];
    let server = start(ruled(at(&path).port(0).max_sessions_per_ip(2), &rules));
    let mut clients = [(); 2].map(|()| Client::greeted_at(&path));
    for client in &mut clients {
        client.ehlo();
        client.expect("NOOP", "250 Ok");
        client.expect("RSET", "250 ours");
    }
    clients[0].expect("RSET", "250 Ok");
    let mut refused = Client::connect_at(&path);
    let (reply, end) = refused.end();
    assert!(reply.starts_with("421 ") && end == End::Fin, "{reply}");
    // Another address.
    let mut other = Client::greeted(server.local_addr());
    other.expect("NOOP", "250 v4");
    other.expect("RSET", "250 ours");
    for client in clients {
        client.quit();
    }
    once(&server, |stats| stats.sessions.closed == 3);
    Client::greeted_at(&path).quit();
}

#[test]
fn unix_clients_share_the_rate_of_an_address() {
    let (_folder, path) = place();
    let server = start(at(&path).rate_limit("1/h per=ip".parse().expect("a limit")));
    let mut client = Client::greeted_at(&path);
    client.ehlo();
    client.mail("ann@example.com");
    let mut other = Client::greeted_at(&path);
    other.ehlo();
    let reply = other.command("MAIL FROM:<ann@example.com>");
    assert!(reply.starts_with("451 "), "{reply}");
    drop(server);
}

#[test]
fn sessions_over_unix_sockets_are_served_by_new_settings() {
    let (_folder, path) = place();
    let server = start(at(&path).shards(2));
    let mut clients: Vec<_> = (0..8).map(|_| Client::greeted_at(&path)).collect();
    clients.iter_mut().for_each(|client| client.expect("NOOP", "250 Ok"));
    server
        .reconfigure(|settings| settings.reply(ReplyKind::NoopReceived, "250 new").max_sessions_per_ip(8))
        .expect("settings that a server takes");
    clients.iter_mut().for_each(|client| client.expect("NOOP", "250 new"));
    let (reply, _) = Client::connect_at(&path).end();
    assert!(reply.starts_with("421 "), "those that were open before are counted: {reply}");
}

/// A read ends behind octets that a descriptor came with, whatever has arrived behind them.
#[test]
fn commands_behind_a_descriptor_are_answered() {
    let (_folder, path) = place();
    let server = start(ruled(at(&path), &["connect delay=200ms"]));
    let stream = UnixStream::connect(&path).expect("a listener");
    let descriptors = [stream.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    // Both arrive while the greeting is held back.
    sendmsg(&stream, &[IoSlice::new(b"NOOP\r\n")], &mut ancillary, SendFlags::empty()).expect("room");
    sendmsg(&stream, &[IoSlice::new(b"QUIT\r\n")], &mut SendAncillaryBuffer::default(), SendFlags::empty())
        .expect("room");
    once(&server, |stats| stats.sessions.quit == 1);
}

#[test]
fn a_stop_lets_clients_of_a_unix_socket_finish() {
    let (_folder, path) = place();
    let server = start(at(&path).shards(2).shutdown_timeout(PATIENCE));
    let mut client = Client::greeted_at(&path);
    client.ehlo();
    client.envelope("ann@example.com", "bob@example.com");
    let mut idle = Client::greeted_at(&path);
    thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop());
        eventually("the file to go", || !path.exists());
        assert!(idle.rest().starts_with("421 "));
        client.message(MESSAGE);
        assert!(client.rest().starts_with("421 "));
        stopping.join().expect("a stop");
    });
    assert_eq!(server.messages().len(), 1);
}

#[test]
fn connections_beyond_the_limit_wait_in_the_queue_of_all_shards() {
    let (_folder, path) = place();
    let config = at(&path).shards(2).max_sessions(1).over_limit(OverLimit::Backlog);
    let server = start(config);
    let first = Client::greeted_at(&path);
    let waiting: Vec<_> = (0..8).map(|_| Client::connect_at(&path)).collect();
    first.quit();
    for mut client in waiting {
        assert_eq!(client.reply(), "220 Welcome");
        client.quit();
    }
    let sessions = once(&server, |stats| stats.sessions.closed == 9).sessions;
    assert_eq!((sessions.quit, sessions.refused, sessions.peak.get()), (9, 0, 1));
}

#[test]
fn faults_of_rules_and_slow_links_are_served_over_a_unix_socket() {
    let (_folder, path) = place();
    let rules = ["noop drop=rst", "rset drop=fin", "helo cut=3"];
    let server = start(ruled(at(&path), &rules));
    // It has nothing unread, and ends like any other.
    for (line, sent) in [("NOOP", ""), ("RSET", ""), ("EHLO a.example", "250")] {
        let mut client = Client::greeted_at(&path);
        client.send(format!("{line}\r\n"));
        assert_eq!(client.end(), (sent.to_owned(), End::Fin), "{line}");
    }
    server
        .reconfigure(|settings| {
            let rate = |text: &str| text.parse().expect("a rate");
            settings.reset().drip(rate("2KiB/s")).read_rate(rate("2KiB/s"))
        })
        .expect("settings that a server takes");
    let mut client = Client::greeted_at(&path);
    client.deliver(&"0123456789\r\n".repeat(100));
    client.quit();
    assert_eq!(server.messages().len(), 1);
}

/// The client reads only when the server can't write any more.
#[test]
fn replies_that_find_no_room_leave_when_there_is_some() {
    const LINES: usize = 50_000;
    let (_folder, path) = place();
    let server = start(at(&path));
    let mut client = Client::greeted_at(&path);
    let mut writer = client.writer();
    thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut writer, "NOOP\r\n".repeat(LINES).as_bytes()));
        // Nothing more is read once replies wait: the count stands still for many looks.
        let (mut before, mut looks) = (0, 0);
        eventually("the server to wait for the client", || {
            let count = server.stats().stages[Stage::Noop].count;
            looks = if count > 0 && count == before { looks + 1 } else { 0 };
            before = count;
            looks == 20
        });
        for _ in 0..LINES {
            assert_eq!(client.reply(), "250 Ok");
        }
    });
    client.quit();
}
