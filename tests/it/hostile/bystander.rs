//! A client that continues to deliver mail, whatever others do to the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use smtpmock::{Config, Server};

use crate::support::client::Client;
use crate::support::waiting::PATIENCE;

/// Smallest number of messages that a bystander delivers.
const LEAST: usize = 20;

pub(crate) fn config() -> Config {
    Config::default().session_timeout(PATIENCE)
}

/// A client that delivers one message after the other, sometimes in a new session.
pub(crate) struct Bystander {
    leaves: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Bystander {
    pub(crate) fn at(address: SocketAddr) -> Self {
        let leaves = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&leaves);
        let thread = thread::spawn(move || {
            let mut delivered = 0;
            while delivered < LEAST || !flag.load(Ordering::SeqCst) {
                let mut client = Client::greeted(address);
                for _ in 0..LEAST / 2 {
                    client.deliver(&format!("bystander {delivered}\r\n"));
                    delivered += 1;
                }
                client.quit();
            }
            delivered
        });
        Self { leaves, thread }
    }

    /// Asserts that each of its messages was received once, in order.
    pub(crate) fn leave(self, server: &Server) -> usize {
        self.leaves.store(true, Ordering::SeqCst);
        let delivered = self.thread.join().expect("the bystander was served");
        let texts: Vec<String> = server
            .messages()
            .iter()
            .filter(|message| message.msg() && message.body().starts_with(b"bystander"))
            .map(|message| message.msg_request().trim_end().to_owned())
            .collect();
        assert!(texts.into_iter().eq((0..delivered).map(|number| format!("bystander {number}"))));
        delivered
    }
}
