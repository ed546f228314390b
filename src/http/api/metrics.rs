//! `/metrics`: the figures for Prometheus.

use std::sync::Arc;

use hyper::StatusCode;

use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply, of};
use crate::http::route::Route;
use crate::http::{exposition, metrics};

pub(super) const ROUTES: &[Route] = &[Route::get("/metrics", |call| Box::pin(scrape(call)))];

/// Readings are made one after the other, so that no counter goes back.
async fn scrape(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let plane = Arc::clone(&call.plane);
    let work = move || {
        let (stats, records) = (plane.server.stats(), plane.store.visible());
        metrics::exposition(&stats, records, &plane.server.rule_totals())
    };
    let text = call.plane.desk.ask(work).await?;
    Ok(of(StatusCode::OK, exposition::CONTENT_TYPE, text))
}
