//! `/api/v1/messages` and `/api/v1/search`: listing, searching and deleting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::http::Plane;
use crate::http::call::Call;
use crate::http::desk::{Abandoned, Asker};
use crate::http::facade::{FacadeId, newest};
use crate::http::mailpit::filter::{Filter, Found, Marked};
use crate::http::mailpit::summary::Summary;
use crate::http::mailpit::{BODY, bad_request, is_mailhog_client, ok, parsed};
use crate::http::reply::{Refusal, Reply, empty, fitting, json};
use crate::http::route::Route;
use crate::records::Message;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/messages", |call| Box::pin(list(call))),
    Route::with_body(Method::DELETE, "/api/v1/messages", BODY, |call| Box::pin(delete_listed(call))),
    Route::get("/api/v1/search", |call| Box::pin(search(call))),
    Route::delete("/api/v1/search", |call| Box::pin(delete_found(call))),
];

/// Messages of one reply, by default, and at most.
const USUAL_MESSAGES: usize = 50;
const MOST_MESSAGES: usize = 10_000;

/// Its field names are in snake_case, as in Mailpit.
#[derive(Serialize)]
pub(super) struct List {
    total: usize,
    unread: usize,
    /// Of this page.
    count: usize,
    messages_count: usize,
    messages_unread: usize,
    start: usize,
    tags: BTreeSet<String>,
    messages: Vec<Summary>,
}

/// The requested page.
struct Page {
    start: usize,
    limit: usize,
    before: Option<SystemTime>,
}

impl Page {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let number = |name: &str| match call.parameters.lax(name) {
            None => Ok(None),
            // Some clients send -1 for all.
            Some(text) => text
                .parse::<i64>()
                .map(|number| Some(usize::try_from(number).unwrap_or(0)))
                .map_err(|_| bad_request(format!("Error: {name} must be a whole number"))),
        };
        let before = call.parameters.lax("before").and_then(crate::search::moment);
        let limit = match number("limit")? {
            None => USUAL_MESSAGES,
            Some(0) => MOST_MESSAGES,
            Some(limit) => limit.min(MOST_MESSAGES),
        };
        Ok(Self { start: number("start")?.unwrap_or(0), limit, before })
    }
}

async fn list(call: Call) -> Result<Reply, Refusal> {
    let (page, plane) = (Page::of(&call)?, Arc::clone(&call.plane));
    call.plane.desk.search(false, move |asker| found(&Filter::default(), &page, &plane, asker)).await
}

async fn search(call: Call) -> Result<Reply, Refusal> {
    let (filter, page, plane) = (searched(&call)?, Page::of(&call)?, Arc::clone(&call.plane));
    call.plane.desk.search(true, move |asker| found(&filter, &page, &plane, asker)).await
}

fn found(filter: &Filter, page: &Page, plane: &Plane, asker: &Asker) -> Result<Reply, Abandoned> {
    Ok(json(&page_of(&filter.apply(plane, asker)?, page, plane)))
}

fn searched(call: &Call) -> Result<Filter, Refusal> {
    let query = call.parameters.lax("query").map(str::trim).filter(|query| !query.is_empty());
    Filter::parse(query.ok_or_else(|| bad_request("Error: no search query"))?)
}

fn page_of(found: &Found, page: &Page, plane: &Plane) -> List {
    let Found { all, .. } = found;
    let is_unread = |(_, mark): &&Marked| !mark.is_read;
    let came_before = |(shown, _): &&Marked| {
        let message = &shown.message;
        page.before.is_none_or(|before| message.arrived_at() < before)
    };
    let chosen = found.chosen().filter(came_before).skip(page.start).take(page.limit);
    let messages = fitting(chosen.map(|marked| Summary::of(marked, plane)));
    List {
        total: all.len(),
        unread: all.iter().filter(is_unread).count(),
        count: messages.len(),
        messages_count: found.chosen().len(),
        messages_unread: found.chosen().filter(is_unread).count(),
        start: page.start,
        tags: all.iter().flat_map(|(_, mark)| mark.tags.iter().cloned()).collect(),
        messages,
    }
}

/// The messages to delete: all without ids, or without a body.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    #[serde(default, rename = "IDs", alias = "ids")]
    ids: Vec<String>,
}

async fn delete_listed(mut call: Call) -> Result<Reply, Refusal> {
    let Ids { ids } = parsed(&mut call).await?;
    let is_mailhog_client = is_mailhog_client(&call);
    let plane = Arc::clone(&call.plane);
    let work = move || {
        if ids.is_empty() {
            plane.store.take_all_where(Message::msg);
        } else {
            let ids = known(&ids);
            let mut chosen = newest(&plane);
            chosen.retain(|shown| ids.contains(&shown.message.id()));
            plane.store.take_shown(&chosen);
        }
        if is_mailhog_client { empty(StatusCode::OK) } else { ok() }
    };
    call.plane.desk.look(work).await
}

/// The valid ids among these texts.
pub(super) fn known(ids: &[String]) -> std::collections::HashSet<crate::smtp::RecordId> {
    ids.iter().filter_map(|id| id.parse::<FacadeId>().ok()).map(|FacadeId(id)| id).collect()
}

async fn delete_found(call: Call) -> Result<Reply, Refusal> {
    let (filter, plane) = (searched(&call)?, Arc::clone(&call.plane));
    let work = move |asker: &Asker| {
        let found = filter.apply(&plane, asker)?;
        let chosen: Vec<_> = found.chosen().map(|(shown, _)| shown.clone()).collect();
        plane.store.take_shown(&chosen);
        Ok(ok())
    };
    call.plane.desk.search(true, work).await
}
