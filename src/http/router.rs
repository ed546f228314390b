//! From a request to the handler that answers it, by the table of `api`.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, HeaderValue, TRANSFER_ENCODING, VARY,
};
use hyper::{Method, Request, StatusCode};

use crate::http::call::{Call, Over};
use crate::http::parameters::Parameters;
use crate::http::reply::{Refusal, Reply, empty, error, invalid, with_common_headers};
use crate::http::route::Route;
use crate::http::{Plane, api, mailhog, mailpit, page, received};

/// Octets of the body of a request that needs none: it is read to its end, and refused.
const UNWANTED: usize = 64 << 10;

/// The routes of all interfaces.
fn routes() -> impl Iterator<Item = &'static Route> {
    api::routes().chain(page::routes()).chain(mailpit::routes()).chain(mailhog::routes())
}

/// Answers a request.
pub(super) async fn answer(
    plane: Arc<Plane>,
    request: Request<Incoming>,
    over: Over,
    request_timeout: Duration,
) -> Reply {
    let (head, body) = request.into_parts();
    // Recipients can differ about its end (RFC 9112 section 6.1): nothing after it is read as a request.
    let has_transfer_encoding = head.headers.contains_key(TRANSFER_ENCODING);
    let (origin, is_last, reply) = match plane.guard.check_source(&head, over) {
        Ok(origin) => (origin, has_transfer_encoding, routed(plane, head, body, request_timeout).await),
        Err(refusal) => (None, true, Err(refusal)),
    };
    let mut reply = with_common_headers(reply.unwrap_or_else(Refusal::into_reply));
    if is_last {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(origin) = origin {
        reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        reply.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    }
    reply
}

async fn routed(
    plane: Arc<Plane>,
    head: hyper::http::request::Parts,
    body: Incoming,
    request_timeout: Duration,
) -> Result<Reply, Refusal> {
    let path = head.uri.path();
    let matching: Vec<_> =
        routes().filter_map(|route| route.matches(path).map(|segments| (route, segments))).collect();
    // HEAD is GET, of whose reply hyper sends the head alone.
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    // Fixed segments precede placeholders in the table, and hide them.
    let hides = |route: &Route| matching.first().is_none_or(|(first, _)| first.path == route.path);
    let found = matching.iter().find(|(route, _)| route.method == *method && hides(route));
    // Apart from open routes, only a preflight is answered without credentials: it has none, and discloses only the methods of a
    // path.
    let is_preflight = head.method == Method::OPTIONS;
    if !is_preflight && !found.is_some_and(|(route, _)| route.is_open) {
        plane.guard.check_credentials(&head)?;
    }
    let Some((route, segments)) = found else {
        let allowed = allowed(matching.iter().map(|(route, _)| *route).filter(|route| hides(route)));
        return match matching.is_empty() {
            true => {
                let hint = "a path of the interface: see /v1/openapi.json";
                Err(error(StatusCode::NOT_FOUND, "no_such_path", path.to_owned(), hint))
            }
            false if is_preflight => Ok(preflight(&allowed)),
            false => {
                let hint = format!("one of {allowed}");
                let refusal = error(StatusCode::METHOD_NOT_ALLOWED, "method", "method", hint);
                Err(refusal.with(ALLOW, value(&allowed)))
            }
        };
    };
    let parameters = Parameters::parse(head.uri.query())?;
    let (handler, segments) = (route.handler, segments.clone());
    let most = if route.body == 0 { UNWANTED } else { route.body };
    let (body, held) = received::body(body, most, request_timeout, &plane.bodies).await?;
    if route.body == 0 && !body.is_empty() {
        // A client that sends one expects an effect.
        return Err(invalid("body", "no body: this request takes query parameters only"));
    }
    handler(Call { plane, head, segments, parameters, body, _held: held }).await
}

/// The methods of these routes, for `Allow`.
fn allowed<'r>(routes: impl Iterator<Item = &'r Route>) -> String {
    let mut methods: Vec<String> = Vec::new();
    for route in routes {
        methods.push(route.method.to_string());
        if route.method == Method::GET {
            methods.push(Method::HEAD.to_string());
        }
    }
    methods.push(Method::OPTIONS.to_string());
    methods.join(", ")
}

/// The reply to OPTIONS, which browsers ask before they send a request to another origin.
fn preflight(allowed: &str) -> Reply {
    let mut reply = empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(ALLOW, value(allowed));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, value(allowed));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    reply
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
