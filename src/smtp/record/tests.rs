//! Compares recorders with records that are derived from the complete history of a session.

use std::sync::Arc;

use proptest::prelude::*;

use super::recorder::{Answered, Event, Filing, Recipient, Recorder};
use super::{Decided, Exchange, Record};
use crate::smtp::command::Parameters;
use crate::smtp::policy::{Policy, RecordMode};
use crate::smtp::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Helo,
    Mail,
    Rcpt,
    Data,
    Message,
    Rset,
    Noop,
    Quit,
}

/// An event with its answer.
#[derive(Clone, Copy, Debug)]
struct Happened {
    kind: Kind,
    accepted: bool,
    has_recipient: bool,
}

/// A message follows its accepted DATA, unless the session ends.
fn happened() -> impl Strategy<Value = Vec<Happened>> {
    use self::Kind::{Data, Helo, Mail, Message, Noop, Quit, Rcpt, Rset};
    let kinds = vec![Helo, Mail, Mail, Rcpt, Rcpt, Rcpt, Data, Data, Rset, Noop, Quit];
    let one = (prop::sample::select(kinds), any::<bool>(), any::<bool>());
    let one = one.prop_map(|(kind, accepted, other)| {
        let happened = Happened { kind, accepted, has_recipient: other };
        let message = Happened { kind: Message, accepted: other, has_recipient: false };
        [Some(happened), Some(message).filter(|_| kind == Data && accepted)]
    });
    let all =
        prop::collection::vec(one, 0..20).prop_map(|pairs| pairs.into_iter().flatten().flatten().collect());
    (all, any::<bool>()).prop_map(|(mut all, breaks_off): (Vec<Happened>, bool)| {
        if breaks_off {
            all.pop();
        }
        all
    })
}

/// All events of a session, in order.
struct History<'h> {
    all: &'h [Happened],
    reply: Reply,
}

