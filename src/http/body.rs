//! Bodies of replies.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};

use crate::http::budget::{Budget, Held};
use crate::http::events::Subscription;
use crate::http::places::Sending;

/// Octets of one frame: the most of an unread reply that a connection buffers beyond the shared content.
const FRAME: usize = 64 << 10;

/// The body of a reply, passed to its connection frame by frame as the client reads.
#[derive(Debug, Default)]
pub(super) struct Body {
    content: Content,
    /// Released when the body is dropped.
    _account: Option<Account>,
}

#[derive(Debug)]
enum Content {
    /// The octets not yet passed on.
    Whole(Bytes),
    /// Events as they happen, without an end.
    Events(Subscription),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

/// The counts of a body while it exists.
#[derive(Debug)]
struct Account {
    _held: Held,
    _sending: Sending,
}

impl Body {
    /// Whether it has no end.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.content, Content::Events(_))
    }

    /// Counts the body in this budget, and as being sent. Events have their own bound.
    pub(super) fn accounted(self, budget: &Arc<Budget>, sending: Sending) -> Self {
        let octets = match &self.content {
            Content::Whole(rest) => rest.len(),
            Content::Events(_) => 0,
        };
        let held = budget.count(octets);
        Self { content: self.content, _account: Some(Account { _held: held, _sending: sending }) }
    }
}

impl From<Bytes> for Body {
    fn from(octets: Bytes) -> Self {
        Self { content: Content::Whole(octets), _account: None }
    }
}

impl From<Subscription> for Body {
    fn from(subscription: Subscription) -> Self {
        Self { content: Content::Events(subscription), _account: None }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let octets = match &mut self.content {
            Content::Whole(rest) => {
                let most = rest.len().min(FRAME);
                Poll::Ready((most > 0).then(|| rest.split_to(most)))
            }
            Content::Events(subscription) => subscription.poll_next(context),
        };
        octets.map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(rest) if rest.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            Content::Events(_) => SizeHint::new(),
        }
    }
}
