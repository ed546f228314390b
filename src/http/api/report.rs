//! `/v1/report`: the report so far.

use std::sync::Arc;

use hyper::StatusCode;

use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply, of};
use crate::http::router::Route;
use crate::report::Report;

pub(super) const ROUTES: &[Route] = &[Route::get("/v1/report", |call| Box::pin(report(call)))];

/// Each shard hands its figures over between two turns.
async fn report(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let plane = Arc::clone(&call.plane);
    let work = move || Report::new(&plane.server.stats()).settings(plane.effective.iter().cloned()).json();
    let text = call.plane.desk.ask(work).await?;
    Ok(of(StatusCode::OK, "application/json", text))
}
