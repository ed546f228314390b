//! Mailpit's interface: API v1, `/view` and its WebSocket, as views of the same messages and rules that `/v1` shows.
//!
//! Its only state apart from the records are read marks and tags, in a bounded table ([`marks`]). It serves what Mailpit's
//! clients use; the README lists the intended differences.

mod chaos;
mod events;
mod filter;
mod info;
mod marks;
mod message;
mod messages;
mod read;
mod refused;
mod send;
mod summary;
mod tags;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hyper::StatusCode;
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, broadcast};

use crate::config::StartError;
use crate::http::call::Call;
use crate::http::document;
use crate::http::mailpit::events::News;
use crate::http::mailpit::marks::Marks;
use crate::http::parameters::form_decoded;
use crate::http::reply::{Refusal, Reply, of};
use crate::http::route::Route;
use crate::records::store::Store;
use crate::server::random;
use crate::smtp::{RecordId, ServerTag};

const RESOURCES: &[&[Route]] = &[
    messages::ROUTES,
    read::ROUTES,
    message::ROUTES,
    tags::ROUTES,
    info::ROUTES,
    chaos::ROUTES,
    send::ROUTES,
    events::ROUTES,
    refused::ROUTES,
];

/// All routes.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    RESOURCES.iter().flat_map(|routes| routes.iter())
}

/// The state of this interface apart from the records.
#[derive(Debug)]
pub(super) struct State {
    marks: Marks,
    /// The tag of the ids of messages that were sent by this interface: they are in no session.
    tag: ServerTag,
    sent: AtomicU32,
    /// To the streams of events, which are bounded.
    news: broadcast::Sender<News>,
    streams: Arc<Semaphore>,
}

impl State {
    pub(super) fn new(store: &Arc<Store>) -> Result<Self, StartError> {
        let tag = ServerTag::new(random("asking for a random tag")?);
        Ok(Self {
            marks: Marks::new(store),
            tag,
            sent: AtomicU32::new(0),
            news: broadcast::Sender::new(events::BEHIND),
            streams: Arc::new(Semaphore::new(events::MOST_STREAMS)),
        })
    }

    /// Passes a change of a message to the streams of events.
    fn note(&self, news: News) {
        // Without a stream nothing receives it.
        let _ = self.news.send(news);
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Passes removals to the streams of events: of all messages with `is_all`, then of these, and with `has_others` of unknown
    /// ones.
    pub(super) fn removed(&self, ids: &[RecordId], is_all: bool, has_others: bool) {
        if is_all {
            self.note(News::Truncated);
        }
        match has_others || ids.len() > events::BATCH {
            true => self.note(News::Reload),
            false => ids.iter().for_each(|id| self.note(News::Removed(*id))),
        }
    }

    /// The id of the next message that is sent by this interface.
    fn next_id(&self) -> RecordId {
        let transaction = self.sent.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        RecordId { server: self.tag, session: 0, transaction }
    }
}

/// Octets of a body, as in Mailpit.
const BODY: usize = 5 << 20;

const TEXT: &str = "text/plain; charset=utf-8";

/// The reply to a change.
fn ok() -> Reply {
    of(StatusCode::OK, TEXT, "ok")
}

/// An error in Mailpit's form: a text.
fn refusal(status: StatusCode, text: impl Into<String>) -> Refusal {
    of(status, TEXT, text.into()).into()
}

fn bad_request(text: impl Into<String>) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, text)
}

fn not_found() -> Refusal {
    refusal(StatusCode::NOT_FOUND, "404 page not found")
}

/// Whether a client is MailHog's for Node.js, which parses the body of any reply as JSON: only that client sends none of these
/// fields.
fn is_mailhog_client(call: &Call) -> bool {
    [ACCEPT, USER_AGENT, CONTENT_TYPE].iter().all(|name| !call.head.headers.contains_key(name))
}

/// The body as JSON, or the fields of a form, which a client in Python sends; the default without a body.
async fn parsed<T: Default + DeserializeOwned + Send + 'static>(call: &mut Call) -> Result<T, Refusal> {
    if call.body.is_empty() {
        return Ok(T::default());
    }
    let content_type = call.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded")) {
        return call.read(of_form).await?;
    }
    call.read(document::read)
        .await?
        .map_err(|misfit| bad_request(format!("the body is not as expected: {misfit}")))
}

/// The fields of a form as those of JSON: `ids` and `IDs` are a list, `Read` is a switch.
fn of_form<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let wrong = || bad_request("the body is not as expected: a form of ids and Read, or JSON");
    let mut fields = serde_json::Map::new();
    let body = std::str::from_utf8(body).map_err(|_| wrong())?;
    for pair in body.split('&') {
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value = form_decoded(value).ok_or_else(wrong)?;
        match name {
            "ids" | "IDs" => {
                let ids = fields.entry("IDs").or_insert_with(|| Vec::<serde_json::Value>::new().into());
                ids.as_array_mut().ok_or_else(wrong)?.push(value.into());
            }
            "Read" => _ = fields.insert(name.to_owned(), value.eq_ignore_ascii_case("true").into()),
            _ => return Err(wrong()),
        }
    }
    serde_json::from_value(fields.into()).map_err(|_| wrong())
}
