//! A request as handlers see it.

use std::sync::Arc;

use hyper::http::request::Parts;

use crate::http::Plane;
use crate::http::budget::Held;
use crate::http::parameters::Parameters;
use crate::http::reply::Refusal;

/// The transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Tcp,
    /// Only processes of this machine with access to the file connect: any host is accepted.
    Unix,
}

/// A request whose head has been read and admitted.
pub(super) struct Call {
    pub(super) plane: Arc<Plane>,
    pub(super) head: Parts,
    /// The decoded path segments that matched the names in braces.
    pub(super) segments: Vec<String>,
    pub(super) parameters: Parameters,
    /// Empty if the route takes none.
    pub(super) body: Vec<u8>,
    /// The part of the budget that the body takes.
    pub(super) _held: Held,
}

/// Largest body in octets that is parsed on the plane's thread, between other requests.
const READ_AT_ONCE: usize = 16 << 10;

impl Call {
    /// Takes the body and parses it with `read`: a long one on a thread of the desk.
    ///
    /// # Errors
    /// A bug ended it.
    pub(super) async fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let body = std::mem::take(&mut self.body);
        match body.len() <= READ_AT_ONCE {
            true => Ok(read(&body)),
            false => self.plane.desk.run(move || read(&body)).await,
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("uri", &self.head.uri).finish_non_exhaustive()
    }
}
