//! `/v1/server`: which server this is, where it listens, and how to start the same again.

use serde::Serialize;
use serde_json::Value;

use super::settings;
use crate::http::Plane;
use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply, json};
use crate::http::route::Route;
use crate::net::Listening;
use crate::text::timestamp;

pub(super) const ROUTES: &[Route] = &[Route::get("/v1/server", |call| Box::pin(describe(call)))];

#[derive(Serialize)]
struct View {
    version: &'static str,
    started_at: Option<String>,
    /// It accepts no connections.
    paused: bool,
    /// It has not failed, and is not being stopped.
    serving: bool,
    /// A text: numbers of JSON are exact only below 2^53.
    seed: String,
    listeners: Vec<ListenerView>,
    /// The PEM of the CA that was made at the start.
    tls_ca: Option<String>,
    /// The arguments of the program that start the same server.
    command: Vec<String>,
}

#[derive(Serialize)]
struct ListenerView {
    protocol: &'static str,
    /// TLS begins with each connection.
    encrypted: bool,
    /// `address:port`, or a Unix socket.
    address: String,
    inbox: Option<String>,
}

impl From<&Listening> for ListenerView {
    fn from(listening: &Listening) -> Self {
        Self {
            protocol: listening.protocol.name(),
            encrypted: listening.is_encrypted,
            address: listening.endpoint.to_string(),
            inbox: listening.inbox.as_deref().map(str::to_owned),
        }
    }
}

async fn describe(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let plane = call.plane;
    let server = std::sync::Arc::clone(&plane.server);
    let started_at = plane.desk.ask(move || server.stats().started_at).await?;
    let server = &plane.server;
    Ok(json(&View {
        version: env!("CARGO_PKG_VERSION"),
        started_at: started_at.map(timestamp),
        paused: server.is_paused(),
        serving: server.is_serving(),
        seed: server.seed().to_string(),
        listeners: server.listeners().iter().map(ListenerView::from).collect(),
        tls_ca: server.ca_pem().map(str::to_owned),
        command: command(&plane),
    }))
}

/// The fixed flags as given, then the current values of the others that differ from their defaults.
fn command(plane: &Plane) -> Vec<String> {
    let mut arguments = vec!["smtpmock".to_owned()];
    let now = plane.server.settings();
    let default = settings::view(&now.clone().reset());
    let can_change = |flag: &str| default.contains_key(&flag.replace('-', "_"));
    let mut has_seed = false;
    for (flag, values) in plane.effective.iter().filter(|(flag, _)| !can_change(flag)) {
        has_seed |= flag == "seed";
        values.lines().for_each(|value| arguments.extend([format!("--{flag}={value}")]));
    }
    if !has_seed {
        arguments.push(format!("--seed={}", plane.server.seed()));
    }
    for (name, value) in settings::view(&now) {
        if default.get(&name) != Some(&value) {
            let flag = name.replace('_', "-");
            arguments.extend(texts(&value).into_iter().map(|text| format!("--{flag}={text}")));
        }
    }
    arguments
}

/// A value of a setting as values of its flag: one for each element of a list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}
