//! Calls by hooks that run on a server's own threads: none waits for itself.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use smtpmock::{Config, Milestone, ReconfigureError, Server, ServerFailure, Settings, ShardFailure};

use crate::support::client::Client;
use crate::support::server::{start, until_refused};
use crate::support::waiting::{PATIENCE, eventually};

/// A server whose hook makes a call on it when a message is accepted.
fn calling(call: impl Fn(&Server) + Send + Sync + 'static) -> Arc<OnceLock<Server>> {
    let server = Arc::<OnceLock<Server>>::default();
    let hooked = Arc::clone(&server);
    let config = Config::default().shards(2);
    let config = config.on_reaching(Milestone::Messages(1), move || call(hooked.wait()));
    server.get_or_init(|| start(config));
    server
}

/// Its client stays: the reply may not come.
fn accept_one(server: &Server) -> Client {
    let mut client = Client::with_envelope(server.local_addr());
    client.data();
    client.send("x\r\n.\r\n");
    client
}

#[test]
fn a_hook_that_would_wait_for_its_own_thread_fails_with_what_to_do() {
    type Call = fn(&Server);
    let calls: [(&str, Call); 4] = [
        ("Server::stats", |server| drop(server.stats())),
        ("Server::stop", |server| {
            server.stop();
        }),
        ("Server::stop_within", |server| {
            server.stop_within(Duration::ZERO);
        }),
        ("Server::drain", |server| {
            server.drain();
        }),
    ];
    for (method, call) in calls {
        let server = calling(call);
        let server = server.wait();
        let _client = accept_one(server);
        eventually("the failure to be known", || server.failure().is_some());
        let Some(ServerFailure::Shard(ShardFailure::Panic(reason))) = server.failure() else {
            panic!("a failed shard")
        };
        assert!(
            reason.starts_with(&format!("{method} was called by a hook on a reactor thread")),
            "{reason}"
        );
        assert!(reason.ends_with("let the hook send a message to a thread that makes the call"), "{reason}");
        until_refused(server.local_addr());
        server.stop();
    }
}

#[test]
fn a_hook_may_drop_its_server_which_stops() {
    let server = Arc::<Mutex<Option<Server>>>::default();
    let hooked = Arc::clone(&server);
    let config = Config::default().shards(2);
    let config = config.on_reaching(Milestone::Messages(1), move || drop(hooked.lock().expect("it").take()));
    let running = start(config);
    let address = running.local_addr();
    let mut client = Client::with_envelope(address);
    *server.lock().expect("it") = Some(running);
    client.data();
    client.send("x\r\n.\r\n");
    client.end();
    until_refused(address);
}

#[test]
fn a_hook_may_reconfigure_another_server() {
    let (sender, heard) = mpsc::channel();
    let other = Arc::new(start(Config::default()));
    let reconfigured = Arc::clone(&other);
    let server = calling(move |_| {
        sender.send(reconfigured.reconfigure(Settings::reset)).expect("a listener");
    });
    let _client = accept_one(server.wait());
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Ok(())));
    let mut within = None;
    let outer = other.reconfigure(|settings| {
        within = Some(server.wait().reconfigure(Settings::reset));
        settings
    });
    assert_eq!((outer, within), (Ok(()), Some(Ok(()))));
}

/// A shard that dies closes its mailbox before its failure is known.
#[test]
fn a_reconfiguration_while_a_shard_dies_reports_the_failure() {
    for shards in [1, 2].repeat(10) {
        let (at_hook, hook) = mpsc::channel();
        let (panics, go) = mpsc::channel::<()>();
        let go = Mutex::new(go);
        let config = Config::default().shards(shards).on_reaching(Milestone::Messages(1), move || {
            at_hook.send(()).expect("a listener");
            let _ = go.lock().expect("one hook").recv();
            panic!("a hook that panics");
        });
        let server = start(config);
        let _client = accept_one(&server);
        hook.recv_timeout(PATIENCE).expect("the hook");
        let result = thread::scope(|scope| {
            let reconfiguring = scope.spawn(|| {
                server.reconfigure(|settings| {
                    panics.send(()).expect("the hook waits");
                    settings
                })
            });
            reconfiguring.join().expect("no panic")
        });
        let failure = ServerFailure::Shard(ShardFailure::Panic("a hook that panics".into()));
        assert_eq!(result, Err(ReconfigureError::Failed(failure)), "{shards} shards");
    }
}
