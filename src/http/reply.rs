//! Replies: JSON, and errors as `{"error":{"reason","at","hint"}}`.

use std::borrow::Cow;
use std::io;

use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::http::body::Body;
use crate::http::budget::RESERVED_OCTETS;

/// A reply without the common headers.
pub(super) type Reply = Response<Body>;

/// Adds the common headers: nothing is guessed, cached, executed or disclosed.
pub(super) fn with_common_headers(mut reply: Reply) -> Reply {
    let common = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in common {
        reply.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    reply
}

/// A reply with a body of this type.
pub(super) fn of(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Reply::new(Body::from(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A reply without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = status;
    reply
}

/// 200 with this value.
pub(super) fn json(value: &impl Serialize) -> Reply {
    json_as(StatusCode::OK, value)
}

/// The same with another status.
pub(super) fn json_as(status: StatusCode, value: &impl Serialize) -> Reply {
    let text = serde_json::to_vec(value).expect("all its maps have texts for keys");
    of(status, "application/json", text)
}

/// The length of a value as JSON in octets, without building it.
fn json_length(value: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0 += octets.len();
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("all its maps have texts for keys");
    count.0
}

/// Octets of JSON of all messages in one reply: 500 whole mails of 32 KiB fit. A few such replies can be unread at the same time.
pub(super) const FITTING_OCTETS: usize = RESERVED_OCTETS;

/// The first of these, as many as fit into one reply. A larger one is sent alone.
pub(super) fn fitting<T: Serialize>(views: impl Iterator<Item = T>) -> Vec<T> {
    let mut octets = 0;
    let mut fitting = Vec::new();
    for view in views {
        octets += json_length(&view);
        if octets > FITTING_OCTETS && !fitting.is_empty() {
            break;
        }
        fitting.push(view);
    }
    fitting
}

/// The reply of an error; boxed, so that results are small.
#[derive(Debug)]
pub(super) struct Refusal(Box<Reply>);

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self(Box::new(reply))
    }
}

impl Refusal {
    /// The same with another header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().append(name, value);
        self
    }

    pub(super) fn into_reply(self) -> Reply {
        *self.0
    }
}

/// An error: its reason, its place, and the expected value.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fault {
    /// One word, for programs.
    pub(super) reason: &'static str,
    /// The parameter, header or path.
    pub(super) at: Cow<'static, str>,
    /// For people.
    pub(super) hint: Cow<'static, str>,
}

#[derive(Serialize)]
struct ErrorView<'f> {
    error: &'f Fault,
}

/// Characters of a place and of a hint, which may contain input of the client.
pub(super) const LONGEST_PLACE: usize = 200;
const LONGEST_HINT: usize = 2000;

/// The text, cut after `most` characters, with a sign that it was longer.
pub(super) fn cut(text: Cow<'static, str>, most: usize) -> Cow<'static, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text,
    }
}

/// The reply of an error.
pub(super) fn error(
    status: StatusCode,
    reason: &'static str,
    at: impl Into<Cow<'static, str>>,
    hint: impl Into<Cow<'static, str>>,
) -> Refusal {
    let fault = Fault { reason, at: cut(at.into(), LONGEST_PLACE), hint: cut(hint.into(), LONGEST_HINT) };
    Refusal(Box::new(json_as(status, &ErrorView { error: &fault })))
}

/// 400: this parameter is wrong.
pub(super) fn invalid(at: impl Into<Cow<'static, str>>, hint: impl Into<Cow<'static, str>>) -> Refusal {
    error(StatusCode::BAD_REQUEST, "invalid", at, hint)
}

/// 500, for a bug.
pub(super) fn broken() -> Refusal {
    error(StatusCode::INTERNAL_SERVER_ERROR, "bug", "", "this is a bug of smtpmock: please report it")
}
