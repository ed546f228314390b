//! Changes of the settings and rules of the server, for all interfaces.

use std::sync::Arc;

use hyper::StatusCode;

use crate::config::{ConfigError, Settings};
use crate::http::call::Call;
use crate::http::reply::{Refusal, error, invalid};
use crate::server::{ReconfigureError, Reconfigured};
use crate::smtp::rules::Rule;

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

/// Changes the settings, and waits until every shard uses them. Returns the changes, as of that moment.
///
/// # Errors
/// That of `change`, or of the server: `place` names the invalid value. The settings are unchanged.
pub(super) async fn reconfigured(
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
        Unchanged::Failed(error) => not_serving(&error),
    })
}

/// Changes the rules, and returns the changes when every shard uses them. A refusal changes nothing. For changes of one rule: an
/// invalid value is at `rule`.
pub(super) async fn change_rules(
    call: &Call,
    change: impl FnOnce(Vec<Rule>) -> Result<Vec<Rule>, Refusal> + Send + 'static,
) -> Result<Reconfigured, Refusal> {
    change_rules_at(call, change, |_| "rule".to_owned()).await
}

/// The same; `place` names the invalid value in the request.
pub(super) async fn change_rules_at(
    call: &Call,
    change: impl FnOnce(Vec<Rule>) -> Result<Vec<Rule>, Refusal> + Send + 'static,
    place: impl FnOnce(&ConfigError) -> String,
) -> Result<Reconfigured, Refusal> {
    let change = |settings: Settings| {
        let rules = change(settings.policy().rules().cloned().collect())?;
        Ok(settings.rules(rules))
    };
    reconfigured(call, change, place).await
}

/// A server that has stopped or failed changes no more.
pub(super) fn not_serving(failure: &ReconfigureError) -> Refusal {
    error(StatusCode::SERVICE_UNAVAILABLE, "not_serving", "server", failure.to_string())
}
