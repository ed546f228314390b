//! `/livez` and `/readyz`, for tools that start and watch containers.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply, error, json};
use crate::http::route::Route;

pub(super) const ROUTES: &[Route] = &[
    Route::open("/livez", |call| Box::pin(async move { live(&call) })),
    Route::open("/readyz", |call| Box::pin(async move { ready(&call) })),
];

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Always 200: this thread runs.
fn live(call: &Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    Ok(json(&Health { status: "alive" }))
}

/// 200 if the server accepts connections, which a paused one does not.
fn ready(call: &Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let server = &call.plane.server;
    let (reason, hint) = match (server.is_serving(), server.is_paused()) {
        (true, false) => return Ok(json(&Health { status: "ready" })),
        (true, true) => ("paused", "a server that accepts connections: POST /v1/resume"),
        (false, _) => ("not_ready", "the server has failed or is stopping"),
    };
    Err(error(StatusCode::SERVICE_UNAVAILABLE, reason, "server", hint))
}
