//! How a session keeps its record: what is written into it, what erases it, and what completes it.

use super::Session;
use crate::smtp::command::Part;
use crate::smtp::policy::{Keep, Policy, RecordMode};
use crate::smtp::record::{Exchange, Record};
use crate::smtp::session::answer::Answer;

impl Session {
    pub(super) fn note_rcpt(&mut self, policy: &Policy, exchange: Exchange) {
        if policy.keep != Keep::Nothing {
            self.record.push_rcptto(exchange);
        }
    }

    /// With one record per mail transaction, a command that ends a transaction early completes its record.
    pub(super) fn abandon_mail(&mut self, policy: &Policy) {
        if policy.records == RecordMode::Message && self.has_mail {
            self.finish_record(policy);
        }
    }

    /// Completes the record; the next one starts with the same HELO. Where nobody reads records it is the same one.
    pub(super) fn finish_record(&mut self, policy: &Policy) {
        if policy.keep == Keep::Nothing {
            self.record.keep_helo();
            self.has_mail = false;
            return;
        }
        let next = Record {
            helo_exchange: self.record.helo_exchange.clone(),
            helo: self.record.helo,
            ehlo: self.record.ehlo,
            ..Record::default()
        };
        self.finished = Some(Box::new(std::mem::replace(&mut self.record, next)));
        self.has_mail = false;
        self.is_filed = false;
    }

    /// The record has lost its MAIL and RCPTs.
    pub(super) fn forget_mail(&mut self) {
        self.has_mail = false;
        self.transaction_open = false;
        self.recipients = 0;
        self.any_rcpt_accepted = false;
    }
}

/// With one record per mail transaction every RCPT counts: nothing that was accepted is erased.
pub(super) fn keeps_every_rcpt(policy: &Policy) -> bool {
    policy.multiple_rcptto || policy.records == RecordMode::Message
}

pub(super) fn exchange(policy: &Policy, line: &[u8], name: Option<&[u8]>, answer: &Answer<'_>) -> Exchange {
    match policy.keep {
        Keep::Nothing => Exchange::default(),
        Keep::Envelope | Keep::Message => Exchange {
            request: line.into(),
            response: answer.kept_reply(policy),
            number: answer.number,
            name: name.and_then(|name| Part::of(line, name)),
        },
    }
}