impl History<'_> {
    fn line(&self, at: usize) -> Vec<u8> {
        format!("{:?} <{at}>", self.all[at].kind).into_bytes()
    }

    /// The exchange of an event, with the position of its name.
    fn exchange(&self, at: usize) -> Exchange {
        let line = self.line(at);
        let has_name = matches!(self.all[at].kind, Kind::Helo | Kind::Mail | Kind::Rcpt);
        self.answered(at).exchange(&line, has_name.then(|| &line[5..]))
    }

    fn answered(&self, at: usize) -> Answered<'_> {
        let decided = Decided::default();
        Answered { reply: Some(&self.reply), number: at as u32 + 2, decided, accepted: self.all[at].accepted }
    }

    /// Events of one kind in a range, after the last event there of an erasing kind.
    fn since(&self, range: std::ops::Range<usize>, kind: Kind, erasing: &[Kind]) -> Vec<usize> {
        let from = range
            .clone()
            .rev()
            .find(|at| erasing.contains(&self.all[*at].kind) && self.all[*at].kind != kind);
        (from.unwrap_or(range.start)..range.end).filter(|at| self.all[*at].kind == kind).collect()
    }

    /// The records of a session.
    fn recorded(&self, policy: &Policy) -> Vec<Record> {
        let (mut recorder, mut records) = (Recorder::new(policy.records), Vec::new());
        for (at, happened) in self.all.iter().enumerate() {
            let line = &self.line(at)[..];
            let parameters = Parameters::default();
            let (name, has_recipient) = (Some(&line[5..]), happened.has_recipient);
            let event = match happened.kind {
                Kind::Helo => Event::Helo { line, name, is_ehlo: true },
                Kind::Mail => Event::Mail { line, mailbox: name, parameters, transaction: at as u32 + 1 },
                Kind::Rcpt => {
                    let replaces = policy.records == RecordMode::Session && !policy.multiple_rcptto;
                    let (mailbox, has_room) = (name, true);
                    Event::Rcpt(Recipient { line, mailbox, parameters, has_recipient, has_room, replaces })
                }
                Kind::Data => Event::Data { line },
                Kind::Message => Event::Message { text: &mut line.to_vec(), size: at, is_only_chunk: false },
                Kind::Rset => Event::Rset { line, ends_mail: true },
                Kind::Noop => Event::Noop,
                Kind::Quit => Event::Quit,
            };
            if let Filing::Finished(record) = recorder.note(policy, event, &self.answered(at)) {
                records.push(*record);
            }
        }
        records.extend(recorder.finish(true).map(|last| last.record));
        records
    }

    /// The expected record of the events in a range; `rcpt_erases`: RCPT replaces earlier ones.
    fn expected(&self, range: std::ops::Range<usize>, helo: Option<usize>, rcpt_erases: bool) -> Record {
        use self::Kind::{Data, Helo, Mail, Message, Noop, Quit, Rcpt, Rset};
        let own = |kind, erasing: &[Kind]| self.since(range.clone(), kind, erasing);
        let last = |kind, erasing: &[Kind]| own(kind, erasing).pop();
        let is_accepted = |at: Option<usize>| at.is_some_and(|at| self.all[at].accepted);
        let exchange = |at: Option<usize>| at.map(|at| self.exchange(at)).unwrap_or_default();
        let (outer, behind_rcpt): (&[Kind], &[Kind]) = match rcpt_erases {
            true => (&[Helo, Mail, Rset, Rcpt], &[Helo, Mail, Rset, Rcpt, Data]),
            false => (&[Helo, Mail, Rset], &[Helo, Mail, Rset, Data]),
        };
        let (mail, data, message) =
            (last(Mail, &[Helo, Rset]), last(Data, outer), last(Message, behind_rcpt));
        let rset = last(Rset, behind_rcpt);
        let mut rcpts = own(Rcpt, &[Helo, Mail, Rset]);
        let rcptto = rcpts.last().is_some_and(|at| self.all[*at].has_recipient);
        if rcpt_erases {
            rcpts.drain(..rcpts.len().saturating_sub(1));
        }
        let mut record = Record {
            transaction: mail.map_or(0, |at| at as u32 + 1),
            helo_exchange: exchange(helo),
            helo: is_accepted(helo),
            ehlo: helo.is_some(),
            mailfrom_exchange: exchange(mail),
            mailfrom: is_accepted(mail),
            rcptto,
            data_exchange: exchange(data),
            data: is_accepted(data),
            msg_response: message.map(|_| self.reply.clone()),
            msg_number: message.map_or(0, |at| at as u32 + 2),
            msg_size: message.unwrap_or(0),
            msg_request: message.filter(|at| self.all[*at].accepted).map(|at| Arc::new(self.line(at))),
            msg: is_accepted(message),
            rset_exchange: exchange(rset),
            rset: is_accepted(rset),
            noop: !own(Noop, behind_rcpt).is_empty(),
            quit_sent: !own(Quit, behind_rcpt).is_empty(),
            ..Record::default()
        };
        rcpts.into_iter().for_each(|at| record.push_rcptto(self.exchange(at)));
        record
    }

    /// The records of mails, each from its MAIL to the event that ends it.
    fn mails(&self) -> Vec<Record> {
        let is = |at: usize, kinds: &[Kind]| kinds.contains(&self.all[at].kind);
        let count = self.all.len();
        let starts = (0..count).filter(|at| is(*at, &[Kind::Mail]));
        let mail = |start: usize| {
            let helo = (0..start).rfind(|at| is(*at, &[Kind::Helo]));
            let next = (start + 1..count)
                .find(|at| is(*at, &[Kind::Helo, Kind::Mail, Kind::Rset, Kind::Message]))
                .unwrap_or(count);
            let ends_within = next < count && is(next, &[Kind::Rset, Kind::Message]);
            let mut record = self.expected(start..next, helo, false);
            if ends_within && is(next, &[Kind::Rset]) {
                record.rset_exchange = self.exchange(next);
                record.rset = self.all[next].accepted;
            } else if ends_within {
                let text = &mut self.line(next);
                record.note_message(Policy::default().keep, text, next, &self.answered(next));
            }
            record
        };
        starts.map(mail).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn recorders_agree_with_the_complete_history(all in happened(), multiple_rcptto: bool) {
        let history = History { all: &all, reply: Reply::new("250 Ok") };
        let mut policy = Policy::default();
        policy.multiple_rcptto = multiple_rcptto;
        prop_assert_eq!(history.recorded(&policy), history.mails());
        policy.records = RecordMode::Session;
        let helo = all.iter().rposition(|happened| happened.kind == Kind::Helo);
        let expected = history.expected(0..all.len(), helo, !multiple_rcptto);
        prop_assert_eq!(history.recorded(&policy), [expected]);
    }
}

/// The dialogue decides whether the RSET ends the mail: the recorder only follows.
#[test]
fn a_rset_erases_a_mail_from_the_record_of_a_session_where_it_ends_it() {
    for (ends_mail, multiple_message_receiving) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let mut policy = Policy::default();
        policy.multiple_message_receiving = multiple_message_receiving;
        policy.records = RecordMode::Session;
        let (mut recorder, reply) = (Recorder::new(policy.records), Reply::new("250 Ok"));
        let answered =
            Answered { reply: Some(&reply), number: 2, decided: Decided::default(), accepted: true };
        let (line, mailbox, parameters) = (&b"a line"[..], None, Parameters::default());
        let recipient =
            Recipient { line, mailbox, parameters, has_recipient: true, has_room: true, replaces: false };
        for event in [
            Event::Mail { line, mailbox, parameters, transaction: 1 },
            Event::Rcpt(recipient),
            Event::Data { line },
            Event::Message { text: &mut Vec::new(), size: 0, is_only_chunk: false },
            Event::Rset { line, ends_mail },
        ] {
            recorder.note(&policy, event, &answered);
        }
        assert_eq!(recorder.record().is_consistent(), !ends_mail);
        assert!(recorder.record().rset);
    }
}
