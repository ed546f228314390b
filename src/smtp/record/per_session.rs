//! One record per session, by go-smtp-mock's rules: a command replaces the previous one of its kind and erases what
//! followed it.

use crate::smtp::policy::Policy;
use crate::smtp::record::recorder::{Answered, Event, Filing, LastRecord};
use crate::smtp::record::{Record, Unsent};

/// The recorder of [`RecordMode::Session`](crate::smtp::RecordMode::Session).
#[derive(Debug, Default)]
pub(in crate::smtp) struct PerSession {
    record: Box<Record>,
    /// It has a MAIL command, accepted or not, newer than the message that was last announced.
    has_newer_mail: bool,
    /// It was announced by [`Filing::Accepted`].
    is_shown: bool,
}

impl PerSession {
    pub(super) fn note(&mut self, policy: &Policy, event: Event<'_>, answered: &Answered<'_>) -> Filing {
        let &Answered { accepted, .. } = answered;
        match event {
            Event::Helo { line, name, is_ehlo } => {
                self.has_newer_mail = false;
                self.record.note_helo(answered.exchange(line, name), is_ehlo, accepted);
            }
            Event::Mail { line, mailbox, parameters, transaction } => {
                let finished = self.is_complete(policy).then(|| self.take_complete());
                self.record.keep_helo();
                let exchange = answered.exchange_of_path(line, mailbox, parameters);
                self.record.note_mail(transaction, exchange, accepted);
                self.has_newer_mail = true;
                if let Some(record) = finished {
                    return Filing::Finished(record);
                }
            }
            Event::Rcpt(recipient) => self.record.note_rcpt(&recipient, answered),
            Event::Data { line } => self.record.note_data(line, answered),
            Event::Bdat { is_first, size, .. } => self.record.note_bdat(is_first, size, answered),
            Event::Message { text, size, is_only_chunk } => {
                if is_only_chunk {
                    self.record.answer_first_bdat(answered);
                }
                self.record.note_message(policy.keep, text, size, answered);
                if accepted {
                    return self.announce();
                }
            }
            Event::Delivery(delivery) => {
                let is_last = delivery.is_last;
                self.record.note_delivery(policy.keep, delivery, answered);
                if is_last && self.record.msg {
                    return self.announce();
                }
            }
            Event::Rset { line, ends_mail } => {
                if ends_mail {
                    self.record.keep_helo();
                    self.has_newer_mail = false;
                }
                self.record.rset_exchange = answered.exchange(line, None);
                self.record.rset = accepted;
            }
            Event::Auth { line, identity } => self.record.note_auth(answered.exchange(line, None), identity),
            Event::Noop => self.record.noop = true,
            Event::Quit => self.record.quit_sent = true,
        }
        if self.is_shown { Filing::Changed } else { Filing::Unchanged }
    }

    pub(super) fn note_first_bdat(&mut self, line: &[u8]) {
        self.record.note_first_bdat(line);
    }

    /// A message in it was accepted.
    fn announce(&mut self) -> Filing {
        (self.is_shown, self.has_newer_mail) = (true, false);
        Filing::Accepted
    }

    /// The next MAIL starts a new record.
    fn is_complete(&self, policy: &Policy) -> bool {
        policy.multiple_message_receiving && self.record.rset && self.record.is_consistent()
    }

    fn take_complete(&mut self) -> Box<Record> {
        self.is_shown = false;
        let next = self.record.next();
        std::mem::replace(&mut self.record, next)
    }

    pub(super) fn withdraw(&mut self, unsent: &Unsent) {
        self.record.withdraw(unsent);
    }

    /// A client that sent nothing leaves no record: readiness probes are not mail.
    pub(super) fn finish(self, has_spoken: bool) -> Option<LastRecord> {
        let has_newer_mail = self.has_newer_mail;
        has_spoken.then_some(LastRecord { record: *self.record, has_newer_mail })
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }
}
