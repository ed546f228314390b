//! TLS as a server has it: its certificates, made at the start or given, and what handshakes are decided by. No sockets:
//! the transport is `net/stream/tls.rs`. Runs on the caller's thread when a server starts, and on a shard's where a
//! handshake asks for a certificate. Imports `time`.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod authority;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod client;
mod session;
#[cfg(feature = "tls")]
mod settings;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{ServerTls, Tls};
pub use session::{ClientCertificate, TlsSession, TlsVersion, UnknownVersion};
#[cfg(feature = "tls")]
pub(crate) use settings::ServerTls;
#[cfg(feature = "tls")]
pub use settings::Tls;

/// A setting of TLS with a value that it can't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsError {
    /// What is wrong: a name of a setting, as [`ConfigError`](crate::ConfigError) has it.
    pub(crate) setting: &'static str,
    pub(crate) value: String,
    /// What would be right.
    pub(crate) expected: String,
}
