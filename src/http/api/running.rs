//! `/v1/pause`, `/v1/resume` and `/v1/stop`: whether the server accepts connections, and its end.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Serialize;

use crate::http::call::Call;
use crate::http::changes::not_serving;
use crate::http::reply::{Refusal, Reply, json, json_as};
use crate::http::route::Route;
use crate::server::{ReconfigureError, Server};
use crate::smtp::rules::MAX_DURATION;

pub(super) const ROUTES: &[Route] = &[
    Route::with_body(Method::POST, "/v1/pause", 0, |call| Box::pin(set_paused(call, Server::pause))),
    Route::with_body(Method::POST, "/v1/resume", 0, |call| Box::pin(set_paused(call, Server::resume))),
    Route::with_body(Method::POST, "/v1/stop", 0, |call| Box::pin(async move { stop(&call) })),
];

#[derive(Serialize)]
struct Accepting {
    paused: bool,
}

#[derive(Serialize)]
struct Stopping {
    stopping: bool,
}

/// Replies when every shard has stopped accepting, or accepts again.
async fn set_paused(call: Call, set: fn(&Server) -> Result<(), ReconfigureError>) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let server = Arc::clone(&call.plane.server);
    let done = call.plane.desk.ask(move || set(&server).map(|()| server.is_paused())).await?;
    done.map(|paused| json(&Accepting { paused })).map_err(|error| not_serving(&error))
}

/// Does not wait: if the hook ends the program, this thread still writes the reply before it ends, as nothing else runs on it
/// meanwhile.
fn stop(call: &Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["timeout"])?;
    let timeout = call.parameters.duration("timeout", MAX_DURATION)?;
    call.plane.server.begin_stop(timeout);
    if let Some(hook) = &call.plane.on_stop {
        (hook.0)(timeout);
    }
    Ok(json_as(StatusCode::ACCEPTED, &Stopping { stopping: true }))
}
