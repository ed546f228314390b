//! Messages as Mailpit's lists show them.

use std::borrow::Cow;

use serde::Serialize;

use crate::http::Plane;
use crate::http::facade::FacadeId;
use crate::http::mailpit::filter::Marked;
use crate::mime::Mailbox;
use crate::search::Index;
use crate::text::timestamp;

/// A message in a list.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "MessageID")]
    message_id: String,
    read: bool,
    from: Address,
    to: Vec<Address>,
    cc: Vec<Address>,
    bcc: Vec<Address>,
    reply_to: Vec<Address>,
    subject: String,
    created: String,
    username: String,
    tags: Vec<String>,
    size: usize,
    attachments: usize,
    snippet: String,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Address {
    name: String,
    address: String,
}

impl From<&Mailbox> for Address {
    fn from(Mailbox { name, address }: &Mailbox) -> Self {
        Self { name: name.clone().unwrap_or_default(), address: address.clone() }
    }
}

pub(super) fn addresses(mailboxes: &[Mailbox]) -> Vec<Address> {
    mailboxes.iter().map(Address::from).collect()
}

/// The first of these, or an empty one.
pub(super) fn first(mailboxes: &[Mailbox]) -> Address {
    mailboxes.first().map(Address::from).unwrap_or_default()
}

impl Summary {
    pub(super) fn of((shown, mark): &Marked, plane: &Plane) -> Self {
        let index = plane.indexes.index(shown);
        let Index { head, .. } = &*index;
        let message = &shown.message;
        Self {
            id: FacadeId(message.id()).to_string(),
            message_id: head.message_id.clone().unwrap_or_default(),
            read: mark.is_read,
            from: first(&head.from),
            to: addresses(&head.to),
            cc: addresses(&head.cc),
            bcc: addresses(&head.bcc),
            reply_to: addresses(&head.reply_to),
            subject: head.subject.clone().unwrap_or_default(),
            created: timestamp(message.arrived_at()),
            username: message.auth_user().map(Cow::into_owned).unwrap_or_default(),
            tags: mark.tags.to_vec(),
            size: message.record().msg_size,
            attachments: head.attachments + head.inlines,
            snippet: head.snippet.clone(),
        }
    }
}
