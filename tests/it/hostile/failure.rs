//! A shard that panics must not leave an open port. Faults of the server itself cannot be provoked, but a milestone's hook
//! runs on a shard's thread, and may panic.

use smtpmock::{Milestone, ServerFailure, ShardFailure};

use super::bystander::config;
use crate::support::client::Client;
use crate::support::server::{start, until_refused};
use crate::support::waiting::eventually;

#[test]
fn a_shard_that_panics_closes_the_port_and_reports_the_reason() {
    for shards in [1, 2] {
        let server =
            start(config().shards(shards).on_reaching(Milestone::Messages(1), || panic!("a bad hook")));
        let address = server.local_addr();
        let mut bystanders: Vec<_> = (0..10).map(|_| Client::greeted(address)).collect();
        let mut client = Client::with_envelope(address);
        client.data();
        client.send("x\r\n.\r\n");
        eventually("the failure to be known", || server.failure().is_some());
        assert_eq!(server.failure(), Some(ServerFailure::Shard(ShardFailure::Panic("a bad hook".into()))));
        until_refused(address);
        for bystander in &mut bystanders {
            bystander.end();
        }
        let stats = server.stats();
        assert_eq!((stats.messages.accepted, stats.sessions.opened >= 11), (1, true));
        server.stop();
        assert_eq!(server.messages().iter().filter(|message| message.msg()).count(), 1);
    }
}
