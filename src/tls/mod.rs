//! The TLS configuration of a server: its certificates, created at the start or configured, and the parameters of
//! handshakes. No sockets: the transport is `net/stream/tls.rs`. Runs on the caller's thread when a server starts, and
//! on a shard's when a handshake asks for a certificate. Imports `smtp` (for rules), `process` and `time`.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod alerting;
#[cfg(feature = "tls")]
mod authority;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod server;
mod session;
#[cfg(feature = "tls")]
mod settings;
#[cfg(feature = "tls")]
mod wrong;
#[cfg(feature = "tls")]
mod x509;

pub use crate::smtp::rules::{TlsVersion, UnknownVersion};
#[cfg(not(feature = "tls"))]
pub(crate) use absent::{ServerTls, Tls};
#[cfg(feature = "tls")]
pub(crate) use alerting::is_of_old_form;
#[cfg(feature = "tls")]
pub use pem::Pem;
#[cfg(feature = "tls")]
pub(crate) use server::ServerTls;
pub use session::{ClientCertificate, TlsSession};
#[cfg(feature = "tls")]
pub use settings::Tls;

/// A TLS setting with an invalid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsError {
    /// The name of the setting, as in [`ConfigError`](crate::ConfigError).
    pub(crate) setting: &'static str,
    pub(crate) value: String,
    /// The valid values.
    pub(crate) expected: String,
}
