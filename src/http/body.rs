//! Bodies: those of replies, and reading those of requests within a bound.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};

use crate::http::events::Subscription;
use crate::http::reply::{Refusal, error};

/// The body of a reply.
#[derive(Debug)]
pub(super) enum Body {
    /// In one piece, or nothing.
    Whole(Option<Bytes>),
    /// Events as they happen, without an end.
    Events(Subscription),
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(None)
    }
}

impl From<Bytes> for Body {
    fn from(octets: Bytes) -> Self {
        Self::Whole(Some(octets).filter(|octets| !octets.is_empty()))
    }
}

impl From<Subscription> for Body {
    fn from(subscription: Subscription) -> Self {
        Self::Events(subscription)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let octets = match &mut *self {
            Self::Whole(octets) => Poll::Ready(octets.take()),
            Self::Events(subscription) => subscription.poll_next(context),
        };
        octets.map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(octets) => {
                SizeHint::with_exact(octets.as_ref().map_or(0, |octets| octets.len() as u64))
            }
            Self::Events(_) => SizeHint::new(),
        }
    }
}

/// Reads the body of a request, of `most` octets at most.
///
/// # Errors
/// The reply for one that is larger, late or broken off.
pub(super) async fn read(body: Incoming, most: usize, timeout: Duration) -> Result<Vec<u8>, Refusal> {
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
                    "a body that ends as its head says",
                ));
            };
            if let Ok(data) = frame.into_data() {
                if octets.len() + data.len() > most {
                    return Err(too_large());
                }
                octets.extend_from_slice(&data);
            }
        }
        Ok(octets)
    };
    tokio::time::timeout(timeout, all).await.unwrap_or_else(|_| {
        Err(error(StatusCode::REQUEST_TIMEOUT, "slow_body", "body", "a body that is sent without a pause"))
    })
}
