//! The replies to an LMTP message in its record: one for each recipient (RFC 2033 section 4.2).

use std::fmt;
use std::sync::Arc;

use crate::smtp::policy::Keep;
use crate::smtp::record::recorder::{Answered, Delivery};
use crate::smtp::record::{Dialogue, Exchange, Record, Unsent, reply_memory};
use crate::smtp::reply::Reply;

/// The replies so far, in the order of the recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deliveries {
    list: Vec<Answer>,
    /// Bytes in memory of replies built for one recipient.
    replies_memory: usize,
    /// Index of the first unanswered recipient of the record.
    next: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    /// Index of the recipient in the record; `None` if not recorded.
    recipient: Option<u32>,
    /// Number of the reply within its session.
    number: u32,
    /// `None` if no reply was sent whole.
    response: Option<Reply>,
    accepted: bool,
}

impl Deliveries {
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.list.capacity() * size_of::<Answer>() + self.replies_memory
    }

    /// The same, as the sum of its parts.
    #[cfg(test)]
    pub(in crate::smtp) fn walk(&self) -> usize {
        let replies = self.list.iter().filter_map(|answer| answer.response.as_ref()).map(Reply::memory);
        size_of::<Self>() + self.list.capacity() * size_of::<Answer>() + replies.sum::<usize>()
    }
}

/// A recipient and the reply to the message for it: see [`Record::deliveries`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecipientResponse<'r> {
    /// Its RCPT.
    pub recipient: &'r Exchange,
    /// The reply; `None` if none was sent whole.
    pub response: Option<&'r Reply>,
    /// It accepts the message for this recipient.
    pub accepted: bool,
}

impl fmt::Debug for RecipientResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Dialogue(&self.recipient.request, self.response).fmt(f)
    }
}

impl Record {
    /// The replies to the message in LMTP, for each accepted RCPT in order, as far as it was answered. Empty in SMTP,
    /// where [`msg_response`](Self::msg_response) is for all recipients.
    pub fn deliveries(&self) -> impl Iterator<Item = RecipientResponse<'_>> {
        let list = self.deliveries.iter().flat_map(|deliveries| &deliveries.list);
        list.filter_map(|Answer { recipient, response, accepted, .. }| {
            let recipient = self.rcptto_exchanges.get(usize::try_from((*recipient)?).ok()?)?;
            Some(RecipientResponse { recipient, response: response.as_ref(), accepted: *accepted })
        })
    }

    pub(super) fn note_delivery(&mut self, keep: Keep, delivery: Delivery<'_>, answered: &Answered<'_>) {
        let Delivery { recipient, size, text, answers_bdat, .. } = delivery;
        if answers_bdat {
            self.answer_first_bdat(answered);
        }
        let deliveries = self.deliveries.get_or_insert_default();
        let mut rest = self.rcptto_exchanges.iter().enumerate().skip(deliveries.next);
        let place = rest
            .find(|(_, exchange)| exchange.is_accepted() && exchange.name() == recipient)
            .map(|(place, _)| place);
        deliveries.next = place.map_or(deliveries.next, |place| place + 1);
        deliveries.replies_memory += reply_memory(answered.reply);
        deliveries.list.push(Answer {
            recipient: place.and_then(|place| u32::try_from(place).ok()),
            number: answered.number,
            response: answered.reply.cloned(),
            accepted: answered.accepted,
        });
        self.msg_size = size;
        if !self.msg {
            (self.msg_response, self.msg_number) = (answered.reply.cloned(), answered.number);
            self.msg = answered.accepted;
            self.msg_request = (self.msg && keep == Keep::Message).then(|| Arc::new(std::mem::take(text)));
        }
    }

    pub(super) fn withdraw_deliveries(&mut self, unsent: &Unsent) {
        let answers = self.deliveries.iter_mut().flat_map(|deliveries| &mut deliveries.list);
        for answer in answers.filter(|answer| unsent.contains(answer.number)) {
            unsent.withdraw(answer.number, &mut answer.response);
            answer.accepted = false;
        }
        let list = self.deliveries.as_ref().map_or(&[][..], |deliveries| &deliveries.list);
        let accepted = list.iter().find(|answer| answer.accepted);
        let last = || list.iter().rfind(|answer| answer.response.is_some());
        self.msg = accepted.is_some();
        self.msg_request.take_if(|_| !self.msg);
        self.msg_response = accepted.or_else(last).and_then(|answer| answer.response.clone());
    }
}
