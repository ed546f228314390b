//! Bodies of requests, received within a bound.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};

use crate::http::budget::{Budget, Held};
use crate::http::reply::{Refusal, error};

/// Reads the body of a request, of `most` octets at most, with its part of the budget.
///
/// # Errors
/// The refusal of a body that is too large, too slow or incomplete, or exceeds the budget of all bodies.
pub(super) async fn body(
    body: Incoming,
    most: usize,
    timeout: Duration,
    budget: &Arc<Budget>,
) -> Result<(Vec<u8>, Held), Refusal> {
    let busy = || {
        let hint = "fewer and smaller bodies at the same time: those of others take all memory for them";
        error(StatusCode::SERVICE_UNAVAILABLE, "busy", "body", hint)
    };
    let mut held = budget.take(0).ok_or_else(busy)?;
    let too_large = || {
        let hint = format!("a body of at most {most} octets");
        error(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "body", hint)
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut body = Box::pin(body);
    let mut octets = Vec::new();
    let all = async {
        while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
            let Ok(frame) = frame else {
                return Err(error(
                    StatusCode::BAD_REQUEST,
                    "bad_body",
                    "body",
                    "a body as long as its Content-Length",
                ));
            };
            if let Ok(data) = frame.into_data() {
                if octets.len() + data.len() > most {
                    return Err(too_large());
                }
                if !held.grow(data.len()) {
                    return Err(busy());
                }
                octets.extend_from_slice(&data);
            }
        }
        Ok((octets, held))
    };
    tokio::time::timeout(timeout, all).await.unwrap_or_else(|_| {
        Err(error(StatusCode::REQUEST_TIMEOUT, "slow_body", "body", "a body sent within the request timeout"))
    })
}
