//! The selection of messages by the parameters of a request.

use std::sync::Arc;

use hyper::StatusCode;

use crate::http::Plane;
use crate::http::desk::{Abandoned, Asker};
use crate::http::parameters::Parameters;
use crate::http::reply::{Refusal, error, invalid};
use crate::records::Message;
use crate::records::store::Shown;
use crate::search::{Candidate, Query};
use crate::smtp::RecordId;

/// The parameters that select messages.
pub(super) const SELECTING: &[&str] = &["query", "inbox", "accepted", "after"];

/// The conditions that a message must meet.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    query: Query,
    inbox: Option<String>,
    /// `None`: accepted or not.
    accepted: Option<bool>,
    /// The lowest number.
    pub(super) from: u64,
}

impl Selection {
    /// # Errors
    /// The reply for a parameter with a wrong value.
    pub(super) async fn of(parameters: &Parameters, plane: &Arc<Plane>) -> Result<Self, Refusal> {
        let query = parameters.text("query")?.map(str::parse::<Query>).transpose();
        let query = query.map_err(|error| invalid("query", error.to_string()))?.unwrap_or_default();
        let accepted = match parameters.text("accepted")? {
            None | Some("true") => Some(true),
            Some("false") => Some(false),
            Some("any") => None,
            Some(_) => return Err(invalid("accepted", "true, false or any")),
        };
        let inbox = parameters.text("inbox")?.map(str::to_owned);
        let from = match parameters.text("after")? {
            Some(id) => number_after(id, plane).await?,
            None => 0,
        };
        Ok(Self { query, inbox, accepted, from })
    }

    /// Whether mails must be parsed to decide.
    pub(super) fn reads_mails(&self) -> bool {
        !self.query.is_empty() || self.inbox.is_some()
    }

    /// Whether it selects all messages that are accepted, all that are not, or all.
    pub(super) fn is_unconditional(&self) -> bool {
        !self.reads_mails() && self.from == 0
    }

    pub(super) fn has_acceptance_of(&self, message: &Message) -> bool {
        self.accepted.is_none_or(|accepted| message.msg() == accepted)
    }

    /// Whether a message is selected.
    pub(super) fn covers(&self, shown: &Shown, plane: &Plane) -> bool {
        shown.number >= self.from
            && self.has_acceptance_of(&shown.message)
            && self.inbox.as_deref().is_none_or(|inbox| shown.message.is_in(inbox))
            && (self.query.is_empty() || {
                let index = plane.indexes.index(shown);
                self.query.selects(Candidate { message: &shown.message, index: &index })
            })
    }

    /// The messages among these that are selected.
    pub(super) fn filter(
        &self,
        records: Vec<Shown>,
        plane: &Plane,
        asker: &Asker,
    ) -> Result<Vec<Shown>, Abandoned> {
        asker.filter(records, |shown| self.covers(shown, plane))
    }

    /// The number of conditions that a message does not meet.
    pub(super) fn misses(&self, shown: &Shown, plane: &Plane) -> usize {
        let index = plane.indexes.index(shown);
        let of_query = self.query.misses(Candidate { message: &shown.message, index: &index });
        let is_refused = !self.has_acceptance_of(&shown.message);
        let is_elsewhere = self.inbox.as_deref().is_some_and(|inbox| !shown.message.is_in(inbox));
        of_query + usize::from(is_refused) + usize::from(is_elsewhere)
    }

    /// The conditions that a message does not meet, each with the value that was found instead.
    pub(super) fn missed(&self, shown: &Shown, plane: &Plane) -> Vec<String> {
        let index = plane.indexes.index(shown);
        let mut missed = self.query.missed_by(Candidate { message: &shown.message, index: &index });
        if !self.has_acceptance_of(&shown.message) {
            missed.insert(0, acceptance(&shown.message));
        }
        if let Some(inbox) = self.inbox.as_deref().filter(|inbox| !shown.message.is_in(inbox)) {
            missed.insert(0, format!("inbox={inbox}: the inboxes are {:?}", shown.message.inboxes()));
        }
        missed
    }
}

fn acceptance(message: &Message) -> String {
    match message.msg() {
        true => "accepted: it was".to_owned(),
        false => "accepted: it was refused, abandoned, or is not complete".to_owned(),
    }
}

/// The number after that of the message with this id. A message of this server that is neither stored nor among the last removals
/// counts as older than all stored ones: the oldest are evicted. A thread of the desk examines all messages.
///
/// # Errors
/// 400 for an invalid id, or one of another server: all messages would count as later.
pub(super) async fn number_after(id: &str, plane: &Arc<Plane>) -> Result<u64, Refusal> {
    let id: RecordId =
        id.parse().map_err(|expected: crate::smtp::NoRecordId| invalid("after", expected.to_string()))?;
    if !plane.server.has_made(id) {
        return Err(invalid(
            "after",
            "the id of a message of this server: this one is of another, or of an earlier run",
        ));
    }
    let store = Arc::clone(&plane.store);
    let number = move || store.find(id).map(|shown| shown.number).or_else(|| store.number_of_removed(id));
    Ok(plane.desk.run(number).await?.map_or(0, |number| number + 1))
}

/// The message with this id. For the desk: all messages are examined.
///
/// # Errors
/// 404 for an unknown id.
pub(super) fn find(id: &str, plane: &Plane) -> Result<Shown, Refusal> {
    let found = id.parse::<RecordId>().ok().and_then(|id| plane.store.find(id));
    found.ok_or_else(|| {
        let hint =
            "the id of a stored message; this one may have been deleted, or evicted by --keep-messages";
        error(StatusCode::NOT_FOUND, "no_such_message", "id", hint)
    })
}
