//! `/v1/settings`: the settings that can change while the server runs, under the names of their flags.

mod table;
mod values;

use hyper::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::config::{ConfigError, Settings};
use crate::http::call::Call;
use crate::http::changes::reconfigured;
use crate::http::reply::{Refusal, Reply, error, invalid, json};
use crate::http::route::Route;
use crate::smtp::rules::nearest;
use table::{FIXED, Setting, settings};
pub(super) use values::duration;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/settings", |call| Box::pin(async move { list(&call) })),
    Route::with_body(Method::PATCH, "/v1/settings", BODY, |call| Box::pin(change(call))),
];

/// Octets of the settings in one request.
const BODY: usize = 1 << 20;

fn list(call: &Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    Ok(json(&view(&call.plane.server.settings())))
}

/// All settings that can change. No secret is among them.
pub(super) fn view(of: &Settings) -> Map<String, Value> {
    settings().into_iter().map(|setting| (setting.name.to_string(), (setting.get)(of))).collect()
}

/// Changes the named settings, or none. Replies when every shard uses the new ones.
async fn change(mut call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let changes: Map<String, Value> = super::parsed(&mut call).await?;
    check_names(&changes)?;
    let done = reconfigured(&call, move |settings| changed(settings, &changes), place).await?;
    Ok(json(&view(&done.settings)))
}

fn check_names(changes: &Map<String, Value>) -> Result<(), Refusal> {
    let known = settings();
    changes.keys().try_for_each(|name| check_name(name, &known))
}

fn check_name(name: &str, known: &[Setting]) -> Result<(), Refusal> {
    if known.iter().any(|setting| setting.name == name) {
        return Ok(());
    }
    if FIXED.contains(&name) {
        let hint = format!(
            "a setting that can change: this one is fixed, restart the server with --{}",
            name.replace('_', "-")
        );
        return Err(error(StatusCode::CONFLICT, "fixed", name.to_owned(), hint));
    }
    let names = known.iter().map(|setting| &*setting.name);
    let hint = match nearest(name, names) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "the name of a flag, in snake_case: GET /v1/settings has all that can change".to_owned(),
    };
    Err(error(StatusCode::BAD_REQUEST, "no_such_setting", name.to_owned(), hint))
}

/// Applies the changes in the order of the table, not of the request.
fn changed(before: Settings, changes: &Map<String, Value>) -> Result<Settings, Refusal> {
    let default = before.clone().reset();
    table::check_esmtp(changes).map_err(|expected| invalid("esmtp", expected))?;
    settings().iter().try_fold(before, |changed, setting| {
        let Some(value) = changes.get(&*setting.name) else { return Ok(changed) };
        let default = setting.is_default(value).then(|| (setting.get)(&default));
        let set = (setting.set)(changed, default.as_ref().unwrap_or(value));
        set.map_err(|expected| invalid(setting.name.to_string(), expected))
    })
}

/// The name of the invalid setting.
fn place(error: &ConfigError) -> String {
    let found = settings().into_iter().find(|setting| setting.checked_as == error.setting);
    found.map_or(error.setting.to_owned(), |setting| setting.name.into_owned())
}
