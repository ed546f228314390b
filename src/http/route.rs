//! A path of an interface, and the handler that answers it.

use std::pin::Pin;

use hyper::Method;

use crate::http::call::Call;
use crate::http::parameters::decoded;
use crate::http::reply::{Refusal, Reply};

/// One method of one path, and its handler.
pub(super) struct Route {
    pub(super) method: Method,
    /// Segments in braces match any.
    pub(super) path: &'static str,
    /// Credentials are not needed.
    pub(super) is_open: bool,
    /// Largest body in octets; 0: none.
    pub(super) body: usize,
    pub(super) handler: Handler,
}

pub(super) type Handler = fn(Call) -> Answer;
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

impl Route {
    pub(super) const fn get(path: &'static str, handler: Handler) -> Self {
        Self { method: Method::GET, path, is_open: false, body: 0, handler }
    }

    /// The same for one that needs no credentials.
    pub(super) const fn open(path: &'static str, handler: Handler) -> Self {
        Self { method: Method::GET, path, is_open: true, body: 0, handler }
    }

    pub(super) const fn delete(path: &'static str, handler: Handler) -> Self {
        Self { method: Method::DELETE, path, is_open: false, body: 0, handler }
    }

    /// A route with a body of at most this many octets.
    pub(super) const fn with_body(method: Method, path: &'static str, body: usize, handler: Handler) -> Self {
        Self { method, path, is_open: false, body, handler }
    }

    /// The segments for the names in braces, if the path matches.
    pub(super) fn matches(&self, path: &str) -> Option<Vec<String>> {
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        let mut segments = Vec::new();
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(segments),
                (Some(own), Some(given)) if own.starts_with('{') => {
                    segments.push(decoded(given).filter(|segment| !segment.is_empty())?);
                }
                (Some(own), Some(given)) if own == given => {}
                _ => return None,
            }
        }
    }
}
