//! Sample records for tests of other modules.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Message;
use crate::records::Endpoint;
use crate::smtp::{Exchange, Protocol, Record, Reply, ServerTag};

/// An accepted mail of session 1.
pub(crate) fn mail(from: &str, to: &[&str], text: &str) -> Message {
    let accepted = |line: String| Exchange::recorded(line.as_bytes(), Reply::new("250 Ok"));
    let record = Record {
        transaction: 1,
        helo_exchange: accepted("EHLO client.example".to_owned()),
        helo: true,
        ehlo: true,
        mailfrom_exchange: accepted(format!("MAIL FROM:<{from}>")),
        mailfrom: true,
        rcptto_exchanges: to.iter().map(|to| Arc::new(accepted(format!("RCPT TO:<{to}>")))).collect(),
        rcptto: true,
        msg_request: Some(Arc::new(text.as_bytes().to_vec())),
        msg_size: text.len(),
        msg: true,
        ..Record::default()
    };
    let nowhere = Endpoint::Inet(([127, 0, 0, 1], 1).into());
    Message {
        record,
        server: ServerTag::default(),
        session_id: 1,
        peer_addr: nowhere.clone(),
        local_addr: nowhere,
        proxied: None,
        protocol: Protocol::Smtp,
        inbox: None,
        tls: None,
        connected_at: SystemTime::UNIX_EPOCH,
        connected: Duration::ZERO,
        accepted_at: None,
    }
}
