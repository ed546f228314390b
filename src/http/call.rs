//! A request as handlers see it.

use std::sync::Arc;

use hyper::http::request::Parts;

use crate::http::Plane;
use crate::http::parameters::Parameters;

/// What a connection runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Tcp,
    /// Only processes of this machine with access to the file: any host is accepted.
    Unix,
}

/// A request whose head has been read and admitted.
pub(super) struct Call {
    pub(super) plane: Arc<Plane>,
    pub(super) head: Parts,
    /// The decoded path segments that matched the names in braces.
    pub(super) segments: Vec<String>,
    pub(super) parameters: Parameters,
    /// Empty where the route takes none.
    pub(super) body: Vec<u8>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("uri", &self.head.uri).finish_non_exhaustive()
    }
}
