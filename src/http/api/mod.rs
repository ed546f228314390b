//! The interface: one file for each resource, and the table of them. `openapi.json` beside them describes it.

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

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{ConfigError, Settings};
use crate::http::call::Call;
use crate::http::document;
use crate::http::reply::{Refusal, invalid};
use crate::http::router::Route;
use crate::server::{ReconfigureError, Reconfigured};

pub(in crate::http) use html::ViewKeys;
pub(in crate::http) use messages::{download, part_of};
pub(in crate::http) use rules::changed as change_rules;

/// The routes of all resources. One with a fixed segment stands in front of one with any in its place.
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

/// The body as JSON of this form.
async fn parsed<T: DeserializeOwned + Send + 'static>(call: &mut Call) -> Result<T, Refusal> {
    call.read(document::read).await?.map_err(|misfit| invalid(misfit.at(), misfit.hint))
}

/// Why settings are unchanged.
enum Unchanged {
    /// The change itself was refused: no shard has been asked.
    Refused(Refusal),
    Failed(ReconfigureError),
}

impl From<ReconfigureError> for Unchanged {
    fn from(error: ReconfigureError) -> Self {
        Self::Failed(error)
    }
}

/// Changes the settings, and waits until every shard serves by them. Returns what has changed, as of that moment.
///
/// # Errors
/// That of `change`, and that of the server, in which `place` names what is invalid. The settings are unchanged.
async fn reconfigured(
    call: &Call,
    change: impl FnOnce(Settings) -> Result<Settings, Refusal> + Send + 'static,
    place: impl FnOnce(&ConfigError) -> String,
) -> Result<Reconfigured, Refusal> {
    let server = Arc::clone(&call.plane.server);
    let change = |before| change(before).map_err(Unchanged::Refused);
    let done = call.plane.desk.ask(move || server.reconfigure_and_list(change)).await?;
    done.map_err(|unchanged| match unchanged {
        Unchanged::Refused(why) => why,
        Unchanged::Failed(ReconfigureError::Config(error)) => {
            invalid(place(&error), format!("{}, not {:?}", error.expected, error.value))
        }
        Unchanged::Failed(error) => running::not_serving(&error),
    })
}
