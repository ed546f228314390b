//! `/api/v1/info` and `/api/v1/webui`: the program and its settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::http::call::Call;
use crate::http::facade::newest;
use crate::http::reply::{Refusal, Reply, json};
use crate::http::route::Route;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/info", |call| Box::pin(info(call))),
    Route::get("/api/v1/webui", |call| Box::pin(async move { webui(&call) })),
];

pub(super) fn version() -> String {
    format!("v{}", env!("CARGO_PKG_VERSION"))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    version: String,
    latest_version: String,
    /// Always empty: no database.
    database: &'static str,
    database_size: usize,
    messages: usize,
    unread: usize,
    tags: BTreeMap<String, usize>,
    runtime_stats: RuntimeStats,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RuntimeStats {
    /// Seconds.
    uptime: u64,
    memory: usize,
    messages_deleted: u64,
    #[serde(rename = "SMTPAccepted")]
    accepted: u64,
    #[serde(rename = "SMTPAcceptedSize")]
    accepted_size: u64,
    #[serde(rename = "SMTPRejected")]
    rejected: u64,
    #[serde(rename = "SMTPIgnored")]
    ignored: u64,
}

/// Waits for the shards, which report their figures between two turns.
async fn info(call: Call) -> Result<Reply, Refusal> {
    let plane = Arc::clone(&call.plane);
    let work = move || {
        let stats = plane.server.stats();
        let all = newest(&plane);
        let marks = plane.mailpit.marks.of_all(&all);
        let mut tags = BTreeMap::new();
        marks
            .iter()
            .flat_map(|mark| mark.tags.iter())
            .for_each(|tag| *tags.entry(tag.clone()).or_default() += 1);
        let memory = all.iter().map(|shown| shown.message.memory()).sum();
        json(&Info {
            version: version(),
            latest_version: version(),
            database: "memory",
            database_size: memory,
            messages: all.len(),
            unread: marks.iter().filter(|mark| !mark.is_read).count(),
            tags,
            runtime_stats: RuntimeStats {
                uptime: stats.ends.as_secs(),
                memory,
                messages_deleted: plane.store.removed(),
                accepted: stats.messages.accepted,
                accepted_size: stats.messages.bytes,
                rejected: stats.messages.refused,
                ignored: 0,
            },
        })
    };
    call.plane.desk.ask(work).await
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WebUi {
    label: &'static str,
    message_relay: Relay,
    spam_assassin: bool,
    chaos_enabled: bool,
    duplicates_ignored: bool,
    hide_delete_all_button: bool,
}

/// No relay: nothing is sent anywhere.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Relay {
    enabled: bool,
    #[serde(rename = "SMTPServer")]
    smtp_server: &'static str,
    return_path: &'static str,
    allowed_recipients: &'static str,
    blocked_recipients: &'static str,
    override_from: &'static str,
    #[serde(rename = "PreserveMessageIDs")]
    preserve_message_ids: bool,
    recipient_allowlist: &'static str,
}

fn webui(_: &Call) -> Result<Reply, Refusal> {
    Ok(json(&WebUi { chaos_enabled: true, ..WebUi::default() }))
}
