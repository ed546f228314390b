//! `/v1/events`: server-sent events (the HTML standard, section 9.2).

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::selection::behind;
use crate::http::body::Body;
use crate::http::call::Call;
use crate::http::events::{Kind, Kinds, message};
use crate::http::reply::{Refusal, Reply, error, invalid};
use crate::http::router::Route;

pub(super) const ROUTES: &[Route] = &[Route::get("/v1/events", |call| Box::pin(listen(call)))];

/// Missed messages that a reconnecting client is sent at once.
const BACKLOG: usize = 1000;

async fn listen(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["types", "after"])?;
    let kinds = match call.parameters.text("types")? {
        None => Kinds::EVERY,
        Some(text) => Kinds::parse(text).ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name).join(", ");
            invalid("types", format!("some of {names}, with commas between them"))
        })?,
    };
    let plane = &call.plane;
    // After a reconnection the header is newer than the URL.
    let last = call.head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    // A browser never comes back after an error: an id that is none of ours, as of another server before, is no position.
    let last = last.filter(|id| !id.is_empty()).map(|id| behind(id, plane).ok());
    let from = match last {
        Some(from) => from,
        None => call.parameters.text("after")?.map(|id| behind(id, plane)).transpose()?,
    };
    // Without a position to resume from, only new messages.
    let place = plane.wait_place()?;
    let (mut first, mut missed, mut end) = (Vec::new(), 0, u64::MAX);
    if let Some(from) = from.filter(|_| kinds.has(Kind::Message)) {
        let store = Arc::clone(&plane.store);
        let backlog = move || {
            let mut news = store.snapshot_from(from);
            let missed = news.records.len().saturating_sub(BACKLOG);
            news.records.drain(..missed);
            (news.records.iter().map(message).collect(), missed as u64, news.end)
        };
        (first, missed, end) = plane.desk.look(backlog).await?;
    }
    // Others get no event while this runs: what has arrived in between is little.
    let backlog = || {
        let news = plane.store.snapshot_from(end);
        first.extend(news.records.iter().map(message));
        (first, missed, news.end)
    };
    let Some(subscription) = plane.events.subscribe(kinds, place, backlog) else {
        let hint = "fewer clients that listen at once";
        return Err(error(StatusCode::SERVICE_UNAVAILABLE, "too_many", "events", hint));
    };
    let mut reply = Reply::new(Body::from(subscription));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(reply)
}
