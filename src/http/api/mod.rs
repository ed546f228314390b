//! The interface: one file for each resource, and the table of them. `openapi.json` beside them describes it.

mod events;
mod health;
mod messages;
mod metrics;
mod openapi;
mod report;
mod rules;
mod running;
mod selection;
mod sessions;
mod settings;
mod views;
mod wait;

use std::sync::Arc;

use serde::Deserialize;

use crate::config::Settings;
use crate::http::call::Call;
use crate::http::reply::{Refusal, invalid};
use crate::http::router::Route;
use crate::server::ReconfigureError;

pub(in crate::http) use messages::{download, part_of};
pub(in crate::http) use rules::changed as change_rules;

/// The routes of all resources. One with a fixed segment stands in front of one with any in its place.
const RESOURCES: &[&[Route]] = &[
    health::ROUTES,
    openapi::ROUTES,
    wait::ROUTES,
    messages::ROUTES,
    report::ROUTES,
    events::ROUTES,
    metrics::ROUTES,
    rules::ROUTES,
    running::ROUTES,
    sessions::ROUTES,
    settings::ROUTES,
];

/// All routes.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    RESOURCES.iter().flat_map(|routes| routes.iter())
}

/// The body as JSON of this form.
fn parsed<T: for<'b> Deserialize<'b>>(call: &Call) -> Result<T, Refusal> {
    serde_json::from_slice(&call.body).map_err(|error| invalid("body", error.to_string()))
}

/// Changes the settings, and waits until every shard serves by them. A refusal leaves them unchanged.
async fn reconfigured(
    call: &Call,
    change: impl FnOnce(Settings) -> Result<Settings, Refusal> + Send + 'static,
) -> Result<Result<(), ReconfigureError>, Refusal> {
    let server = Arc::clone(&call.plane.server);
    let work = move || {
        let mut refusal = None;
        let done = server.reconfigure(|before| {
            change(before.clone()).unwrap_or_else(|why| {
                refusal = Some(why);
                before
            })
        });
        refusal.map_or(Ok(done), Err)
    };
    let done = call.plane.desk.ask(work).await?;
    call.plane.rules_changed.notify_one();
    done
}
