//! Mailpit's interface: API v1, `/view` and its WebSocket, as views of the same messages and rules that `/v1` shows.
//!
//! Only read marks and tags are beside the records, in a bounded table ([`marks`]). What Mailpit's clients use is as there; what
//! differs on purpose stands in the README.

mod chaos;
mod filter;
mod id;
mod info;
mod marks;
mod message;
mod messages;
mod read;
mod refused;
mod summary;
mod tags;

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use serde::Deserialize;

use crate::http::Plane;
use crate::http::call::Call;
use crate::http::mailpit::marks::Marks;
use crate::http::reply::{Refusal, Reply, of};
use crate::http::router::Route;
use crate::records::store::Shown;

pub(super) use id::FacadeId;

const RESOURCES: &[&[Route]] = &[
    messages::ROUTES,
    read::ROUTES,
    message::ROUTES,
    tags::ROUTES,
    info::ROUTES,
    chaos::ROUTES,
    refused::ROUTES,
];

/// All routes.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    RESOURCES.iter().flat_map(|routes| routes.iter())
}

/// What this interface has beside the records.
#[derive(Debug, Default)]
pub(super) struct State {
    marks: Marks,
    /// Messages that were deleted through this interface and MailHog's.
    deleted: AtomicU64,
}

/// Octets of a body, as Mailpit has it.
const BODY: usize = 5 << 20;

const TEXT: &str = "text/plain; charset=utf-8";

/// The reply to a change.
fn ok() -> Reply {
    of(StatusCode::OK, TEXT, "ok")
}

/// An error, as Mailpit has them: a text.
fn refusal(status: StatusCode, text: impl Into<String>) -> Refusal {
    of(status, TEXT, text.into()).into()
}

fn bad_request(text: impl Into<String>) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, text)
}

fn not_found() -> Refusal {
    refusal(StatusCode::NOT_FOUND, "404 page not found")
}

/// The body as JSON; the default where there is none.
fn parsed<T: Default + for<'b> Deserialize<'b>>(call: &Call) -> Result<T, Refusal> {
    if call.body.is_empty() {
        return Ok(T::default());
    }
    // An array would do for an object with fields in its order.
    let wrong = |error: serde_json::Error| bad_request(format!("the body is not as expected: {error}"));
    let fields: serde_json::Map<_, _> = serde_json::from_slice(&call.body).map_err(wrong)?;
    serde_json::from_value(fields.into()).map_err(wrong)
}

/// The accepted messages, the newest first.
pub(super) fn newest(plane: &Plane) -> Vec<Shown> {
    let mut records = plane.store.snapshot_from(0).records;
    records.retain(|shown| shown.message.msg());
    records.sort_by_key(|shown| std::cmp::Reverse(shown.number));
    records
}

/// Deletes these messages.
pub(super) fn delete(plane: &Plane, chosen: Vec<Shown>) {
    let taken = plane.store.take_shown(&chosen);
    plane.mailpit.deleted.fetch_add(taken.len() as u64, Ordering::Relaxed);
    drop((chosen, taken));
    plane.catalogue.forget_removed();
}
