//! `/livez` and `/readyz`, for what starts and watches containers.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply, error, json};
use crate::http::router::Route;

pub(super) const ROUTES: &[Route] = &[
    Route::open("/livez", |call| Box::pin(async move { live(&call) })),
    Route::open("/readyz", |call| Box::pin(async move { ready(&call) })),
];

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// This thread answers.
fn live(_: &Call) -> Result<Reply, Refusal> {
    Ok(json(&Health { status: "alive" }))
}

/// The server accepts connections.
fn ready(call: &Call) -> Result<Reply, Refusal> {
    match call.plane.server.is_serving() {
        true => Ok(json(&Health { status: "ready" })),
        false => {
            let hint = "a server that has not failed, and is not being stopped";
            Err(error(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "server", hint))
        }
    }
}
