//! What stands for TLS in a library that is built without it: nothing, of which there is none.

use super::{TlsError, TlsVersion};

/// Settings of TLS.
#[derive(Clone, Debug)]
pub(crate) enum Tls {}

/// What handshakes are decided by.
#[derive(Clone, Debug)]
pub(crate) enum ServerTls {}

impl Tls {
    pub(crate) fn prepare(&self) -> Result<ServerTls, TlsError> {
        match *self {}
    }
}

impl ServerTls {
    pub(crate) fn newest(&self) -> TlsVersion {
        match *self {}
    }
}
