//! Features of Mailpit that are refused on purpose: they would send requests or mails, or show no message.

use hyper::{Method, StatusCode};

use crate::http::call::Call;
use crate::http::mailpit::{BODY, refusal};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::Route;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/message/{id}/html-check", |call| Box::pin(async move { refuse(&call) })),
    Route::get("/api/v1/message/{id}/link-check", |call| Box::pin(async move { refuse(&call) })),
    Route::get("/api/v1/message/{id}/sa-check", |call| Box::pin(async move { refuse(&call) })),
    Route::get("/api/v1/message/{id}/part/{n}/thumb", |call| Box::pin(async move { refuse(&call) })),
    Route::with_body(Method::POST, "/api/v1/message/{id}/release", BODY, |call| {
        Box::pin(async move { refuse(&call) })
    }),
];

fn refuse(_: &Call) -> Result<Reply, Refusal> {
    Err(refusal(StatusCode::NOT_IMPLEMENTED, "smtpmock does not do this: see \"From Mailpit\" in its README"))
}
