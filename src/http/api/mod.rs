//! The interface: one file for each resource, and the table of them. `openapi.json` in this folder describes it.

mod events;
mod health;
mod html;
mod messages;
mod metrics;
mod openapi;
mod report;
mod rules;
mod running;
mod selection;
mod server;
mod sessions;
mod settings;
mod views;
mod wait;

use serde::de::DeserializeOwned;

use crate::http::call::Call;
use crate::http::document;
use crate::http::reply::{Refusal, invalid};
use crate::http::route::Route;

pub(in crate::http) use html::ViewKeys;

/// The routes of all resources. A route with a fixed segment precedes one with a placeholder in its position.
const RESOURCES: &[&[Route]] = &[
    health::ROUTES,
    openapi::ROUTES,
    wait::ROUTES,
    messages::ROUTES,
    html::ROUTES,
    report::ROUTES,
    events::ROUTES,
    metrics::ROUTES,
    rules::ROUTES,
    running::ROUTES,
    server::ROUTES,
    sessions::ROUTES,
    settings::ROUTES,
];

/// All routes.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    RESOURCES.iter().flat_map(|routes| routes.iter())
}

/// Parses the body as JSON of this type.
async fn parsed<T: DeserializeOwned + Send + 'static>(call: &mut Call) -> Result<T, Refusal> {
    call.read(document::read).await?.map_err(|misfit| invalid(misfit.at(), misfit.hint))
}
