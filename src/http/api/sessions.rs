//! `/v1/sessions`: the open sessions, and their end.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Serialize;

use super::views::Tls;
use crate::http::call::Call;
use crate::http::parameters::Parameters;
use crate::http::reply::{Refusal, Reply, error, invalid, json};
use crate::http::route::Route;
use crate::net::{Farewell, OpenSession};
use crate::records::Endpoint;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/sessions", |call| Box::pin(list(call))),
    Route::delete("/v1/sessions", |call| Box::pin(end_all(call))),
    Route::delete("/v1/sessions/{session}", |call| Box::pin(end_one(call))),
];

/// Sessions of one reply, by default and at most: each shard copies that many between two turns.
const USUAL_SESSIONS: usize = 100;
const MOST_SESSIONS: usize = 1000;

#[derive(Serialize)]
struct List {
    /// The oldest first.
    sessions: Vec<View>,
    /// The cursor of the next page; `None` on the last one.
    next: Option<String>,
    /// The number of open sessions.
    total: usize,
}

#[derive(Serialize)]
struct View {
    id: u64,
    peer_addr: String,
    listener: String,
    transport: &'static str,
    protocol: &'static str,
    tls: Option<Tls>,
    state: String,
    stage: &'static str,
    helo: Option<String>,
    user: Option<String>,
    messages: u32,
    octets_received: u64,
    octets_sent: u64,
    age_seconds: f64,
    silence_seconds: f64,
}

impl From<OpenSession> for View {
    fn from(of: OpenSession) -> Self {
        Self {
            id: of.id,
            peer_addr: of.peer.to_string(),
            listener: of.listener.to_string(),
            transport: transport(&of),
            protocol: of.protocol.name(),
            tls: of.tls.as_deref().map(Tls::from),
            state: of.state.to_string(),
            stage: of.stage.name(),
            helo: of.helo,
            user: of.user,
            messages: of.messages,
            octets_received: of.received,
            octets_sent: of.sent,
            age_seconds: of.age.as_secs_f64(),
            silence_seconds: of.silence.as_secs_f64(),
        }
    }
}

/// The current transport: STARTTLS encrypts a session in clear.
fn transport(of: &OpenSession) -> &'static str {
    match (&of.listener, &of.tls) {
        (Endpoint::Unix(_), _) => "unix",
        (Endpoint::Inet(_), Some(_)) => "tls",
        (Endpoint::Inet(_), None) => "plain",
    }
}

async fn list(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["limit", "cursor"])?;
    let limit = call.parameters.number("limit", 1..=MOST_SESSIONS)?.unwrap_or(USUAL_SESSIONS);
    let after = call.parameters.parsed::<u64>("cursor", "the next of another list")?.unwrap_or(0);
    let server = Arc::clone(&call.plane.server);
    let work = move || {
        // One more shows whether another page follows.
        let mut found = server.sessions_after(after, limit + 1);
        let has_more = found.sessions.len() > limit;
        found.sessions.truncate(limit);
        let next = found.sessions.last().filter(|_| has_more).map(|last| last.id.to_string());
        let sessions = found.sessions.into_iter().map(View::from).collect();
        json(&List { sessions, next, total: found.total })
    };
    call.plane.desk.ask(work).await
}

#[derive(Serialize)]
struct Ended {
    ended: usize,
}

async fn end_all(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["how"])?;
    let farewell = farewell(&call.parameters)?;
    let server = Arc::clone(&call.plane.server);
    call.plane.desk.ask(move || json(&Ended { ended: server.end_sessions(farewell) })).await
}

async fn end_one(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["how"])?;
    let farewell = farewell(&call.parameters)?;
    let no_such_session = |id: &str| {
        error(StatusCode::NOT_FOUND, "no_such_session", id.to_owned(), "the id of an open session, a number")
    };
    let text = &call.segments[0];
    let id: u64 = text.parse().map_err(|_| no_such_session(text))?;
    let server = Arc::clone(&call.plane.server);
    match call.plane.desk.ask(move || id > 0 && server.end_session(id, farewell)).await? {
        true => Ok(json(&Ended { ended: 1 })),
        false => Err(no_such_session(text)),
    }
}

/// The requested farewell (`how`), by default a 421.
fn farewell(parameters: &Parameters) -> Result<Farewell, Refusal> {
    match parameters.text("how")? {
        None | Some("421") => Ok(Farewell::Refused),
        Some("reset") => Ok(Farewell::Reset),
        Some(_) => Err(invalid("how", "421, or reset")),
    }
}
