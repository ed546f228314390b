//! MAIL and RCPT: the envelope (RFC 5321 sections 4.1.1.2 and 4.1.1.3).

use crate::smtp::command::{ArgumentError, Body, Declared, Parameters, Path, Verb};
use crate::smtp::policy::{MAX_RECIPIENTS, Policy, RecordMode};
use crate::smtp::record::{Event, Recipient};
use crate::smtp::reply::{ReplyKind, Stage};
use crate::smtp::session::answer::{Answer, Asked, Verdict};
use crate::smtp::session::dialogue::Dialogue;
use crate::smtp::session::sequence::{Sequence, Transaction};
use crate::smtp::session::step::{Details, Step, Usage};
use crate::smtp::session::turn::Turn;

impl Dialogue {
    pub(super) fn mail(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        path: Result<Path<'_>, ArgumentError>,
        parameters: Parameters<'_>,
    ) -> Step {
        let policy = turn.policy;
        self.abandon_mail();
        self.transactions = self.transactions.saturating_add(1);
        let mailbox = path.ok().map(|path| path.mailbox());
        let declared = Declared::of(parameters);
        let verdict = match self.sequence.is_greeted() {
            true if self.lacks_authentication(policy) => Err(ReplyKind::AuthRequired),
            true => self
                .check_path(policy, Verb::Mail, path, parameters, &declared)
                .map(|()| ReplyKind::MailReceived),
            false => Err(ReplyKind::InvalidMailSequence),
        };
        self.envelope_mut().note_sender(mailbox);
        let sender = mailbox.filter(|_| verdict.is_ok());
        let retry_key = self.retry_key(policy, |keys| keys.mail(sender, parameters));
        let asked = Asked { parameters, ..Asked::about(Stage::Mail, mailbox) };
        let answer = self.answer(turn, asked, verdict);
        if answer.accepted {
            if !parameters.words().is_empty() {
                self.envelope_mut().note_sender_parameters(parameters);
            }
            self.sequence = Sequence::Mail(Transaction {
                has_parameters: !parameters.words().is_empty(),
                takes_utf8: declared.smtputf8,
                is_binary: declared.body == Some(Body::BinaryMime) && self.has_bdat(policy),
                ..Transaction::default()
            });
            self.declared = declared;
        }
        let event = Event::Mail { line, mailbox, parameters, transaction: self.transactions };
        let usage = match parameters.words().is_empty() {
            true => Usage::default(),
            false => self.usage_of(policy, &declared, verdict, answer.accepted),
        };
        let details = Details { usage, retry_key, ..Details::default() };
        self.conclude_with(turn, Stage::Mail, &answer, Some(event), details)
    }

    pub(super) fn rcpt(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        path: Result<Path<'_>, ArgumentError>,
        parameters: Parameters<'_>,
    ) -> Step {
        let policy = turn.policy;
        let mailbox = path.ok().map(|path| path.mailbox());
        let declared = Declared::of(parameters);
        if matches!(self.sequence, Sequence::Chunks(_)) {
            let asked = Asked { parameters, ..Asked::about(Stage::Rcpt, mailbox) };
            return self.refuse_amid_chunks(turn, asked);
        }
        let verdict = match self.sequence.mail().is_some() {
            true => self.check_path(policy, Verb::Rcpt, path, parameters, &declared),
            false => Err(ReplyKind::InvalidRcptSequence),
        };
        let asked = Asked { is_valid: verdict.is_ok(), parameters, ..Asked::about(Stage::Rcpt, mailbox) };
        // Lists are evaluated before memory is checked: their reply overrides this one.
        let verdict = verdict.and_then(|()| self.room_for_rcpt(policy));
        let answer = self.answer_asked(turn, asked, verdict);
        let has_room = self.has_memory_left();
        let replaces = !(self.is_lmtp() || policy.multiple_rcptto || policy.records == RecordMode::Message);
        let (is_accepted, has_recipient) = match self.is_lmtp() {
            true => self.count_lmtp_rcpt(&answer, has_room),
            false => (answer.accepted, self.count_rcpt(policy, &answer, has_room, replaces)),
        };
        self.envelope_mut().note_recipient(policy.book(), mailbox, parameters, is_accepted);
        let recipient = mailbox.filter(|_| self.is_in_transaction());
        let retry_key = self.retry_key(policy, |keys| keys.rcpt(recipient));
        let recipient = Recipient { line, mailbox, parameters, has_recipient, has_room, replaces };
        let event = Event::Rcpt(recipient);
        let usage = match parameters.words().is_empty() {
            true => Usage::default(),
            false => self.usage_of(policy, &declared, verdict, answer.accepted),
        };
        let details = Details { usage, retry_key, ..Details::default() };
        self.conclude_with(turn, Stage::Rcpt, &answer, Some(event), details)
    }

    /// Counts a RCPT. Returns whether the transaction has a recipient. go-smtp-mock recognizes an accepted RCPT by the
    /// text of its reply; if only the last RCPT is retained, only that one counts.
    #[inline]
    fn count_rcpt(&mut self, policy: &Policy, answer: &Answer<'_>, has_room: bool, replaces: bool) -> bool {
        let counts_all = !replaces;
        let is_worded = (answer.accepted && policy.records == RecordMode::Message)
            || (answer.is_whole() && policy.reads_as_accepted_rcpt(answer.reply));
        let Some(mail) = self.sequence.mail() else { return counts_all && is_worded };
        if has_room && mail.recipients < MAX_RECIPIENTS {
            mail.recipients += 1;
        }
        mail.has_worded_recipient = is_worded || (counts_all && mail.has_worded_recipient);
        mail.has_recipient = answer.accepted || (counts_all && mail.has_worded_recipient);
        mail.is_delivered &= counts_all;
        mail.has_recipient
    }

    pub(super) fn has_memory_left(&self) -> bool {
        self.memory_left != Some(0)
    }

    fn room_for_rcpt(&self, policy: &Policy) -> Verdict {
        // RFC 5321 sections 4.1.1.4 and 4.1.1.5: the end of data and RSET clear the reverse-path. (go-smtp-mock retains
        // it.)
        let Sequence::Mail(mail) = self.sequence else { return Err(ReplyKind::InvalidRcptSequence) };
        if mail.recipients >= policy.most_recipients() {
            return Err(ReplyKind::TooManyRecipients);
        }
        if !self.has_memory_left() {
            return Err(ReplyKind::InsufficientStorage);
        }
        Ok(ReplyKind::RcptReceived)
    }
}
