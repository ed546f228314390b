//! `/v1/events`: server-sent events (the HTML standard, section 9.2).

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::selection::number_after;
use crate::http::body::Body;
use crate::http::call::Call;
use crate::http::events::{Backlog, Kind, Kinds};
use crate::http::reply::{Refusal, Reply, error, invalid};
use crate::http::route::Route;

pub(super) const ROUTES: &[Route] = &[Route::get("/v1/events", |call| Box::pin(listen(call)))];

/// Largest number of missed messages that a reconnecting client is sent.
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
    // A browser does not reconnect after an error: an id of another server, such as an earlier one at this address, is ignored.
    let from = match (last.filter(|id| !id.is_empty()), call.parameters.text("after")?) {
        (Some(id), _) => number_after(id, plane).await.ok(),
        (None, Some(id)) => Some(number_after(id, plane).await?),
        (None, None) => None,
    };
    let place = plane.wait_place()?;
    let Some(mut subscription) = plane.events.subscribe(kinds, place, &plane.store) else {
        let hint = "fewer clients that listen at once";
        return Err(error(StatusCode::SERVICE_UNAVAILABLE, "too_many", "events", hint));
    };
    // Without a position to resume from, only new messages.
    if let Some(from) = from.filter(|_| kinds.has(Kind::Message)) {
        let (store, numbers) = (Arc::clone(&plane.store), from..subscription.start());
        subscription.begin_with(plane.desk.look(move || Backlog::read(&store, numbers, BACKLOG)).await?);
    }
    let mut reply = Reply::new(Body::from(subscription));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(reply)
}
