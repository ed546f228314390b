//! The interface: one file for each resource, and the table of them. `openapi.json` beside them describes it.

mod health;
mod messages;
mod openapi;
mod report;
mod rules;
mod running;
mod selection;
mod sessions;
mod views;
mod wait;

use crate::http::router::Route;

pub(in crate::http) use messages::{download, part_of};
pub(in crate::http) use rules::changed as change_rules;

/// The routes of all resources. One with a fixed segment stands in front of one with any in its place.
const RESOURCES: &[&[Route]] = &[
    health::ROUTES,
    openapi::ROUTES,
    wait::ROUTES,
    messages::ROUTES,
    report::ROUTES,
    rules::ROUTES,
    running::ROUTES,
    sessions::ROUTES,
];

/// All routes.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    RESOURCES.iter().flat_map(|routes| routes.iter())
}
