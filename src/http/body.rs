//! Bodies: those of replies, and reading those of requests within a bound.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};

use crate::http::reply::{Refusal, error};

/// The body of a reply, in one piece.
#[derive(Debug, Default)]
pub(super) struct Body(Option<Bytes>);

impl From<Bytes> for Body {
    fn from(octets: Bytes) -> Self {
        Self(Some(octets).filter(|octets| !octets.is_empty()))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|octets| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |octets| octets.len() as u64))
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
