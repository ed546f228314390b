//! Folds the events of a dialogue into records: into one record of the session by go-smtp-mock's erasing rules
//! ([`per_session`](super::per_session)), or into one for each mail transaction ([`per_message`](super::per_message)).
//! No decision of a dialogue depends on a record, and only recorders know the erasing rules.

use std::sync::Arc;

use crate::smtp::auth::Identity;
use crate::smtp::command::{Parameters, Part};
use crate::smtp::policy::{Keep, MAX_RECIPIENTS, Policy, RecordMode};
use crate::smtp::record::per_message::PerMessage;
use crate::smtp::record::per_session::PerSession;
use crate::smtp::record::{Authentication, Decided, Exchange, Record, Unsent};
use crate::smtp::reply::Reply;

/// A command or message of the client that records may contain. Lines are without surrounding white space. Unknown
/// commands are not events.
#[derive(Debug)]
pub(in crate::smtp) enum Event<'l> {
    /// HELO or EHLO.
    Helo { line: &'l [u8], name: Option<&'l [u8]>, is_ehlo: bool },
    /// MAIL.
    Mail { line: &'l [u8], mailbox: Option<&'l [u8]>, parameters: Parameters<'l>, transaction: u32 },
    /// RCPT.
    Rcpt(Recipient<'l>),
    /// DATA.
    Data { line: &'l [u8] },
    /// BDAT, except the one that completes the message; the line of the [first](Recorder::note_first_bdat) is in the
    /// record.
    Bdat {
        is_first: bool,
        /// Octets of the message so far; `None` without a message.
        size: Option<usize>,
        /// It is the last chunk, and the mail transaction is over.
        ends_mail: bool,
    },
    /// A message up to its end. The text is moved out, and is empty unless messages are retained.
    Message {
        text: &'l mut Vec<u8>,
        size: usize,
        /// It was sent in a single BDAT, whose line is in the record.
        is_only_chunk: bool,
    },
    /// The answer to a message for one recipient, in LMTP.
    Delivery(Delivery<'l>),
    /// RSET. If it does not end the mail, a session's record retains that.
    Rset { line: &'l [u8], ends_mail: bool },
    /// An accepted AUTH; the line has no secret.
    Auth { line: &'l [u8], identity: &'l Arc<Identity> },
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

impl Event<'_> {
    /// Octets of the message: with BDAT so far, or as declared in MAIL.
    #[inline]
    pub(in crate::smtp) fn size(event: Option<&Self>) -> Option<u64> {
        match event {
            Some(Event::Message { size, .. } | Event::Delivery(Delivery { size, .. })) => Some(*size as u64),
            Some(Event::Mail { parameters, .. }) => parameters.size(),
            Some(Event::Bdat { size, .. }) => size.map(|size| size as u64),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Recipient<'l> {
    pub(in crate::smtp) line: &'l [u8],
    pub(in crate::smtp) mailbox: Option<&'l [u8]>,
    pub(in crate::smtp) parameters: Parameters<'l>,
    /// The mail transaction has a recipient: DATA is in sequence.
    pub(in crate::smtp) has_recipient: bool,
    /// Memory for the line is available.
    pub(in crate::smtp) has_room: bool,
    /// It replaces earlier recipients, and everything after them.
    pub(in crate::smtp) replaces: bool,
}

/// A message, for one of its recipients in LMTP.
#[derive(Debug)]
pub(in crate::smtp) struct Delivery<'l> {
    /// Its forward-path; `None` if not retained.
    pub(in crate::smtp) recipient: Option<&'l [u8]>,
    pub(in crate::smtp) size: usize,
    /// Moved out with the first acceptance. Empty unless messages are retained.
    pub(in crate::smtp) text: &'l mut Vec<u8>,
    /// The message was sent in a single BDAT, whose line is in the record, and this is the first reply.
    pub(in crate::smtp) answers_bdat: bool,
    /// It is the last recipient.
    pub(in crate::smtp) is_last: bool,
}

/// The answer to an event.
#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Answered<'a> {
    /// `None` if none is sent whole.
    pub(in crate::smtp) reply: Option<&'a Reply>,
    /// Number of the reply within its session.
    pub(in crate::smtp) number: u32,
    pub(in crate::smtp) decided: Decided,
    pub(in crate::smtp) accepted: bool,
}

impl Answered<'_> {
    /// The exchange of a line, with the name or mailbox in it.
    #[inline]
    pub(super) fn exchange(&self, line: &[u8], name: Option<&[u8]>) -> Exchange {
        self.exchange_of_path(line, name, Parameters::default())
    }

    /// The exchange of MAIL or RCPT.
    #[inline]
    pub(super) fn exchange_of_path(
        &self,
        line: &[u8],
        mailbox: Option<&[u8]>,
        parameters: Parameters<'_>,
    ) -> Exchange {
        let words = parameters.words();
        Exchange {
            request: line.into(),
            response: self.reply.cloned(),
            number: self.number,
            decided: self.decided,
            name: mailbox.and_then(|mailbox| Part::of(line, mailbox)),
            parameters: if words.is_empty() { None } else { Part::of(line, words) },
        }
    }
}

/// The effect of a step on the records.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Filing {
    /// No effect.
    Unchanged,
    /// The session's [running record](crate::smtp::Session::record) has a message that this step accepts: it must be
    /// visible before the reply.
    Accepted,
    /// The running record has changed since then. Copying takes time that grows with its recipients: copy it once for
    /// several steps.
    Changed,
    /// This record is complete and will not change.
    Finished(Box<Record>),
}

/// The last record of a session.
#[derive(Clone, Debug)]
pub struct LastRecord {
    /// The record.
    pub record: Record,
    /// It has a mail transaction newer than the message of the last [`Filing::Accepted`].
    pub has_newer_mail: bool,
}

/// The recorder of one session. Its record is boxed, so that it can move to a step as a pointer.
#[derive(Debug)]
pub(in crate::smtp) enum Recorder {
    PerSession(PerSession),
    PerMessage(PerMessage),
}

impl Recorder {
    pub(in crate::smtp) fn new(mode: RecordMode) -> Self {
        match mode {
            RecordMode::Session => Self::PerSession(PerSession::default()),
            RecordMode::Message => Self::PerMessage(PerMessage::default()),
        }
    }

    pub(in crate::smtp) fn note(
        &mut self,
        policy: &Policy,
        event: Event<'_>,
        answered: &Answered<'_>,
    ) -> Filing {
        match self {
            Self::PerSession(recorder) => recorder.note(policy, event, answered),
            Self::PerMessage(recorder) => recorder.note(policy, event, answered),
        }
    }

    /// Records the first BDAT of a message, which is not answered before its octets have arrived.
    pub(in crate::smtp) fn note_first_bdat(&mut self, line: &[u8]) {
        match self {
            Self::PerSession(recorder) => recorder.note_first_bdat(line),
            Self::PerMessage(recorder) => recorder.note_first_bdat(line),
        }
    }

    /// Removes replies that were never sent whole, at the end of the session.
    pub(in crate::smtp) fn withdraw(&mut self, unsent: &Unsent) {
        match self {
            Self::PerSession(recorder) => recorder.withdraw(unsent),
            Self::PerMessage(recorder) => recorder.withdraw(unsent),
        }
    }

    /// The last record of the session; `has_spoken` if the client has sent at least one octet.
    pub(in crate::smtp) fn finish(self, has_spoken: bool) -> Option<LastRecord> {
        match self {
            Self::PerSession(recorder) => recorder.finish(has_spoken),
            Self::PerMessage(recorder) => recorder.finish(),
        }
    }

    /// The unfinished record.
    pub(in crate::smtp) fn record(&self) -> &Record {
        match self {
            Self::PerSession(recorder) => recorder.record(),
            Self::PerMessage(recorder) => recorder.record(),
        }
    }

    pub(in crate::smtp) fn memory(&self) -> usize {
        self.record().memory()
    }
}

/// Recording common to both recorders. The caller has already erased what HELO and MAIL erase.
impl Record {
    pub(super) fn note_helo(&mut self, exchange: Exchange, is_ehlo: bool, accepted: bool) {
        let auth = self.auth.take();
        *self = Self { helo_exchange: exchange, helo: accepted, ehlo: is_ehlo, auth, ..Self::default() };
    }

    pub(super) fn note_auth(&mut self, exchange: Exchange, identity: &Arc<Identity>) {
        let identity = Arc::clone(identity);
        self.auth = Some(Arc::new(Authentication { exchange, identity }));
    }

    pub(super) fn note_mail(&mut self, transaction: u32, exchange: Exchange, accepted: bool) {
        self.transaction = transaction;
        self.mailfrom_exchange = exchange;
        self.mailfrom = accepted;
    }

    pub(super) fn note_rcpt(&mut self, recipient: &Recipient<'_>, answered: &Answered<'_>) {
        let &Recipient { line, mailbox, parameters, has_recipient, has_room, replaces } = recipient;
        if replaces {
            self.keep_mail();
        }
        self.rcptto = has_recipient;
        if has_room && self.rcptto_exchanges.len() < MAX_RECIPIENTS {
            self.push_rcptto(answered.exchange_of_path(line, mailbox, parameters));
        }
    }

    pub(super) fn note_data(&mut self, line: &[u8], answered: &Answered<'_>) {
        self.keep_rcpt();
        self.data_exchange = answered.exchange(line, None);
        self.data = answered.accepted;
    }

    /// Records BDAT in place of DATA.
    pub(super) fn note_first_bdat(&mut self, line: &[u8]) {
        self.keep_rcpt();
        self.data_exchange = Exchange { request: line.into(), ..Exchange::default() };
    }

    /// Adds the reply to the first BDAT, or to a later one that refuses the message.
    pub(super) fn note_bdat(&mut self, is_first: bool, size: Option<usize>, answered: &Answered<'_>) {
        match (is_first, size.filter(|_| !answered.accepted)) {
            (true, _) => self.answer_first_bdat(answered),
            (false, None) => {}
            (false, Some(size)) => {
                self.msg_response = answered.reply.cloned();
                self.msg_number = answered.number;
                self.msg_decided = answered.decided;
                self.msg_size = size;
            }
        }
    }

    pub(super) fn answer_first_bdat(&mut self, answered: &Answered<'_>) {
        self.data_exchange.response = answered.reply.cloned();
        self.data_exchange.number = answered.number;
        self.data_exchange.decided = answered.decided;
        self.data = answered.accepted;
    }

    pub(super) fn note_message(
        &mut self,
        keep: Keep,
        text: &mut Vec<u8>,
        size: usize,
        answered: &Answered<'_>,
    ) {
        self.msg_response = answered.reply.cloned();
        self.msg_number = answered.number;
        self.msg_decided = answered.decided;
        self.msg = answered.accepted;
        self.msg_size = size;
        if answered.accepted && keep == Keep::Message {
            self.msg_request = Some(Arc::new(std::mem::take(text)));
        }
    }

    /// The record of the session's next mail, which begins with the same HELO.
    pub(super) fn next(&self) -> Box<Self> {
        let mut next = Box::<Self>::default();
        next.helo_exchange = self.helo_exchange.clone();
        (next.helo, next.ehlo) = (self.helo, self.ehlo);
        next.auth = self.auth.clone();
        next
    }
}
