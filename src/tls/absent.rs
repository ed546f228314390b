//! Placeholders for TLS in a library that is built without it: types without values.

use super::{TlsError, TlsVersion};
use crate::smtp::rules::WrongCertificate;

/// Settings of TLS.
#[derive(Clone, Debug)]
pub(crate) enum Tls {}

/// The TLS configuration of a server.
#[derive(Clone, Debug)]
pub(crate) enum ServerTls {}

impl Tls {
    pub(crate) fn prepare(&self) -> Result<ServerTls, TlsError> {
        match *self {}
    }

    pub(crate) fn doubts(&self) -> std::iter::Empty<TlsError> {
        match *self {}
    }
}

impl ServerTls {
    pub(crate) fn config_for(
        &self,
        _certificate: Option<WrongCertificate>,
        _version: Option<TlsVersion>,
    ) -> Result<(), TlsError> {
        match *self {}
    }

    pub(crate) fn newest(&self) -> TlsVersion {
        match *self {}
    }
}
