//! `/v1/messages`: listing, searching, reading, deleting and taking.

use std::collections::HashSet;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;

use super::selection::{SELECTING, Selection, find};
use super::views::{Detail, Summary, details, summaries};
use crate::http::Plane;
use crate::http::call::Call;
use crate::http::desk::Asker;
use crate::http::download::{download, part_of};
use crate::http::reply::{Refusal, Reply, error, invalid, json, of};
use crate::http::route::Route;
use crate::mime::{self, Mail};
use crate::records::Message;
use crate::records::store::Shown;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/messages", |call| Box::pin(list(call))),
    Route::delete("/v1/messages", |call| Box::pin(delete(call))),
    Route::get("/v1/messages/{id}", |call| Box::pin(one(call))),
    Route::delete("/v1/messages/{id}", |call| Box::pin(delete_one(call))),
    Route::get("/v1/messages/{id}/raw", |call| Box::pin(raw(call))),
    Route::get("/v1/messages/{id}/parts/{n}", |call| Box::pin(part(call))),
    Route::get("/v1/messages/{id}/links", |call| Box::pin(links(call))),
    Route::get("/v1/messages/{id}/codes", |call| Box::pin(codes(call))),
];

/// Messages of one reply, by default and at most.
pub(super) const USUAL_MESSAGES: usize = 50;
pub(super) const MOST_MESSAGES: usize = 500;

#[derive(Serialize)]
struct List {
    /// The newest first.
    messages: Vec<Summary>,
    /// The cursor of the next page; `None` on the last one.
    next: Option<String>,
    /// The number of all selected messages.
    total: usize,
    /// Records that were evicted since the start.
    evicted: u64,
}

async fn list(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[SELECTING, &["limit", "cursor"]].concat())?;
    let selection = Selection::of(&call.parameters, &call.plane).await?;
    let limit = call.parameters.number("limit", 1..=MOST_MESSAGES)?.unwrap_or(USUAL_MESSAGES);
    let cursor = call.parameters.parsed::<u64>("cursor", "the next of another list")?;
    let plane = Arc::clone(&call.plane);
    let reads_mails = selection.reads_mails();
    let work = move |asker: &Asker| {
        let records = plane.store.snapshot_from(selection.from).records;
        let mut selected = selection.filter(records, &plane, asker)?;
        let total = selected.len();
        selected.sort_by_key(|shown| std::cmp::Reverse(shown.number));
        let page = cursor.map_or(0, |cursor| selected.partition_point(|shown| shown.number >= cursor));
        let messages = summaries(selected[page..].iter().take(limit), &plane);
        let (page, rest) = selected[page..].split_at(messages.len());
        let next = page.last().filter(|_| !rest.is_empty()).map(|last| last.number.to_string());
        Ok(json(&List { messages, next, total, evicted: plane.store.evicted() }))
    };
    call.plane.desk.search(reads_mails, work).await
}

#[derive(Serialize)]
struct Deleted {
    deleted: usize,
    /// With `return=true`, the newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Detail>>,
    /// With `return=true`: the number of selected messages that did not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<usize>,
}

/// Deletes the selected messages; with `return=true` as many of the oldest as fit into a reply, and returns them.
async fn delete(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[SELECTING, &["return", "limit", "raw"]].concat())?;
    let selection = Selection::of(&call.parameters, &call.plane).await?;
    let returns = call.parameters.flag("return")?;
    let has_raw = call.parameters.flag("raw")?;
    let limit = call.parameters.number("limit", 1..=MOST_MESSAGES)?;
    if !returns && (limit.is_some() || has_raw) {
        return Err(invalid(if has_raw { "raw" } else { "limit" }, "return=true beside it"));
    }
    let plane = Arc::clone(&call.plane);
    let work = move |asker: &Asker| {
        if !returns && selection.is_unconditional() {
            let deleted = plane.store.take_all_where(|message| selection.has_acceptance_of(message)).len();
            return Ok(json(&Deleted { deleted, messages: None, remaining: None }));
        }
        let records = plane.store.snapshot_from(selection.from).records;
        let mut selected = selection.filter(records, &plane, asker)?;
        let total = selected.len();
        let mut messages = None;
        if returns {
            let details = details(selected.iter().take(limit.unwrap_or(USUAL_MESSAGES)), &plane, has_raw);
            selected.truncate(details.len());
            messages = Some(details);
        }
        let chosen = selected.len();
        let taken = plane.store.take_shown(&selected);
        let taken: HashSet<u64> = taken.into_iter().map(|shown| shown.number).collect();
        let deleted = taken.len();
        // A message that another request has taken meanwhile is not returned here too.
        let messages = messages.map(|messages| {
            let own = messages.into_iter().zip(&selected).filter(|(_, shown)| taken.contains(&shown.number));
            let mut own: Vec<_> = own.map(|(message, _)| message).collect();
            own.reverse();
            own
        });
        Ok(json(&Deleted { deleted, messages, remaining: returns.then_some(total - chosen) }))
    };
    call.plane.desk.search(true, work).await
}

async fn one(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["raw"])?;
    let has_raw = call.parameters.flag("raw")?;
    look(call, move |shown, plane| json(&Detail::of(&shown, plane, has_raw))).await
}

async fn delete_one(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    look(call, |shown, plane| {
        // It may have changed or been deleted by another request meanwhile.
        let deleted = plane.store.take_shown(&[shown]).len();
        json(&Deleted { deleted, messages: None, remaining: None })
    })
    .await
}

/// The text as it was received.
async fn raw(call: Call) -> Result<Reply, Refusal> {
    /// The octets, shared with the store.
    struct Text(Arc<Message>);

    impl AsRef<[u8]> for Text {
        fn as_ref(&self) -> &[u8] {
            self.0.body()
        }
    }

    call.parameters.only(&[])?;
    look(call, |Shown { message, .. }, _| {
        let name = format!("{}.eml", message.id());
        download(of(StatusCode::OK, "message/rfc822", Bytes::from_owner(Text(message))), Some(&name))
    })
    .await
}

/// The octets of a part, decoded; text in UTF-8.
async fn part(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let number = call.segments[1].clone();
    look(call, move |shown, _| {
        part_of(&shown.message, &number).unwrap_or_else(|| {
            let hint = "the number of one of the parts of the message";
            error(StatusCode::NOT_FOUND, "no_such_part", "n", hint).into_reply()
        })
    })
    .await
}

#[derive(Serialize)]
struct Links {
    links: Vec<LinkView>,
}

#[derive(Serialize)]
struct LinkView {
    href: String,
    text: String,
    part: &'static str,
}

async fn links(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    look(call, |shown, _| {
        let links = Mail::parse(shown.message.body()).links();
        let view = |mime::Link { href, text, is_html }| LinkView {
            href,
            text,
            part: if is_html { "html" } else { "text" },
        };
        json(&Links { links: links.into_iter().map(view).collect() })
    })
    .await
}

#[derive(Serialize)]
struct Codes {
    codes: Vec<String>,
}

async fn codes(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    look(call, |shown, _| json(&Codes { codes: Mail::parse(shown.message.body()).codes() })).await
}

/// Answers with `answer` applied to the message that the path names.
async fn look(
    call: Call,
    answer: impl FnOnce(Shown, &Arc<Plane>) -> Reply + Send + 'static,
) -> Result<Reply, Refusal> {
    let Call { plane, segments, .. } = call;
    let own = Arc::clone(&plane);
    plane.desk.look(move || find(&segments[0], &own).map(|shown| answer(shown, &own))).await?
}
