//! `/api/v2/messages`, `/api/v2/search`, and `/api/v1/messages/{id}`.

use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::view::MessageView;
use crate::http::Plane;
use crate::http::call::Call;
use crate::http::desk::Asker;
use crate::http::download::{download, part_of};
use crate::http::facade::{FacadeId, find, newest};
use crate::http::reply::{Refusal, Reply, empty, error, fitting, invalid, json, of};
use crate::http::route::Route;
use crate::records::Message;
use crate::records::store::Shown;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v2/messages", |call| Box::pin(list(call))),
    Route::get("/api/v2/search", |call| Box::pin(search(call))),
    Route::get("/api/v1/messages/{id}", |call| Box::pin(one(call))),
    Route::with_body(Method::DELETE, "/api/v1/messages/{id}", BODY, |call| Box::pin(delete_one(call))),
    Route::get("/api/v1/messages/{id}/download", |call| Box::pin(raw(call))),
    Route::get("/api/v1/messages/{id}/mime/part/{n}/download", |call| Box::pin(part(call))),
    Route::with_body(Method::POST, "/api/v1/messages/{id}/release", BODY, |call| {
        Box::pin(async move { release(&call) })
    }),
    Route::get("/api/v2/outgoing-smtp", |call| Box::pin(async move { outgoing(&call) })),
];

/// Octets of a body, which is ignored.
const BODY: usize = 1 << 20;
/// Messages of one reply, by default and at most.
const USUAL_MESSAGES: usize = 50;
const MOST_MESSAGES: usize = 250;

#[derive(Serialize)]
struct List {
    total: usize,
    count: usize,
    start: usize,
    /// The newest first.
    items: Vec<MessageView>,
}

/// Where a search looks.
enum Kind {
    From,
    To,
    Containing,
}

impl Kind {
    /// Whether a message has this text, in lower case, there.
    fn finds(&self, text: &str, message: &Message) -> bool {
        let has = |value: &str| value.to_lowercase().contains(text);
        let field = |name| message.header(name).is_some_and(|value| has(&value));
        match self {
            Self::From => message.reverse_path().is_some_and(|path| has(&path)) || field("From"),
            Self::To => message.forward_paths().iter().any(|path| has(path)) || field("To"),
            Self::Containing => has(&String::from_utf8_lossy(message.body())),
        }
    }
}

/// The requested start and limit; an invalid number counts as missing.
fn page(call: &Call) -> (usize, usize) {
    let number = |name| call.parameters.lax(name).and_then(|text| text.parse().ok());
    (number("start").unwrap_or(0), number("limit").unwrap_or(USUAL_MESSAGES).min(MOST_MESSAGES))
}

fn page_of(found: &[Shown], (start, limit): (usize, usize)) -> List {
    let page = found.iter().skip(start).take(limit);
    let items = fitting(page.map(|shown| MessageView::of(&shown.message)));
    List { total: found.len(), count: items.len(), start, items }
}

async fn list(call: Call) -> Result<Reply, Refusal> {
    let (page, plane) = (page(&call), Arc::clone(&call.plane));
    let work = move || {
        let mut reply = json(&page_of(&newest(&plane), page));
        // As in MailHog.
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/json"));
        reply
    };
    call.plane.desk.look(work).await
}

async fn search(call: Call) -> Result<Reply, Refusal> {
    let kind = match call.parameters.lax("kind") {
        Some("from") => Kind::From,
        Some("to") => Kind::To,
        Some("containing") => Kind::Containing,
        _ => return Err(invalid("kind", "from, to or containing")),
    };
    let text = call.parameters.lax("query").ok_or_else(|| invalid("query", "a text to search"))?;
    let text = text.to_lowercase();
    let (page, plane) = (page(&call), Arc::clone(&call.plane));
    let work = move |asker: &Asker| {
        let found = asker.filter(newest(&plane), |shown| kind.finds(&text, &shown.message))?;
        Ok(json(&page_of(&found, page)))
    };
    call.plane.desk.search(true, work).await
}

/// Answers with a view of the message in the path.
async fn look(
    call: Call,
    answer: impl FnOnce(&Shown, &Plane) -> Option<Reply> + Send + 'static,
) -> Result<Reply, Refusal> {
    let Call { plane, segments, .. } = call;
    let own = Arc::clone(&plane);
    let work = move || find(&segments[0], &own).and_then(|shown| answer(&shown, &own));
    let missing = || {
        let hint = "the id of a message that is there, or the number of one of its parts";
        error(StatusCode::NOT_FOUND, "no_such_message", "id", hint)
    };
    plane.desk.look(work).await?.ok_or_else(missing)
}

async fn one(call: Call) -> Result<Reply, Refusal> {
    look(call, |shown, _| Some(json(&MessageView::of(&shown.message)))).await
}

async fn delete_one(call: Call) -> Result<Reply, Refusal> {
    look(call, |shown, plane| {
        plane.store.take_shown(std::slice::from_ref(shown));
        Some(empty(StatusCode::OK))
    })
    .await
}

async fn raw(call: Call) -> Result<Reply, Refusal> {
    look(call, |shown, _| {
        let reply = of(StatusCode::OK, "message/rfc822", shown.message.content());
        Some(download(reply, Some(&format!("{}.eml", FacadeId(shown.message.id())))))
    })
    .await
}

/// A part by its index in the list of parts, from 0, decoded.
async fn part(call: Call) -> Result<Reply, Refusal> {
    let number = call.segments[1].parse::<usize>().ok().and_then(|place| place.checked_add(1));
    look(call, move |shown, _| part_of(&shown.message, &number?.to_string())).await
}

fn release(_: &Call) -> Result<Reply, Refusal> {
    let hint = "nothing: no message is ever sent to anywhere";
    Err(error(StatusCode::NOT_IMPLEMENTED, "release", "release", hint))
}

/// The servers that messages can be released to: none.
fn outgoing(_: &Call) -> Result<Reply, Refusal> {
    Ok(json(&serde_json::Map::new()))
}
