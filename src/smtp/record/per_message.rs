//! One record per mail transaction (RFC 5321 section 3.3), with all its recipients. The end of the transaction
//! completes the record; commands outside of transactions are not recorded.

use crate::smtp::policy::Policy;
use crate::smtp::record::recorder::{Answered, Event, Filing, LastRecord};
use crate::smtp::record::{Record, Unsent};

/// The recorder of [`RecordMode::Message`](crate::smtp::RecordMode::Message).
#[derive(Debug, Default)]
pub(in crate::smtp) struct PerMessage {
    record: Box<Record>,
    /// It has a MAIL command, accepted or not. Without one it has only HELO or EHLO.
    has_mail: bool,
}

impl PerMessage {
    pub(super) fn note(&mut self, policy: &Policy, event: Event<'_>, answered: &Answered<'_>) -> Filing {
        let &Answered { accepted, .. } = answered;
        match event {
            Event::Helo { line, name, is_ehlo } => {
                let finished = self.abandon();
                self.record.note_helo(answered.exchange(line, name), is_ehlo, accepted);
                return finished;
            }
            Event::Mail { line, mailbox, parameters, transaction } => {
                let finished = self.abandon();
                let exchange = answered.exchange_of_path(line, mailbox, parameters);
                self.record.note_mail(transaction, exchange, accepted);
                self.has_mail = true;
                return finished;
            }
            // These belong to no transaction.
            Event::Rcpt(_)
            | Event::Data { .. }
            | Event::Bdat { .. }
            | Event::Message { .. }
            | Event::Delivery(_)
                if !self.has_mail => {}
            Event::Rcpt(recipient) => self.record.note_rcpt(&recipient, answered),
            Event::Data { line } => self.record.note_data(line, answered),
            Event::Bdat { is_first, size, ends_mail } => {
                self.record.note_bdat(is_first, size, answered);
                if ends_mail {
                    return self.abandon();
                }
            }
            Event::Message { text, size, is_only_chunk } => {
                if is_only_chunk {
                    self.record.answer_first_bdat(answered);
                }
                self.record.note_message(policy.keep, text, size, answered);
                return self.abandon();
            }
            Event::Delivery(delivery) => {
                let is_last = delivery.is_last;
                self.record.note_delivery(policy.keep, delivery, answered);
                if is_last {
                    return self.abandon();
                }
            }
            Event::Rset { line, .. } => {
                if self.has_mail {
                    self.record.rset_exchange = answered.exchange(line, None);
                    self.record.rset = accepted;
                }
                return self.abandon();
            }
            Event::Auth { line, identity } => self.record.note_auth(answered.exchange(line, None), identity),
            Event::Noop => self.record.noop = self.has_mail,
            Event::Quit => self.record.quit_sent = self.has_mail,
        }
        Filing::Unchanged
    }

    pub(super) fn note_first_bdat(&mut self, line: &[u8]) {
        if self.has_mail {
            self.record.note_first_bdat(line);
        }
    }

    /// Completes the record of the current transaction, if any.
    fn abandon(&mut self) -> Filing {
        if !std::mem::take(&mut self.has_mail) {
            return Filing::Unchanged;
        }
        let next = self.record.next();
        Filing::Finished(std::mem::replace(&mut self.record, next))
    }

    pub(super) fn withdraw(&mut self, unsent: &Unsent) {
        self.record.withdraw(unsent);
    }

    pub(super) fn finish(self) -> Option<LastRecord> {
        let has_newer_mail = !self.record.msg;
        self.has_mail.then_some(LastRecord { record: *self.record, has_newer_mail })
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }
}
